"""Readers, the network, and what follows it, all at once.

Decoding a tile and outlining its labels cost about as much on a CPU as the network does on a GPU, and Python does one
thing at a time. So other processes decode tiles ahead of the network and turn its predictions into polygons behind it;
this process does nothing but run the network, in a thread of its own: another one stacks the next tiles meanwhile, and
a third hands on what was found. Every queue is bounded, and results come in a fixed order. For a few tiles, no process
is worth its start: all happens in this one.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from logging.handlers import QueueHandler, QueueListener
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import cv2
import numpy as np
import pandas as pd
import shapely

from ..devices import in_less_memory
from ..io import ClusterfirstError, bounded_map, drawn_ahead, progress
from ..io import log as package_log
from ..outlines.objects import outlines
from ..slide.facts import SlideFacts
from ..slide.slide import Slide, UnreadableError
from . import Labeller, Segmenter, backend
from .intensity import Intensity
from .views import aligned_views, shard

if TYPE_CHECKING:
    from ..devices import Device

log = logging.getLogger(__name__)

_IMAGES_BYTES = 2e9
"""What copies of a plain image may take, all workers together."""
_FEW_TILES = 16
"""To start a process takes longer than to read so many tiles, and to outline their labels."""


@dataclass(frozen=True)
class TileJob:
    """A tile on its way.

    Attributes
    ----------
    tile : int
        Its label in the index of the tiles.
    core, box : tuple of int
        The core and the read rectangle, ``x, y, width, height`` in level-0 pixels.
    mpp : float
        µm per pixel that it is read at.
    data : numpy.ndarray, list of bytes or None
        First its image, then what the network made of it, then its outlines as WKB in level-0 pixels, top to bottom.
    scores : list of float
        Of its outlines, NaN where the network gives none.
    error : str
        Why it could not be read.
    """

    tile: int
    core: tuple[int, int, int, int]
    box: tuple[int, int, int, int]
    mpp: float
    data: np.ndarray | list[bytes] | None = None
    scores: list[float] = field(default_factory=list)
    error: str = ""


def outline_tiles(
    path: str | os.PathLike,
    tiles: pd.DataFrame,
    *,
    facts: SlideFacts,
    histogram: np.ndarray,
    settings: Mapping[str, Any],
    weights: str | os.PathLike | None,
    device: Device,
    item: str = "1-of-1",
    threads: int = 1,
) -> Iterator[TileJob]:
    """Outline every object that the tiles of one shard show, with the backend that the settings name.

    Parameters
    ----------
    path
        The slide.
    tiles
        The kept tiles of the slide (see `grid.grid`).
    facts
        Of the slide.
    histogram
        The slide's intensities (see `tissue.histogram`).
    settings
        The ``segmentation`` section of the configuration.
    weights
        The backend's file; None, if it is no network.
    device
        Where the network computes.
    item
        See `views.shard`.
    threads
        Cores to use.

    Yields
    ------
    TileJob
        See `outline_views`.

    Raises
    ------
    ClusterfirstError
        The weights cannot be used (before any tile is read); or see `outline_views`.
    """
    kind = backend(settings["model"])
    mpp = settings.get("mpp") or kind.mpp
    views = shard(aligned_views(tiles, slide_mpp=facts.mpp, mpp=mpp, stride=kind.stride), item)
    log.info("%d of %d tiles", len(views), len(tiles))
    if views.empty:
        return
    intensity = Intensity.from_histogram(histogram, kind.percentiles)
    segmenter = kind(weights, device=device, intensity=intensity, settings=settings)
    smoothing_px = settings["smoothing_px"]
    with Workers(
        path,
        slide_mpp=facts.mpp,
        smoothing_px=kind.smoothing_px if smoothing_px is None else smoothing_px,
        labels=segmenter.labels,
        count=_useful_workers(facts, device, threads) if len(views) > _FEW_TILES else 0,
        give_way=device.type == "cpu",
    ) as workers:
        yield from outline_views(views, segmenter, workers)


def _useful_workers(facts: SlideFacts, device: Device, threads: int) -> int:
    """How many workers: a network on the CPU wants the cores for itself, and a plain image is held whole by each."""
    count = threads if device.type == "cuda" else max(1, threads // 4)
    if facts.vendor == "image":
        count = min(count, max(1, int(_IMAGES_BYTES / (3 * facts.width * facts.height))))
    return count


class Workers:
    """Processes that read tiles of a slide and outline labels.

    Parameters
    ----------
    path, slide_mpp
        The slide, and µm per level-0 pixel.
    smoothing_px
        Standard deviation of a Gaussian laid over each image, in its pixels. Scanners that sharpen lead networks
        astray: see benchmarks/smoothing.md.
    labels
        See `Segmenter`.
    count
        How many; 0: this process itself.
    give_way
        Whether the network goes first where they want the same cores. Its threads wait for one another: whoever takes
        one of their cores holds up all.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        slide_mpp: float,
        smoothing_px: float,
        labels: Labeller,
        count: int,
        give_way: bool = False,
    ):
        Slide(path, mpp=slide_mpp).close()  # an error here is clearer than from a process that died of it
        self.path, self.count = path, count
        if not count:
            _look_at(path, slide_mpp, smoothing_px, labels)
            self.pool, self._listener = _AtOnce(), None
            return
        # spawn: a forked child would inherit torch's threads and its hold on the GPU.
        context = multiprocessing.get_context("spawn")
        records = context.Queue()
        self._listener = QueueListener(records, *package_log.handlers)
        self._listener.start()
        self.pool = ProcessPoolExecutor(
            count,
            mp_context=context,
            initializer=_open,
            initargs=(path, slide_mpp, smoothing_px, labels, give_way, records),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.pool.shutdown(cancel_futures=True)
        if self._listener:
            self._listener.stop()
        elif isinstance(_slide, Slide):
            _slide.close()


class _AtOnce(Executor):
    """Does at once what it is given."""

    def submit(self, function: Callable, /, *values, **named) -> Future:
        future = Future()
        try:
            future.set_result(function(*values, **named))
        except Exception as error:  # noqa: BLE001 - raised where the result is asked for
            future.set_exception(error)
        return future


def outline_views(views: pd.DataFrame, segmenter: Segmenter, workers: Workers) -> Iterator[TileJob]:
    """Outline every object that tiles show.

    Parameters
    ----------
    views
        See `views.aligned_views`.
    segmenter
        The backend.
    workers
        Of the same slide and segmenter.

    Yields
    ------
    TileJob
        One per tile, tiles of equal size together, those in the order of `views`. `data` are outlines, or None where
        `error` says why the tile could not be read.

    Raises
    ------
    ClusterfirstError
        The slide cannot be opened any more, or a worker was killed.
    """
    at_once = segmenter.tiles_at_once
    clock = _Clock()
    try:
        images = bounded_map(workers.pool, _read, _by_size(views), ahead=2 * (workers.count + at_once))
        stacks = drawn_ahead(_stacks(images, at_once), ahead=1)
        predicted = drawn_ahead(_predict(segmenter, stacks, clock), ahead=at_once)
        outlined = bounded_map(workers.pool, _outline, predicted, ahead=2 * workers.count + at_once)
        yield from progress(outlined, total=len(views), what="outline")
    except BrokenProcessPool as error:
        raise ClusterfirstError(
            f"slide {workers.path}: a process that reads or outlines tiles was killed, most often for want of memory. "
            "Give the job more memory (`--set-resources outline:mem_mb=…`) or fewer threads (`--set-threads outline=…`)"
        ) from error
    clock.report()


def _by_size(views: pd.DataFrame) -> list[TileJob]:
    """Tiles of equal size one after the other, so that stacks are full; there are others only at the borders."""
    core, box = (
        views[[f"{prefix}{name}" for name in ("x", "y", "width", "height")]].astype(int).to_numpy().tolist()
        for prefix in ("", "read_")
    )
    waiting = [
        TileJob(tile, tuple(inner), tuple(outer), mpp)
        for tile, inner, outer, mpp in zip(views.index, core, box, views["mpp"], strict=True)
    ]
    return sorted(waiting, key=lambda view: (-view.box[2], -view.box[3], view.mpp))


class _Stack(NamedTuple):
    """Tiles that the network is shown together.

    Attributes
    ----------
    views : list of TileJob
        Without data; or a single one that could not be read.
    images : numpy.ndarray or None
        N × H × W × 3 uint8; None, if there is none.
    """

    views: list[TileJob]
    images: np.ndarray | None

    @classmethod
    def of(cls, views: list[TileJob]) -> _Stack:
        return cls([replace(view, data=None) for view in views], np.stack([view.data for view in views]))


def _stacks(views: Iterable[TileJob], at_once: int) -> Iterator[_Stack]:
    """Gather up to `at_once` successive tiles with images of one shape; a tile without an image goes alone."""
    stack: list[TileJob] = []
    for view in views:
        if stack and (len(stack) == at_once or view.data is None or view.data.shape != stack[0].data.shape):
            yield _Stack.of(stack)
            stack = []
        if view.data is None:
            yield _Stack([view], None)
        else:
            stack.append(view)
    if stack:
        yield _Stack.of(stack)


def _predict(segmenter: Segmenter, stacks: Iterable[_Stack], clock: _Clock) -> Iterator[TileJob]:
    network = _InParts(segmenter)
    for views, images in stacks:
        if images is None:
            yield from views
            continue
        with clock:
            predictions = network(images)
        for view, prediction in zip(views, predictions, strict=True):
            yield replace(view, data=prediction)


class _InParts:
    """Shows stacks to a network, and from when memory runs out on, in halves: no tile depends on the others."""

    def __init__(self, segmenter: Segmenter):
        self._segmenter, self._most = segmenter, segmenter.tiles_at_once

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        return in_less_memory(lambda: self._predict(images), self._halve)

    def _predict(self, images: np.ndarray) -> list[np.ndarray]:
        parts = [images[at : at + self._most] for at in range(0, len(images), self._most)]
        return [prediction for part in parts for prediction in self._segmenter.predict(part)]

    def _halve(self, reason: str) -> None:
        if self._most == 1:
            raise ClusterfirstError(
                f"not enough memory for the network, even for one tile at a time ({reason}). Give the job more "
                "(`--set-resources outline:mem_mb=…`; of a GPU, let fewer jobs share it), or lower `tiling.tile_px`"
            )
        self._most //= 2
        log.warning(
            "not enough memory for %d tiles at a time (%s): going on with %d", 2 * self._most, reason, self._most
        )


class _Clock:
    """How much of the time the network was at work: what else takes time is what could be mended."""

    def __init__(self):
        self._start = time.monotonic()
        self._busy = 0.0

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_) -> None:
        self._busy += time.monotonic() - self._since

    def report(self) -> None:
        whole = time.monotonic() - self._start
        log.info("the network was at work for %.1f s of %.1f s (%.0f%%)", self._busy, whole, 100 * self._busy / whole)


