"""Torch and OpenVINO on this CPU: what they take, and whether they say the same as InstanSeg's published file.

    .venv/bin/python benchmarks/engines.py | tee benchmarks/engines.md

Tiles of the demo slide; ResNet-50 and the ViT have seeded random weights, which cost what trained ones cost. Times are
the quickest of several, taken in turn.
"""

import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from machine import machine
from whole import REPO, SETTINGS, filtered, weights

from clusterfirst import engine
from clusterfirst.devices import Device
from clusterfirst.embedding import encoders
from clusterfirst.evaluation.matching import overlaps
from clusterfirst.outlines.objects import outlines
from clusterfirst.segmentation import instanseg, views
from clusterfirst.segmentation.intensity import Intensity
from clusterfirst.slide.slide import Slide
from clusterfirst.weights import SLIDES, fetch

CPU = Device("cpu", 2)
TIMES = 5
ENGINES = ("torch", "openvino")


def quickest(calls: dict) -> dict[str, float]:
    """Seconds of each call, the quickest of several, in turn."""
    for call in calls.values():
        call()
    found = dict.fromkeys(calls, np.inf)
    for _ in range(TIMES):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            found[name] = min(found[name], time.perf_counter() - start)
    return found


def alike(one: np.ndarray, other: np.ndarray, iou: float = 0.9) -> int:
    """How many objects of two label images overlap so much."""
    return int((overlaps(outlines(one)[0], outlines(other)[0]).iou >= iou).sum())


def tiles() -> tuple[np.ndarray, Intensity]:
    path = fetch(SLIDES["CMU-1-Small-Region.svs"], REPO / "resources/slides")
    facts, found = filtered(path, limits={"max_bright_ratio": 0.95})
    kept = found.tiles.query("kept")
    kept = views.aligned_views(kept, slide_mpp=facts.mpp, mpp=0.5, stride=8)
    kept = kept[(kept.read_width == kept.read_width.max()) & (kept.read_height == kept.read_width.max())]
    with Slide(path) as slide:
        images = [slide.read(t.read_x, t.read_y, t.read_width, t.read_height, mpp=t.mpp) for t in kept.itertuples()]
    return np.stack(images), Intensity.from_histogram(found.histogram, instanseg.InstanSeg.percentiles)


def published(images: np.ndarray, intensity: Intensity) -> tuple[list[np.ndarray], float]:
    """Labels that InstanSeg's own file gives in float32, and its seconds a tile in bfloat16."""
    model = instanseg.load(weights(), device=torch.device("cpu"))
    scaled = torch.from_numpy(intensity.scale(images)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        labels = [model(one[None].contiguous())[0, 0].int().numpy() for one in scaled]

        def run() -> None:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                model(scaled[:1].clone())

        return labels, quickest({"whole": run})["whole"]


def ours(name: str, intensity: Intensity) -> instanseg.InstanSeg:
    settings = SETTINGS.segmentation | {"engine": name}
    return instanseg.InstanSeg(weights(), device=CPU, intensity=intensity, settings=settings)


def outlining() -> None:
    images, intensity = tiles()
    theirs, whole = published(images, intensity)
    count = sum(len(np.unique(labels)) - 1 for labels in theirs)
    computes_bf16, engine.computes_bf16 = engine.computes_bf16, lambda device: False
    networks = {"torch, float32": ours("torch", intensity)}
    engine.computes_bf16 = computes_bf16
    networks |= {f"{name}, bfloat16" if computes_bf16(CPU) else name: ours(name, intensity) for name in ENGINES}
    seconds = quickest({name: partial(network.predict, images[:1]) for name, network in networks.items()})
    print(f"## InstanSeg, {len(images)} tiles of {images.shape[1]} px\n")
    print("| | network, s/tile | nuclei | at IoU 0.9 with one of the published file | of those of the published file |")
    print("|---|---|---|---|---|")
    for name, network in networks.items():
        labels = [network.labels(network.predict(image[None])[0])[0] for image in images]
        same = sum(alike(one, other) for one, other in zip(labels, theirs, strict=True))
        found = sum(int(one.max()) for one in labels)
        print(f"| {name} | {seconds[name]:.2f} | {found:,} | {same / found:.2%} | {same / count:.2%} |")
    (maps,) = network.predict(images[:1])
    nuclei = quickest({"labels": partial(network.labels, maps)})["labels"]
    print(
        f"\nFrom maps to {network.labels(maps)[0].max()} nuclei: {1000 * nuclei:.0f} ms of one core. The published "
        f"file, network and all, takes {whole:.2f} s in torch's bfloat16; its nuclei above ({count:,}) are those of "
        "float32.\n"
    )


def describing(folder: Path) -> None:
    """Crops a second of networks that are shown crops."""
    import timm
    from torchvision.models import resnet50

    torch.manual_seed(0)
    files = {"resnet50": folder / "resnet50.pth", "timm:vit_small_patch16_224": folder / "vit.pth"}
    torch.save(resnet50(weights=None).state_dict(), files["resnet50"])
    torch.save(timm.create_model("vit_small_patch16_224").state_dict(), files["timm:vit_small_patch16_224"])
    crops = np.random.default_rng(0).integers(0, 255, (16, 224, 224, 3), np.uint8)
    print("## Crops of 224 px a second\n")
    print("| | " + " | ".join(ENGINES) + " | ratio | farthest rows of unit length |")
    print("|---|---|---|---|---|")
    for model, path in files.items():
        encode = {name: encoders.load(model, path, device=CPU, engine=name) for name in ENGINES}
        seconds = quickest({name: partial(one, crops) for name, one in encode.items()})
        rows = [torch.nn.functional.normalize(one(crops)) for one in encode.values()]
        speed = [len(crops) / seconds[name] for name in ENGINES]
        apart = float((rows[0] - rows[1]).norm(dim=1).max())
        print(f"| {model} | {speed[0]:.0f} | {speed[1]:.0f} | {speed[1] / speed[0]:.2f} | {apart:.4f} |")


def main(folder: Path) -> None:
    print("# Engines\n")
    print(f"{machine()}; {CPU.threads} threads, torch {torch.__version__}.\n")
    outlining()
    describing(folder)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        engine._folder = lambda: Path(temporary, "cache")
        main(Path(temporary))
