"""Decode, network and what follows it, all at once, as the library does it."""

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from unittest import mock

import numpy as np
import shapely
import torch
from whole import SETTINGS

from clusterfirst.devices import computes_bf16
from clusterfirst.embedding import encoders
from clusterfirst.embedding.walk import embed_slide
from clusterfirst.io import bounded_map, write_table
from clusterfirst.io import log as package_log
from clusterfirst.outlines import objects
from clusterfirst.segmentation import pipeline, seams, views
from clusterfirst.segmentation.cellpose import Cellpose
from clusterfirst.segmentation.flows import follow
from clusterfirst.segmentation.instanseg import InstanSeg
from clusterfirst.slide.slide import Slide

from .alone import VIT_PX, dtype_of, vit_network
from .bench import INSTANSEG, MPP, ON_TORCH, SEGMENTATION, Bench, ours
from .meter import Meter, flop
from .report import Report

CPU = torch.device("cpu")
KEPT_S = 240
"""What the parts after InstanSeg's pipeline want together."""
PIPELINE_S = 20
"""What one run of a pipeline should take."""
LEAST_TILES = 64
"""In a pipeline, however slow: fewer are read before the network begins."""
KNOWN = 4
"""Tiles whose nuclei give the flows that Cellpose's post-processing is given, in turn."""


class AtWork(logging.Handler):
    """Hears what the pipeline says of how long its network was at work."""

    def __init__(self):
        super().__init__()
        self.share: float | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg.startswith("the network was at work"):
            busy, whole, *_ = record.args
            self.share = busy / whole


def run_pipeline(report: Report, name: str, at_once, jobs: Iterator, network, *, mm2: float, work: float) -> list:
    """Measure a pipeline from the first call of its network on: what starts processes is paid once for a slide.

    Parameters
    ----------
    jobs
        What `pipeline.outline_views` yields.
    network
        The segmenter, or its class.

    Returns
    -------
    list of pipeline.TileJob
        All that came.
    """
    heard, meter = AtWork(), Meter(report.device)
    package_log.addHandler(heard)
    try:
        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(network, "predict", _first_starts(network.predict, stack, meter)))
            done = list(jobs)
    finally:
        package_log.removeHandler(heard)
    if errors := [job.error for job in done if job.error]:
        raise RuntimeError(f"{len(errors)} tiles of the slide that was just made cannot be read: {errors[0]}")
    report.rate(name, "slide", at_once, "tiles", len(done), meter, mm2=mm2, work=work, at_work=heard.share)
    return done


def _first_starts(predict: Callable, stack: ExitStack, meter: Meter) -> Callable:
    """Return a network's `predict` that enters the meter when it is called first."""
    begun = []

    def predict_measured(*arguments):
        if not begun:
            begun.append(stack.enter_context(meter))
        return predict(*arguments)

    return predict_measured


def instanseg_pipeline(bench: Bench) -> None:
    """The library's own, as `snakemake outline` runs it; then with stacks of several sizes."""
    report = bench.report
    work, most = instanseg_work(bench), int(PIPELINE_S / host_costs(bench))
    tiles = bench.kept.head(min(report.scale.tiles[0], max(most, LEAST_TILES)))
    jobs = pipeline.outline_tiles(
        bench.slide,
        tiles,
        facts=bench.facts,
        histogram=bench.histogram,
        settings=SEGMENTATION,
        weights=bench.kit / INSTANSEG,
        device=ours(report.device),
        threads=report.threads,
    )
    done = run_pipeline(report, "InstanSeg, as outlined", "default", jobs, InstanSeg, mm2=bench.mm2, work=work)
    bench.cells = _cells_of(bench, tiles, done)
    bench.mm2_of_cell = bench.mm2 * len(tiles) / max(len(bench.cells), 1)
    report.notes.append(
        f"{len(bench.cells):,} nuclei on {len(tiles):,} tiles: one in {1e6 * bench.mm2_of_cell:,.0f} µm²."
    )
    aligned = views.aligned_views(tiles, slide_mpp=bench.facts.mpp, mpp=MPP, stride=InstanSeg.stride)
    segmenter = bench.instanseg(report.device)
    with workers(bench, segmenter, InstanSeg.smoothing_px) as crew:
        # Once, so that no row has the start of the processes in it.
        list(pipeline.outline_views(aligned.head(2 * crew.count), segmenter, crew))
        for at_once in report.scale.stacks:
            if report.left < KEPT_S and not report.rehearsal:
                report.missing.append(f"InstanSeg's pipeline with {at_once} tiles at once: no time was left")
                continue
            segmenter.tiles_at_once = at_once
            jobs = pipeline.outline_views(aligned, segmenter, crew)
            run_pipeline(report, "InstanSeg", at_once, jobs, segmenter, mm2=bench.mm2, work=work)


