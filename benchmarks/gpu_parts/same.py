"""Does a GPU say what a CPU says, and does it when it has too little memory?"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import numpy as np
import torch

from clusterfirst.devices import computes_bf16
from clusterfirst.embedding import encoders
from clusterfirst.evaluation.matching import overlaps
from clusterfirst.outlines import objects
from clusterfirst.segmentation.flows import follow

from .bench import ON_TORCH, Bench, ours
from .pipelines import CPU, known_flows
from .report import Report


@contextmanager
def float32(wanted: bool = True) -> Iterator[None]:
    """Let what is built and run in here compute in float32, and on a GPU without TF32; False: leave all as it is."""
    if not wanted:
        yield
        return
    places = [module for name, module in sys.modules.items() if name.startswith("clusterfirst.")]
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    with ExitStack() as stack:
        for place in places:
            if hasattr(place, "computes_bf16"):
                stack.enter_context(mock.patch.object(place, "computes_bf16", return_value=False))
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        try:
            yield
        finally:
            torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def variants(report: Report) -> list[tuple[str, torch.device, bool]]:
    """What is compared with the CPU in float32: name, device, whether in float32."""
    found = [(f"{report.device.type}, float32", report.device, True)] if report.device.type != "cpu" else []
    if computes_bf16(ours(report.device)) and report.device.type != "cpu":
        found.append((f"{report.device.type}, bfloat16", report.device, False))
    if computes_bf16(ours(CPU)):
        found.append(("cpu, bfloat16", CPU, False))
    return found


def matched(ours: np.ndarray, theirs: np.ndarray) -> str:
    """Share of objects of two label images that have a partner at IoU 0.9."""
    one, other = objects.outlines(ours)[0], objects.outlines(theirs)[0]
    if not len(one) or not len(other):
        return f"{len(one)} and {len(other)} objects"
    pairs = int((overlaps(one, other).iou > 0.9).sum())
    return f"{2 * pairs / (len(one) + len(other)):.2%} of {len(one):,} and {len(other):,} objects at IoU 0.9"


def _all(labels: list[np.ndarray]) -> np.ndarray:
    """Put label images beneath each other, each with numbers of its own."""
    out, first = [], 0
    for one in labels:
        one = np.asarray(one).astype(np.int64)
        out.append(np.where(one > 0, one + first, 0))
        first += int(one.max())
    return np.concatenate(out)


def instanseg_same(bench: Bench) -> None:
    """Labels of InstanSeg; and in a stack, those of one by one."""
    report = bench.report
    images = bench.images(report.scale.same[0])

    def labels(device: torch.device, single: bool) -> np.ndarray:
        with float32(single):
            segmenter = bench.instanseg(device)
            return _all([segmenter.labels(segmenter.predict(one[None])[0])[0] for one in images])

    reference = labels(CPU, True)
    for name, device, single in variants(report):
        report.same.append(("InstanSeg", name, "cpu, float32", matched(labels(device, single), reference)))
    segmenter = bench.instanseg(report.device)
    stacked = segmenter.predict(np.concatenate([images, images]))
    together = _all([segmenter.labels(one)[0] for one in stacked[: len(images)]])
    alone = labels(report.device, False)
    equal = "; equal to the last pixel" if np.array_equal(together, alone) else ""
    told = matched(together, alone) + equal
    report.same.append(("InstanSeg", f"{2 * len(images)} tiles at once", "one at a time", told))


def cellpose_same(bench: Bench) -> None:
    """Flows of Cellpose-SAM's seeded network, and cells where flows of known nuclei lead."""

    report = bench.report
    edge = 256
    image = bench.images(1)[:, :edge, :edge]

    def flows(device: torch.device, single: bool) -> np.ndarray:
        with float32(single):
            return bench.cellpose(device, batch_size=1).predict(image)["flows"].astype(np.float32)

    reference = flows(CPU, True)
    for name, device, single in variants(report):
        apart = np.linalg.norm(flows(device, single) - reference) / np.linalg.norm(reference)
        report.same.append(("Cellpose-SAM", f"flows, {name}", "cpu, float32", f"{apart:.2e} apart, of their norm"))
    network = bench.cellpose(report.device)
    (known, ends), *_ = known_flows(bench)
    there = follow(torch.from_numpy(known).to(report.device), threshold=0.0, steps=200).cpu().numpy()
    record = np.zeros(1, [("flows", "f4", known.shape), ("size", "i4", 2), ("ends", "i2", ends.shape)])
    found = []
    for led in (there, ends):
        record["flows"][0], record["size"][0], record["ends"][0] = known, known.shape[1:], led
        found.append(network.labels(record[0])[0])
    told = matched(*(one.astype(np.int64) for one in found))
    report.same.append(("Cellpose-SAM", f"known flows, followed on {report.device.type}", "on the cpu", told))


def encoders_same(bench: Bench) -> None:
    """Rows of ResNet-50 and of the ViT, by name, as the library loads them."""
    report = bench.report
    image = bench.images(1)[0]
    rng = np.random.default_rng(0)
    corners = rng.integers(0, np.array(image.shape[:2]) - 224, (report.scale.same[1], 2))
    crops = np.stack([image[y : y + 224, x : x + 224] for y, x in corners])
    for title, model, weights in (
        ("ResNet-50", "resnet50", bench.resnet),
        (report.scale.vit, f"timm:{report.scale.vit}", bench.vit),
    ):

        def rows(device: torch.device, single: bool, model=model, weights=weights) -> torch.Tensor:
            with float32(single):
                encode = encoders.load(model, weights, device=ours(device), **ON_TORCH)
                found = torch.cat([encode(part).cpu() for part in np.array_split(crops, max(1, len(crops) // 64))])
            return torch.nn.functional.normalize(found)

        reference = rows(CPU, True)
        # Rows of a random network are much alike: agreement means something only beside that.
        between = torch.pdist(reference).mean()
        for name, device, single in variants(report):
            found = rows(device, single)
            cosine, apart = (found * reference).sum(dim=1), (found - reference).norm(dim=1).mean()
            told = f"cosine {cosine.mean():.6f}, at least {cosine.min():.6f}"
            told += f"; {apart / between:.1%} as far apart as two crops are"
            report.same.append((title, name, "cpu, float32", told))


def memory_respected(bench: Bench) -> None:
    """Let the device have too little memory for the batch that it is given: the same flows, in smaller batches."""
    report = bench.report
    if report.device.type != "cuda":
        report.missing.append("too little memory of a GPU: there is none")
        return
    image = bench.images(1)[:, :512, :512]
    plain = bench.cellpose(report.device, batch_size=1)
    reference = plain.predict(image)["flows"].astype(np.float32)
    few = 2.5e9
    total = torch.cuda.get_device_properties(report.device).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + few) / total)
    try:
        segmenter = bench.cellpose(report.device, batch_size=128)
        found = segmenter.predict(np.concatenate([image] * 8))["flows"].astype(np.float32)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    apart = np.linalg.norm(found[0] - reference[0]) / np.linalg.norm(reference[0])
    told = f"went on with {segmenter._batch_size}; {apart:.2e} apart, of their norm"
    report.same.append(("Cellpose-SAM", f"batch of 128 in {few / 1e9:.1f} GB", "one at a time", told))