# What follows runs in the workers.

_slide: Slide | ClusterfirstError
_sigma: float
_labels: Labeller


def _open(path, slide_mpp: float, sigma: float, labels: Labeller, give_way: bool, records) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if give_way:
        os.nice(10)
    cv2.setNumThreads(1)  # there are as many workers as cores
    package_log.handlers[:] = [QueueHandler(records)]
    package_log.setLevel(logging.INFO)
    package_log.propagate = False
    _look_at(path, slide_mpp, sigma, labels)


def _look_at(path, slide_mpp: float, sigma: float, labels: Labeller) -> None:
    global _slide, _sigma, _labels
    _sigma, _labels = sigma, labels
    try:
        _slide = Slide(path, mpp=slide_mpp)
    except ClusterfirstError as error:
        _slide = error  # raised here, it would break the pool, and nobody would hear why


def _end_with_parent() -> None:
    """Without this, workers outlive a parent that was killed with SIGKILL, and keep their memory, for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _read(view: TileJob) -> TileJob:
    if isinstance(_slide, ClusterfirstError):
        raise _slide
    try:
        image = _slide.read(*view.box, mpp=view.mpp)
    except UnreadableError as damage:
        # In the halo alone, it costs what it covers, not the tile.
        try:
            _slide.read(*view.core, mpp=view.mpp)
        except UnreadableError as error:
            return replace(view, error=str(error))
        log.warning("read around damage in a halo: %s", damage)
        image = _slide.read(*view.box, mpp=view.mpp, patch=True)
    return replace(view, data=cv2.GaussianBlur(image, (0, 0), _sigma) if _sigma else image)


def _outline(view: TileJob) -> TileJob:
    if view.data is None:
        return view
    labels, scores = _labels(view.data)
    high, wide = labels.shape
    polygons, values = outlines(labels)
    score = np.full(len(values), np.nan) if scores is None else scores[values - 1]
    x, y, width, height = view.box
    polygons = shapely.transform(polygons, lambda xy: xy * (width / wide, height / high) + (x, y))
    bounds = shapely.bounds(polygons).reshape(-1, 4)
    order = np.lexsort((bounds[:, 0], bounds[:, 1]))
    return replace(view, data=shapely.to_wkb(polygons[order]).tolist(), scores=score[order].tolist())