def workers(bench: Bench, segmenter, smoothing_px: float) -> pipeline.Workers:
    """As `pipeline.outline_tiles` makes them."""
    count = pipeline._useful_workers(bench.facts, bench.report.device, bench.report.threads)
    return pipeline.Workers(
        bench.slide, slide_mpp=bench.facts.mpp, smoothing_px=smoothing_px, labels=segmenter.labels, count=count
    )


def instanseg_work(bench: Bench) -> float:
    """Operations of InstanSeg's network for a whole tile, with its 624 px or so."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`torch.jit.load` is deprecated")
        network = torch.jit.load(bench.kit / INSTANSEG, map_location=bench.report.device).eval().fcn
    high, wide = bench.images(1).shape[1:3]
    return flop(network, torch.zeros(1, 3, high, wide, device=bench.report.device))


def host_costs(bench: Bench) -> float:
    """Measure what one core does for a tile: decode it, make labels of what InstanSeg says of it, outline these.

    Returns
    -------
    float
        Seconds a tile that the pipeline will take at least: what is slower, the network or all cores together.
    """
    count = min(4, len(bench.whole))
    segmenter, threads = bench.instanseg(bench.report.device), torch.get_num_threads()
    start = time.perf_counter()
    images = bench.images(count)
    decode = time.perf_counter() - start
    segmenter.predict(images[:1])  # compiles, fills caches
    start = time.perf_counter()
    predicted = segmenter.predict(images)
    network = time.perf_counter() - start
    torch.set_num_threads(1)  # as a worker has it
    start = time.perf_counter()
    labels = [segmenter.labels(one)[0] for one in predicted]
    labelled = time.perf_counter()
    for one in labels:
        objects.outlines(one)
    costs = {"decode": decode, "labels": labelled - start, "outlines": time.perf_counter() - labelled}
    torch.set_num_threads(threads)
    least = sum(costs.values()) / bench.report.threads / count
    parts = ", ".join(f"{name} {1000 * seconds / count:,.0f}" for name, seconds in costs.items())
    bench.report.notes.append(
        f"InstanSeg: what a core does for a tile takes {parts} ms. Whatever the GPU does, {bench.report.threads} cores "
        f"allow {1 / least:,.1f} tiles/s, {least / bench.mm2:.3g} s/mm². `predict`: {1000 * network / count:,.0f} ms."
    )
    return max(least, network / count)


def _cells_of(bench: Bench, tiles, done: list):
    """The table of cells of what a pipeline saw, each once."""
    polygons = shapely.from_wkb([outline for job in done for outline in job.data])
    owner = np.repeat([job.tile for job in done], [len(job.data) for job in done])
    order = np.argsort(owner, kind="stable")
    aligned = views.aligned_views(tiles, slide_mpp=bench.facts.mpp, mpp=MPP, stride=InstanSeg.stride)
    found = seams.each_once(
        np.asarray(polygons)[order], owner[order], aligned, facts=bench.facts, settings=SEGMENTATION
    )
    path = bench.folder / "masks.parquet"
    write_table(objects.table(found, mpp=bench.facts.mpp), path, {})
    return objects.read_objects(path)


class Known:
    """Cellpose, whose predictions are replaced by flows of known nuclei once they were computed."""

    def __init__(self, network: Cellpose, known: list[tuple[np.ndarray, np.ndarray]]):
        self._network, self._known, self._next = network, known, 0
        self.labels, self.tiles_at_once = network.labels, network.tiles_at_once

    def predict(self, images: np.ndarray) -> np.ndarray:
        records = self._network.predict(images)
        for record in records:
            flows, ends = self._known[self._next % len(self._known)]
            self._next += 1
            if flows.shape == record["flows"].shape:
                record["flows"][...] = flows
                if "ends" in records.dtype.names:
                    record["ends"][...] = ends
        return records


def flows_of(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a perfect network says of a label image, and where its flows lead."""
    from cellpose import dynamics
    from skimage.segmentation import relabel_sequential

    labels = relabel_sequential(np.asarray(labels).astype(np.int32))[0]
    down, right = dynamics.masks_to_flows_gpu(labels, device=CPU)[0]
    flows = np.stack([5 * down, 5 * right, np.where(labels > 0, 4.0, -4.0)]).astype(np.float32)
    return flows, follow(torch.from_numpy(flows), threshold=0.0, steps=200).numpy()


