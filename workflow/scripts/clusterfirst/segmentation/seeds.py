"""From what InstanSeg's network says of every pixel to nuclei (Goldsborough et al. 2024, arXiv:2408.15954).

The network gives each pixel a place, near which the other pixels of its nucleus have theirs, how far such places
spread, and how deep inside a nucleus the pixel lies. Where that depth has a peak, there is a *seed*. A small classifier
decides which pixels around a seed are of its nucleus, from how far their places are from the seed's. Seeds that claim
mostly the same pixels have found the same nucleus.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from ..io import ClusterfirstError

_LAYERS = 3
_OFFSET = 8.0
"""The range of places that the network can move a pixel within, both ways together."""
_STEP = 0.25
"""Between the places of neighbouring pixels, before the network moves them."""
_TO_DEPTH = (1 / 15, 0.5)
"""Factor and summand that make a depth, 0 to 1 and little more, of what leaves the network."""


class Claim(NamedTuple):
    """The pixels that a seed claims, in a window around it.

    Attributes
    ----------
    window : tuple of slice
        Rows and columns of the image.
    mask : numpy.ndarray
        Which pixels of the window, bool.
    logit : numpy.ndarray
        How surely each is the seed's.
    """

    window: tuple[slice, slice]
    mask: np.ndarray
    logit: np.ndarray


@dataclass(frozen=True)
class Nuclei:
    """Turns the maps of an image into labels; equal to what InstanSeg's own files do (see benchmarks/engines.md).

    Attributes
    ----------
    layers : tuple of tuple of numpy.ndarray
        Weights (outputs × inputs) and biases of the classifier's three linear layers. Its inputs are the distances
        from the seed along both axes, and both spreads.
    peak_px : int
        A seed is the deepest pixel within so many on every side.
    depth : float
        Seeds lie deeper than this.
    member : float
        Probability from which a pixel is of a seed's nucleus.
    same : float
        Seeds that share more than this fraction of the smaller one's pixels are of one nucleus.
    reach_px : int
        A nucleus reaches no farther from its seed than this.
    """

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    peak_px: int
    depth: float
    member: float
    same: float
    reach_px: int

    @classmethod
    def of(cls, constants: Mapping[str, np.ndarray]) -> Nuclei:
        """Make it of what `constants` returned."""
        layers = tuple((constants[f"weights_{number}"], constants[f"bias_{number}"]) for number in range(_LAYERS))
        return cls(layers, **{name: constants[name].item() for name in cls.__dataclass_fields__ if name != "layers"})

    def constants(self) -> dict[str, np.ndarray]:
        """Return it as arrays by name, to be kept in a file."""
        layers = {}
        for number, (weights, bias) in enumerate(self.layers):
            layers |= {f"weights_{number}": weights, f"bias_{number}": bias}
        rest = {name: np.array(value) for name, value in vars(self).items() if name != "layers"}
        return layers | rest

    def __call__(self, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Label the nuclei of one image.

        Parameters
        ----------
        maps
            5 × H × W floats: two offsets, two spreads and a depth, as they leave the network.

        Returns
        -------
        labels : numpy.ndarray
            H × W int32, 0 for background.
        scores : numpy.ndarray
            Of label 1 and up: the mean depth of its pixels, 0 to 1.

        Raises
        ------
        ClusterfirstError
            The network gave what are no numbers.
        """
        if not np.isfinite(maps).all():
            raise ClusterfirstError("the network gives values that are no finite numbers: its weights are damaged")
        maps = maps.astype(np.float32, copy=False)
        depth = maps[4] * np.float32(_TO_DEPTH[0]) + np.float32(_TO_DEPTH[1])
        claims = list(self._claims(maps, *self._seeds(depth)))
        if not claims:
            return np.zeros(depth.shape, np.int32), np.empty(0)
        label_of = np.concatenate([[0], _nucleus_of(claims, depth.shape, same=self.same)])
        labels = label_of[_strongest(claims, depth.shape)].astype(np.int32)
        sizes = np.bincount(labels.ravel(), minlength=label_of.max() + 1)
        depths = np.bincount(labels.ravel(), weights=depth.ravel(), minlength=len(sizes))
        return labels, np.clip(depths[1:] / np.maximum(sizes[1:], 1), 0, 1)

    def _seeds(self, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the pixels that are the deepest around; of equal ones, the first from top and left."""
        edge = 2 * self.peak_px + 1
        y, x = np.nonzero((depth == cv2.dilate(depth, np.ones((edge, edge), np.uint8))) & (depth > self.depth))
        padded = np.pad(depth, self.peak_px, constant_values=-np.inf)
        around = np.lib.stride_tricks.sliding_window_view(padded, (edge, edge))[y, x].reshape(len(y), edge * edge)
        first = ~(around[:, : edge * edge // 2] == depth[y, x][:, None]).any(axis=1)
        return y[first], x[first]

    def _claims(self, maps: np.ndarray, y: np.ndarray, x: np.ndarray) -> Iterator[Claim]:
        """Yield what each seed claims; seeds that claim nothing are left out."""
        high, wide = maps.shape[1:]
        places = _OFFSET / (1 + np.exp(-maps[:2])) - _OFFSET / 2
        places += np.float32(_STEP) * np.stack(np.meshgrid(np.arange(wide), np.arange(high))).astype(np.float32)
        (into, bias), second, (out, last) = self.layers
        # The first layer is linear in the distance: it is computed once for all pixels, and once for all seeds.
        hidden = np.tensordot(into, np.concatenate([places, maps[2:4]]), axes=1) + bias[:, None, None]
        of_seeds = into[:, :2] @ places[:, y, x]
        cut = np.float32(np.log(self.member / (1 - self.member)))
        reach_y, reach_x = min(self.reach_px, high), min(self.reach_px, wide)
        for at_y, at_x, of_seed in zip(y, x, of_seeds.T, strict=True):
            window = _around(at_y, reach_y, high), _around(at_x, reach_x, wide)
            first = np.maximum(hidden[:, *window] - of_seed[:, None, None], 0)
            shape = first.shape[1:]
            logit = out @ _rectified(*second, first.reshape(len(first), -1)) + last[:, None]
            logit = logit.reshape(shape)
            mask = _connected(logit >= cut, at_y - window[0].start, at_x - window[1].start)
            if mask is not None:
                # In what were holes the pixels are no other seed's less surely than they are this one's.
                yield Claim(window, mask, np.maximum(logit, cut))


def _around(at: int, reach: int, size: int) -> slice:
    """A stretch of the image of twice the reach, around a pixel as far as the border allows."""
    middle = min(max(int(at), reach), max(size - reach, reach))
    return slice(middle - reach, min(middle + reach, size))


def _rectified(weights: np.ndarray, bias: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.maximum(weights @ values + bias[:, None], 0)


def _connected(member: np.ndarray, y: int, x: int) -> np.ndarray | None:
    """The pixels of a window that hang together with the seed, holes filled; None if there are none."""
    _, pieces = cv2.connectedComponents(member.view(np.uint8), connectivity=8)
    touched = pieces[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
    ids = set(touched[touched > 0].tolist())
    if not ids:
        return None
    mask = np.isin(pieces, list(ids)) if len(ids) > 1 else pieces == ids.pop()
    padded = np.pad(~mask, 1, constant_values=True).view(np.uint8)
    count, outside = cv2.connectedComponents(padded, connectivity=8)
    return mask if count <= 2 else (outside != outside[0, 0])[1:-1, 1:-1]


def _strongest(claims: list[Claim], shape: tuple[int, int]) -> np.ndarray:
    """The number, from 1, of the claim that is surest of each pixel."""
    labels = np.zeros(shape, np.int32)
    surest = np.full(shape, -np.inf, np.float32)
    for number, (window, mask, logit) in enumerate(claims, start=1):
        better = mask & (logit > surest[window])
        surest[window][better] = logit[better]
        labels[window][better] = number
    return labels


def _nucleus_of(claims: list[Claim], shape: tuple[int, int], *, same: float) -> np.ndarray:
    """The nucleus, from 1, of each claim: those that share enough of their pixels have the same."""
    pixels = [np.ravel_multi_index(_places(claim), shape) for claim in claims]
    sizes = np.array([len(some) for some in pixels])
    ends = np.concatenate([[0], sizes.cumsum()])
    count = len(claims)
    of_claims = sparse.csr_array(
        (np.ones(ends[-1], np.int32), np.concatenate(pixels), ends), (count, shape[0] * shape[1])
    )
    shared = (of_claims @ of_claims.T).tocoo()
    joined = shared.data > same * np.minimum(sizes[shared.row], sizes[shared.col])
    links = sparse.coo_array((np.ones(joined.sum(), bool), (shared.row[joined], shared.col[joined])), (count, count))
    return connected_components(links, directed=False)[1] + 1


def _places(claim: Claim) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a claim's pixels in the image."""
    y, x = np.nonzero(claim.mask)
    return y + claim.window[0].start, x + claim.window[1].start
