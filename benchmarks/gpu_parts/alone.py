"""Networks by themselves: what a GPU makes of them when nothing keeps it waiting."""

import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from clusterfirst.devices import computes_bf16, in_less_memory
from clusterfirst.embedding import encoders

from .bench import HALO_PX, INSTANSEG, MPP, ON_TORCH, Bench, ours
from .meter import flop, repeated
from .report import Report

VIT_PX = 512
"""Edge of the tiles whose tokens a ViT gives."""


def instanseg_alone(bench: Bench) -> None:
    """The network without its post-processing, on random images."""
    report = bench.report
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`torch.jit.load` is deprecated")
        model = torch.jit.load(bench.kit / INSTANSEG, map_location=report.device).eval()
    torch._C._jit_set_profiling_executor(False)
    network, bf16 = model.fcn, computes_bf16(ours(report.device))
    for edge, count in report.scale.instanseg:
        images = torch.rand(count, 3, edge, edge, device=report.device).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast(report.device.type, dtype=torch.bfloat16, enabled=bf16):
            work = flop(network, images[:1])
            mm2 = ((edge - 2 * HALO_PX) * MPP / 1000) ** 2
            _alone(report, "InstanSeg", f"{edge} px", count, "tiles", partial(network, images), mm2=mm2, work=work)


def _alone(report: Report, network: str, shown: str, count: int, unit: str, step: Callable[[], object], **more) -> None:
    """Keep the rate of a step that does `count` units; too little memory is told, and no error."""
    try:
        times, meter = in_less_memory(partial(repeated, step, report.device, seconds=report.scale.seconds), _give_up)
    except TooLarge as error:
        report.missing.append(f"{network}, {shown}, {count} at once: {error}")
        if report.device.type == "cuda":
            torch.cuda.empty_cache()
        return
    report.rate(network, shown, count, unit, times * count, meter, **more)


class TooLarge(Exception):
    """A batch does not fit into the memory of the device."""


def _give_up(reason: str) -> None:
    raise TooLarge(reason)


def make_cellpose(bench: Bench) -> None:
    """Cellpose-SAM's network with seeded parameters."""
    from cellpose import vit

    torch.manual_seed(0)
    cpsam = bench.folder / "cpsam"
    vit.CPSAM().to(torch.bfloat16).save_model(cpsam)
    with torch.device("meta"):  # operations are counted without doing them
        bench.subtile_work = flop(vit.CPSAM(), torch.empty(1, 3, 256, 256))
    bench.cpsam = cpsam


def cellpose_alone(bench: Bench) -> None:
    """The network on sub-tiles of 256 px, as the library builds it; nine make a tile of 512 px and its halo."""
    report = bench.report
    network = bench.cellpose(report.device)
    model, dtype = network._model, network._dtype
    one = torch.rand(1, 3, 256, 256, device=report.device).to(dtype)
    with torch.inference_mode():
        for count in report.scale.subtiles:
            images = one.expand(count, -1, -1, -1).contiguous()
            mm2 = bench.mm2 / bench.subtiles
            step = partial(model, images)
            _alone(report, "Cellpose-SAM", "256 px", count, "sub-tiles", step, mm2=mm2, work=bench.subtile_work)


def make_encoders(bench: Bench) -> None:
    """State dicts of ResNet-50 and the ViT with seeded parameters."""
    import timm
    from torchvision.models import resnet50

    resnet, vit = bench.folder / "resnet50.pth", bench.folder / "vit.pth"
    torch.manual_seed(0)
    torch.save(resnet50(weights=None).state_dict(), resnet)
    torch.save(timm.create_model(bench.report.scale.vit, pretrained=False).state_dict(), vit)
    bench.resnet, bench.vit = resnet, vit


def resnet_alone(bench: Bench) -> None:
    """ResNet-50 as the library runs it: bytes in host memory in, rows of numbers out."""
    report = bench.report
    encode = encoders.load("resnet50", bench.resnet, device=ours(report.device), **ON_TORCH)
    work = flop(encode._network, torch.zeros(1, 3, 224, 224, device=report.device, dtype=dtype_of(encode._network)))
    for count in report.scale.crops:
        crops = np.random.default_rng(0).integers(0, 256, (count, 224, 224, 3), np.uint8)
        more = {"mm2": bench.mm2_of_cell, "work": work}
        _alone(report, "ResNet-50", "crops, 224 px", count, "crops", partial(encode, crops), **more)


def dtype_of(network: torch.nn.Module) -> torch.dtype:
    return next(network.parameters()).dtype


def vit_network(bench: Bench, device: torch.device, *, dtype: torch.dtype, edge: int) -> torch.nn.Module:
    """Build the ViT for images of some edge: its parameters are seeded, so that positions need no interpolation."""
    import timm

    torch.manual_seed(0)
    network = timm.create_model(bench.report.scale.vit, pretrained=False, num_classes=0, img_size=edge)
    return network.to(device, dtype).eval()


def vit_alone(bench: Bench) -> None:
    """Tokens of the ViT: of crops of 224 px, and of whole tiles of 512 px."""
    report = bench.report
    dtype = torch.bfloat16 if computes_bf16(ours(report.device)) else torch.float32
    for edge, counts, unit, mm2 in (
        (224, report.scale.crops, "crops", bench.mm2_of_cell),
        (VIT_PX, report.scale.vit_tile, "tiles", (VIT_PX * MPP / 1000) ** 2),
    ):
        network = vit_network(bench, report.device, dtype=dtype, edge=edge).forward_features
        one = torch.rand(1, 3, edge, edge, device=report.device).to(dtype)
        work, shown = flop(network, one), f"{unit}, {edge} px, all tokens"
        with torch.inference_mode():
            for count in counts:
                step = partial(network, one.expand(count, -1, -1, -1).contiguous())
                _alone(report, report.scale.vit, shown, count, unit, step, mm2=mm2, work=work)