def known_flows(bench: Bench) -> list[tuple[np.ndarray, np.ndarray]]:
    """Flows of the nuclei that InstanSeg finds on a few tiles."""
    if bench.flows is None:
        segmenter = bench.instanseg(bench.report.device)
        images = bench.images(min(KNOWN, len(bench.whole)))
        bench.flows = [flows_of(segmenter.labels(one)[0]) for one in segmenter.predict(images)]
    return bench.flows


def cellpose_pipeline(bench: Bench) -> None:
    """The library's own on whole tiles, with flows of known nuclei for what follows the network."""
    report = bench.report
    known, network = known_flows(bench), bench.cellpose(report.device)
    work = bench.subtiles * bench.subtile_work
    tiles = bench.whole.head(report.scale.tiles[1])
    segmenter = Known(network, known)
    with workers(bench, segmenter, 0.0) as crew:
        jobs = pipeline.outline_views(tiles, segmenter, crew)
        done = run_pipeline(report, "Cellpose-SAM", segmenter.tiles_at_once, jobs, segmenter, mm2=bench.mm2, work=work)
    count = sum(len(job.data) for job in done)
    report.notes.append(f"Cellpose-SAM's pipeline outlined {count:,} nuclei on {len(done):,} tiles.")
    if not count:
        raise RuntimeError("Cellpose-SAM's pipeline found nothing in flows of known nuclei")


def resnet_pipeline(bench: Bench) -> None:
    """The library's own walk over the slide: read, crop, network, rows on disk."""
    report = bench.report
    if bench.cells is None or bench.cells.empty:
        raise RuntimeError("InstanSeg found no cell that could be embedded")
    cells = bench.cells.head(report.scale.cells)
    settings = {**SETTINGS.embedding, **ON_TORCH, "models": ["resnet50"]}
    out = bench.folder / "embeddings.npy"
    weights = {"resnet50": bench.resnet}
    with Slide(bench.slide) as slide, Meter(report.device) as meter:
        embed_slide(
            slide,
            bench.kept,
            cells,
            out,
            settings=settings,
            weights=weights,
            device=ours(report.device),
            threads=report.threads,
        )
    rows = np.load(out, mmap_mode="r")
    lengths = np.linalg.norm(np.asarray(rows[:1000], np.float32), axis=1)
    if not np.allclose(lengths, 1, atol=0.02):
        raise RuntimeError(f"rows of ResNet-50 have lengths of {lengths.min():.3f} to {lengths.max():.3f}, not 1")
    encode = encoders.load("resnet50", bench.resnet, device=ours(report.device), **ON_TORCH)
    work = flop(encode._network, torch.zeros(1, 3, 224, 224, device=report.device, dtype=dtype_of(encode._network)))
    more = {"mm2": bench.mm2_of_cell, "work": work}
    report.rate("ResNet-50, as embedded", "slide, with loading", "default", "crops", len(cells), meter, **more)


def vit_pipeline(bench: Bench) -> None:
    """Tokens of whole tiles: threads decode ahead, the copy of one batch and the network of another overlap."""
    report = bench.report
    dtype = torch.bfloat16 if computes_bf16(ours(report.device)) else torch.float32
    network = vit_network(bench, report.device, dtype=dtype, edge=VIT_PX)
    work = flop(network.forward_features, torch.zeros(1, 3, VIT_PX, VIT_PX, device=report.device, dtype=dtype))
    tiles = list(bench.whole.head(report.scale.tiles[2]).itertuples())
    size = report.scale.vit_tile[len(report.scale.vit_tile) // 2]
    with Slide(bench.slide) as slide, ThreadPoolExecutor(report.threads) as pool:

        def read(part: list) -> torch.Tensor:
            images = np.stack([slide.read(one.x, one.y, VIT_PX, VIT_PX) for one in part])
            found = torch.from_numpy(images)
            return found.pin_memory() if report.device.type == "cuda" else found

        def whole(parts) -> int:
            count, last = 0, None
            for images in bounded_map(pool, read, parts, ahead=report.threads):
                with torch.inference_mode():
                    inputs = images.to(report.device, non_blocking=True).permute(0, 3, 1, 2).to(dtype).div_(255)
                    tokens = network.forward_features(inputs).half()
                count += len(images)
                # The device has its next batch before it is asked for the tokens of the last.
                if last is not None:
                    last.cpu()
                last = tokens
            return count + 0 * len(last.cpu())

        parts = [tiles[at : at + size] for at in range(0, len(tiles), size)]
        whole(parts[:1])
        with Meter(report.device) as meter:
            count = whole(parts)
    report.rate(
        report.scale.vit,
        "slide, tokens to the host",
        size,
        "tiles",
        count,
        meter,
        mm2=(VIT_PX * bench.facts.mpp / 1000) ** 2,
        work=work,
    )
