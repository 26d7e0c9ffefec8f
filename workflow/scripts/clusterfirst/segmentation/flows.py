"""From flows to cells (Stringer et al. 2021, doi:10.1038/s41592-020-01018-x): Cellpose's post-processing, on one core.

Pixels are moved along the flows; those that end at the same place are a cell; and a cell stays if its flows are those
that its shape would have. The last step is Cellpose's own algorithm made six times as fast, the others are its code.
"""

from __future__ import annotations

import logging
import multiprocessing
import warnings
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from scipy import ndimage
from scipy.sparse import csr_array

if TYPE_CHECKING:
    import torch

# It tells of every tile without cells, and at its import of an extra package that hardly anybody needs.
logging.getLogger("cellpose").propagate = False

_NEIGHBOURS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))
"""y and x, in the order in which Cellpose adds them up."""


@dataclass(frozen=True)
class Labels:
    """From flows to cells, as `cellpose.dynamics.resize_and_compute_masks` does it, on one core.

    Attributes
    ----------
    flow_threshold : float
        Cells whose flows differ more from those that their shape would have are dropped; 0: none is.
    cellprob_threshold : float
        Pixels with a higher logit belong to cells.
    min_size : int
        Smaller cells are dropped, px.
    steps : int
        Of the Euler integration along the flows.
    """

    flow_threshold: float
    cellprob_threshold: float
    min_size: int
    steps: int

    def __call__(self, prediction: np.void) -> tuple[np.ndarray, None]:
        """Return H × W unsigned integer labels of one record of `Cellpose.predict`; it scores none."""
        from cellpose import transforms, utils

        _use_one_thread()
        flows, logit = np.split(prediction["flows"].astype(np.float32), [2])
        inside = logit[0] > self.cellprob_threshold
        high, wide = map(int, prediction["size"])
        if not inside.any():
            return np.zeros((high, wide), np.uint16), None
        followed = prediction["ends"] if "ends" in prediction.dtype.names else None
        labels = _consistent(self._gathered(flows, inside, followed), flows, threshold=self.flow_threshold)
        if labels.shape != (high, wide):
            labels = transforms.resize_image(labels, high, wide, no_channels=True, interpolation=cv2.INTER_NEAREST)
        return utils.fill_holes_and_remove_small_masks(labels, min_size=self.min_size), None

    def _gathered(self, flows: np.ndarray, inside: np.ndarray, followed: np.ndarray | None) -> np.ndarray:
        """Label pixels whose flows end at the same place."""
        import torch
        from cellpose import dynamics

        pixels = np.nonzero(inside)
        if followed is None:
            at = dynamics.follow_flows(flows * inside / 5.0, pixels, niter=self.steps).int()
        else:
            at = torch.from_numpy(followed[:, inside].astype(np.int32))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse invariant checks")
            return dynamics.get_masks_torch(at, pixels, inside.shape)


@cache
def _use_one_thread() -> None:
    """Hold torch to one thread in a worker: there are as many workers as cores. The network's process has its own."""
    import torch

    if multiprocessing.parent_process() is not None:
        torch.set_num_threads(1)


def _consistent(labels: np.ndarray, flows: np.ndarray, *, threshold: float) -> np.ndarray:
    """Drop cells whose flows are not those of their shape, as `cellpose.dynamics.remove_bad_flow_masks` does."""
    if threshold <= 0 or not labels.any():
        return labels
    pixels, expected = _flows_of(labels)
    difference = ((expected - flows.reshape(2, -1)[:, pixels] / 5.0) ** 2).sum(axis=0)
    owners = labels.ravel()[pixels]
    error = np.bincount(owners, difference) / np.maximum(np.bincount(owners), 1)
    return np.where(error > threshold, 0, np.arange(len(error))).astype(labels.dtype)[labels]


def _flows_of(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the flows that cells of these shapes have: the gradient of heat that spreads from each one's centre.

    Cellpose gathers the neighbours of each pixel anew in every step, which is nine tenths of its time for a tile. A
    sparse matrix adds the same numbers in the same order, so that the sums are equal to the last digit. They have to
    be: at the centre of a symmetric cell the gradient is nothing but rounding, and it is brought to unit length.

    Parameters
    ----------
    labels
        H × W integers 0…N, each there.

    Returns
    -------
    pixels : numpy.ndarray
        P indices into the flattened labels: the pixels of cells.
    flows : numpy.ndarray
        2 × P float64 of unit length, y and x.
    """
    from cellpose import dynamics

    padded = np.pad(labels, 1)
    wide = padded.shape[1]
    pixels = np.flatnonzero(padded)
    place = np.zeros(padded.size, np.int32)
    place[pixels] = np.arange(len(pixels))
    near = pixels[:, None] + [y * wide + x for y, x in _NEIGHBOURS]
    same = padded.ravel()[near] == padded.ravel()[pixels, None]
    starts = np.concatenate([[0], same.sum(axis=1).cumsum()])
    sums = csr_array((np.ones(starts[-1]), place[near[same]], starts), shape=(len(pixels),) * 2)

    centres, sides = dynamics.get_centers(padded, ndimage.find_objects(padded))
    sources = place[centres[:, 0] * wide + centres[:, 1]]
    heat = np.zeros(len(pixels))
    for _ in range(2 * sides.max()):
        heat[sources] += 1
        heat = sums @ heat
        heat /= len(_NEIGHBOURS)

    image = np.zeros(padded.size)
    image[pixels] = heat
    flows = np.stack([image[pixels + wide] - image[pixels - wide], image[pixels + 1] - image[pixels - 1]])
    flows /= 1e-60 + (flows**2).sum(axis=0) ** 0.5
    y, x = np.divmod(pixels, wide)
    return (y - 1) * labels.shape[1] + x - 1, flows


def follow(flows: torch.Tensor, *, threshold: float, steps: int) -> torch.Tensor:
    """Follow flows, as `cellpose.dynamics.follow_flows` does, from every pixel of an image and not from some.

    Parameters
    ----------
    flows
        3 × h × w float32; see `Cellpose.predict`.
    threshold
        Where the logit is not above it, nothing flows.
    steps
        Of the Euler integration.

    Returns
    -------
    torch.Tensor
        2 × h × w int16, the pixel (y, x) where each pixel ends.
    """
    import torch

    _, high, wide = flows.shape
    # x before y, and −1 to 1 from the first to the last pixel: grid_sample wants it so.
    last = torch.tensor([wide - 1, high - 1], device=flows.device)
    step = flows[[1, 0]] * (flows[2] > threshold) / 5 * (2.0 / last).view(2, 1, 1)
    y, x = torch.meshgrid(*(torch.arange(side, device=flows.device) for side in (high, wide)), indexing="ij")
    at = torch.stack([x, y], dim=-1) / last * 2 - 1
    for _ in range(steps):
        moved = torch.nn.functional.grid_sample(step[None], at[None], align_corners=False)[0]
        at = (at + moved.permute(1, 2, 0)).clamp_(-1, 1)
    return ((at + 1) * 0.5 * last)[..., [1, 0]].permute(2, 0, 1).to(torch.int16)
