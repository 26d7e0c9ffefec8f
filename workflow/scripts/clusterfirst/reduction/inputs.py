"""What a slide brings: a row of numbers and a place per cell, and which model made which columns."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..io import ClusterfirstError, read_json
from ..slide.facts import SlideFacts


@dataclass(frozen=True)
class Block:
    """Columns that one model made.

    Attributes
    ----------
    model : str
    start, stop : int
        The columns, `stop` left out.
    standardise : bool
        Whether the columns need mean 0 and variance 1 before distances between rows mean anything.
    """

    model: str
    start: int
    stop: int
    standardise: bool

    @property
    def columns(self) -> slice:
        return slice(self.start, self.stop)

    @property
    def width(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class SlideEmbedding:
    """The cells of one slide.

    Attributes
    ----------
    slide : str
    values : numpy.ndarray
        N × D float16, float32 or float64; may be a memory map.
    positions : numpy.ndarray
        N × 2, µm.
    blocks : tuple of Block
        Cover the D columns, in order.

    Raises
    ------
    ClusterfirstError
        Shapes that do not fit each other, or positions that are not finite.
    """

    slide: str
    values: np.ndarray
    positions: np.ndarray
    blocks: tuple[Block, ...]

    def __post_init__(self):
        if self.values.ndim != 2:
            self._refuse(f"embeddings are to be cells × columns, but their shape is {self.values.shape}")
        if self.positions.shape != (len(self.values), 2):
            self._refuse(f"there are {len(self.values)} embeddings, but positions of shape {self.positions.shape}")
        if not np.isfinite(self.positions).all():
            self._refuse("cells have positions that are not finite")
        edges = [0, *(block.stop for block in self.blocks)]
        if edges[-1] != self.values.shape[1] or [block.start for block in self.blocks] != edges[:-1]:
            spans = ", ".join(f"{block.model} {block.start} to {block.stop}" for block in self.blocks) or "none"
            self._refuse(f"embeddings have {self.values.shape[1]} columns, but the models' columns are {spans}")

    def _refuse(self, why: str):
        raise ClusterfirstError(f"slide {self.slide}: {why}. Embed the slide again")


def read(
    slide: str, *, embeddings: str | os.PathLike, columns: str | os.PathLike, cells: str | os.PathLike
) -> SlideEmbedding:
    """Read ``embeddings.npy`` (as a memory map), ``embeddings.json`` and the positions in ``masks.parquet``."""
    import pyarrow.parquet as pq

    # Not read_table: that imports pyarrow's datasets and pandas, which takes longer than reading.
    with pq.ParquetFile(cells) as file:
        places = file.read(columns=["x", "y"])
    # Nor to_numpy, which imports pandas.
    positions = np.column_stack([np.from_dlpack(places[axis].combine_chunks()) for axis in ("x", "y")])
    models = read_json(columns).get("models")
    if models is None:
        raise ClusterfirstError(f"slide {slide}: {columns} does not say which columns each model made; embed it again")
    return SlideEmbedding(
        slide,
        np.load(embeddings, mmap_mode="r"),
        positions * SlideFacts.of(cells).mpp,
        tuple(Block(block["model"], *block["columns"], block["standardise"]) for block in models),
    )


def read_all(names: Sequence[str], files: Any) -> list[SlideEmbedding]:
    """Read the slides of a group; see `read`.

    Parameters
    ----------
    names
        Of the slides.
    files
        Has ``embeddings``, ``columns`` and ``cells``: lists of files in the same order.
    """
    together = zip(names, files.embeddings, files.columns, files.cells, strict=True)
    return [
        read(name, embeddings=embeddings, columns=columns, cells=cells) for name, embeddings, columns, cells in together
    ]


def common_blocks(slides: Sequence[SlideEmbedding]) -> tuple[Block, ...]:
    """Return the blocks that all slides have; that they differ is an error that names two slides."""
    first = slides[0]
    for slide in slides[1:]:
        if slide.blocks != first.blocks:
            raise ClusterfirstError(
                f"slides {first.slide} and {slide.slide} cannot be reduced together: they were embedded with "
                f"{_named(first)} and with {_named(slide)}. Give both the same `embedding` settings"
            )
    return first.blocks


def _named(slide: SlideEmbedding) -> str:
    return ", ".join(
        f"{block.model} ({block.width} columns, standardise {str(block.standardise).lower()})" for block in slide.blocks
    )


def share(values: np.ndarray, names: Sequence[str], sizes: Sequence[int], slide: str) -> np.ndarray:
    """Return the rows of one slide among those of several, one after the other.

    Parameters
    ----------
    values
        Rows of all slides.
    names, sizes
        Of all slides, in their order: names, and numbers of cells.
    slide
        One of the names.

    Raises
    ------
    ClusterfirstError
        There are more or fewer rows than cells.
    """
    if len(values) != sum(sizes):
        raise ClusterfirstError(
            f"{len(values)} cells were reduced together, but the slides {', '.join(names)} have {sum(sizes)}: "
            "a slide was segmented again in between. Reduce them again"
        )
    first = list(names).index(slide)
    start = sum(sizes[:first])
    return values[start : start + sizes[first]]
