"""Embeddings of several models and slides made comparable: standardised, clipped, compressed, balanced."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..io import ClusterfirstError
from .inputs import Block, SlideEmbedding, common_blocks
from .linear import axes, mean_and_covariance, mean_and_variance, row_chunks

log = logging.getLogger(__name__)

_CONSTANT = 1e-9
"""Columns that vary less, relative to their size, do not vary: the mean of equal floats is off by a rounding error."""


def prepare(
    slides: Sequence[SlideEmbedding],
    *,
    standardise: str | bool,
    clip: float | None,
    pca: int | None,
    balance: Mapping[str, float],
) -> np.ndarray:
    """Make one matrix of all cells, in which distances between rows mean something; see `Preparation.fit`."""
    return Preparation.fit(slides, standardise=standardise, clip=clip, pca=pca, balance=balance).apply(slides)


@dataclass(frozen=True)
class Map:
    """What is done to the columns of a model: centred, divided, clipped, centred again, turned and scaled.

    Attributes
    ----------
    block : Block
        Of w columns.
    centre, divisor, limit, shift : numpy.ndarray
        w float64. Columns that do not vary are divided by infinity.
    turn : numpy.ndarray or None
        w × c: principal axes, as columns; None: columns stay as they are.
    factor : float
    """

    block: Block
    centre: np.ndarray
    divisor: np.ndarray
    limit: np.ndarray
    shift: np.ndarray
    turn: np.ndarray | None
    factor: float

    @property
    def width(self) -> int:
        """How many columns it makes."""
        return self.block.width if self.turn is None else self.turn.shape[1]

    def apply(self, chunk: np.ndarray) -> np.ndarray:
        """Return n × `width`; the chunk, n × w float64, is written over."""
        level = _level(chunk, self.centre, self.divisor, self.limit) - self.shift
        return self.factor * (level if self.turn is None else level @ self.turn)


@dataclass(frozen=True)
class Preparation:
    """How embeddings are made comparable: learnt from some cells, and done to these or to others.

    Attributes
    ----------
    maps : tuple of Map
        One for each model, in the order of their columns.
    """

    maps: tuple[Map, ...]

    @classmethod
    def fit(
        cls,
        slides: Sequence[SlideEmbedding],
        *,
        standardise: str | bool,
        clip: float | None,
        pca: int | None,
        balance: Mapping[str, float],
    ) -> Preparation:
        """Learn from all cells of all slides together.

        Standardising slide by slide would take away what slides really differ in, such as how many cells of a class
        they have. Embeddings are read in chunks and never copied whole.

        Parameters
        ----------
        slides
            At least one, embedded by the same models.
        standardise
            Give every column variance 1; ``"auto"``: those of models that want it.
        clip
            Values farther from their column's mean than this many standard deviations are drawn in to there.
        pca
            Models with more columns than this are replaced by so many principal components. None: by none.
        balance
            Weight per model, 1 where none is given. Each model's columns are scaled so that the mean squared length of
            its part of a row is its weight squared. So a model of weight ½ makes for a fifth of the mean squared
            distance between cells beside one of weight 1, however many columns either has.

        Raises
        ------
        ClusterfirstError
            Slides that were embedded differently, values that are not finite, a weight for a model that is not there.
        """
        blocks = common_blocks(slides)
        strangers = sorted(set(balance) - {block.model for block in blocks})
        if strangers:
            raise ClusterfirstError(
                f"reduction.balance gives a weight to {', '.join(strangers)}, but the cells are embedded with "
                f"{', '.join(block.model for block in blocks)}"
            )
        maps = []
        for block in blocks:
            wanted = block.standardise if standardise == "auto" else bool(standardise)
            weight = balance.get(block.model, 1.0)
            maps.append(_fit(slides, block, standardise=wanted, clip=clip, pca=pca, weight=weight))
        return cls(tuple(maps))

    @property
    def width(self) -> int:
        """How many columns it makes."""
        return sum(one.width for one in self.maps)

    def apply(self, slides: Sequence[SlideEmbedding]) -> np.ndarray:
        """Prepare the cells of slides that have the same columns.

        Returns
        -------
        numpy.ndarray
            N × `width` float32, slides one after the other, models side by side; of the cells that it was learnt from,
            every column has mean 0.

        Raises
        ------
        ClusterfirstError
            Values that are not finite.
        """
        out = np.empty((sum(len(slide.values) for slide in slides), self.width), np.float32)
        left = 0
        for one in self.maps:
            start = 0
            for chunk in _checked(slides, one.block):
                out[start : start + len(chunk), left : left + one.width] = one.apply(chunk)
                start += len(chunk)
            left += one.width
        return out


def _fit(slides, block: Block, *, standardise: bool, clip: float | None, pca: int | None, weight: float) -> Map:
    """Learn a block's map from all cells, in two passes: the second sees the columns as the first made them."""
    centre, variance = mean_and_variance(_checked(slides, block), block.width)
    spread = np.sqrt(variance)
    constant = spread <= _CONSTANT * np.sqrt(centre**2 + variance)
    divisor = np.where(constant, np.inf, spread if standardise else 1.0)
    limit = np.full(block.width, np.inf) if clip is None else clip * (1.0 if standardise else spread)
    limit = np.broadcast_to(limit, block.width)
    levelled = (_level(chunk, centre, divisor, limit) for chunk in _chunks(slides, block))
    shift, covariance = mean_and_covariance(levelled, block.width)
    turn, power = None, np.trace(covariance)
    if pca is not None and block.width > pca:
        turn, variances = axes(covariance, pca)
        log.info(
            "%s: %d columns become %d principal components, with %.1f %% of the variance",
            *(block.model, block.width, pca, 100 * variances.sum() / power if power else 100.0),
        )
        power = variances.sum()
    return Map(block, centre, divisor, limit, shift, turn, weight / np.sqrt(power) if power > 0 else 0.0)


def _level(chunk: np.ndarray, centre: np.ndarray, divisor: np.ndarray, limit: np.ndarray) -> np.ndarray:
    chunk -= centre
    chunk /= divisor
    return np.clip(chunk, -limit, limit, out=chunk)


def _chunks(slides: Sequence[SlideEmbedding], block: Block):
    for slide in slides:
        yield from row_chunks(slide.values, block.columns)


def _checked(slides: Sequence[SlideEmbedding], block: Block):
    """The chunks, with a look at whether they are finite."""
    for slide in slides:
        for chunk in row_chunks(slide.values, block.columns):
            if not np.isfinite(chunk).all():
                raise ClusterfirstError(
                    f"slide {slide.slide}: embeddings by {block.model} hold values that are not finite. "
                    "Embed the slide again"
                )
            yield chunk
