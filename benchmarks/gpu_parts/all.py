"""All parts, one after the other: what fails fails alone, and what finds no time is left out."""

import os
import tempfile
import threading
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from machine import machine

from clusterfirst import devices
from clusterfirst.io import log_to

from .alone import cellpose_alone, instanseg_alone, make_cellpose, make_encoders, resnet_alone, vit_alone
from .bench import Bench
from .meter import ceiling
from .pipelines import cellpose_pipeline, instanseg_pipeline, resnet_pipeline, vit_pipeline
from .report import Report
from .same import cellpose_same, encoders_same, instanseg_same, memory_respected
from .scale import FULL, REHEARSAL


def rapids_there(bench: Bench) -> None:
    """Say which packages for maps and clusters on a GPU there are; cuML is too large to be brought."""
    found = [name for name in ("cupy", "cuml") if find_spec(name)]
    bench.report.notes.append(
        f"Packages for maps and clusters on a GPU here: {', '.join(found) or 'none'}; the workflow uses "
        "them if cuML is among them, and scikit-learn and UMAP on the CPU otherwise."
    )


PARTS: tuple[tuple[str, float, Callable[[Bench], None]], ...] = (
    ("InstanSeg alone", 15, instanseg_alone),
    ("InstanSeg's pipeline", 40, instanseg_pipeline),
    ("Cellpose-SAM's parameters", 20, make_cellpose),
    ("Cellpose-SAM alone", 15, cellpose_alone),
    ("Cellpose-SAM's pipeline", 40, cellpose_pipeline),
    ("parameters of the encoders", 10, make_encoders),
    ("ResNet-50 alone", 15, resnet_alone),
    ("ResNet-50's pipeline", 25, resnet_pipeline),
    ("the ViT alone", 15, vit_alone),
    ("the ViT's pipeline", 20, vit_pipeline),
    ("InstanSeg as on the CPU", 15, instanseg_same),
    ("the encoders as on the CPU", 20, encoders_same),
    ("too little memory", 15, memory_respected),
    ("cuML", 0, rapids_there),
    ("Cellpose-SAM as on the CPU", 20, cellpose_same),
)
"""What is done, in this order, and the seconds that must be left for it."""


def measure(kit: Path, out: Path, *, ends: float, rehearsal: bool) -> bool:
    """Measure all of it on the GPU, in a rehearsal on whatever there is; return whether all went well.

    Parameters
    ----------
    kit
        The folder that `gpu.sh prepare` has made.
    out
        Where gpu.md and gpu.json appear.
    ends
        When all must be over, as `time.monotonic` counts.
    rehearsal
        Small, on a GPU or a CPU.
    """
    log_to(None)  # what the pipelines say of themselves, too
    threads = len(os.sched_getaffinity(0))
    device = torch.device(devices.choose("auto" if rehearsal else True, threads=threads).type)
    report = Report(out, device, REHEARSAL if rehearsal else FULL, rehearsal, threads, ends)
    watch = threading.Timer(report.left, give_up, [report])
    watch.daemon = True
    watch.start()
    gpu = "no GPU used" if device.type == "cpu" else torch.cuda.get_device_name(device)
    edge = report.scale.matrix
    report.bf16, single = (ceiling(device, dtype, edge=edge) / 1e12 for dtype in (torch.bfloat16, torch.float32))
    report.facts = (
        f"{machine(gpu)}; torch {torch.__version__}, {threads} threads. Products of {edge}² matrices: "
        f"{report.bf16:,.3g} TFLOP/s in bfloat16 (the ceiling), {single:,.3g} in float32."
    )
    report.say(report.facts)
    with tempfile.TemporaryDirectory() as folder:
        well = run_parts(Bench(report, kit, Path(folder)))
    watch.cancel()
    report.say(f"done: {out / 'gpu.md'}")
    return well


def run_parts(bench: Bench) -> bool:
    """Do one part after the other; return whether all went well. What fails fails alone; without a slide, all does."""
    report, well = bench.report, True
    bench.make_slide()
    for name, needed, part in PARTS:
        if report.left < needed:
            report.missing.append(f"{name}: {report.left:.0f} s were left, {needed:.0f} s are wanted")
            report.say(report.missing[-1])
            continue
        report.say(f"begins: {name}")
        try:
            part(bench)
        except Exception as error:  # noqa: BLE001 - the others are worth the loan
            well = False
            traceback.print_exc()
            report.missing.append(f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
            report.say(f"FAILED: {report.missing[-1]}")
        report.write()
    return well


def give_up(report: Report) -> None:
    """Leave the table and end, whatever hangs: whoever stops a machine asks nobody."""
    report.missing.append("the rest: the time was over in the middle of a part")
    report.say("the time is over: ending here")
    report.write()
    os._exit(3)
