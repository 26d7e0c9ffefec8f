"""What smoothing does for InstanSeg on plain and on sharpened scans.

    .venv/bin/python benchmarks/smoothing.py FOLDER | tee benchmarks/smoothing.md

FOLDER holds images at 0.25 µm/px with outlines of nuclei beside them (`name.png`, `name.geojson`), such as MoNuSeg's.
Images are brought to 0.5 µm/px; sharpening is an unsharp mask (σ 1 px) of the strength that scanners apply.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import shapely
from machine import machine
from shapely.geometry import shape
from whole import SETTINGS

from clusterfirst import devices
from clusterfirst.outlines.objects import outlines
from clusterfirst.segmentation.instanseg import InstanSeg
from clusterfirst.segmentation.intensity import Intensity
from clusterfirst.slide import tissue
from clusterfirst.slide.slide import Slide
from clusterfirst.weights import WEIGHTS, fetch

REPO = Path(__file__).resolve().parent.parent
STRENGTHS = (0.0, 1.0, 2.0)
SIGMAS = (0.0, 0.5, 0.7, 1.0)


def sharpened(image: np.ndarray, strength: float) -> np.ndarray:
    """Lay an unsharp mask over an image."""
    soft = cv2.GaussianBlur(image, (0, 0), 1.0)
    return cv2.addWeighted(image, 1 + strength, soft, -strength, 0)


def hits(found: np.ndarray, truth: np.ndarray) -> int:
    """Count objects found with IoU above 0.5, at which a match is unique."""
    i, j = shapely.STRtree(truth).query(found, predicate="intersects")
    shared = shapely.area(shapely.intersection(found[i], truth[j]))
    iou = shared / (shapely.area(found[i]) + shapely.area(truth[j]) - shared)
    return len(np.unique(i[iou > 0.5]))


def main(folder: Path) -> None:
    weights = fetch(WEIGHTS["instanseg"], REPO / "resources/models")
    counts = {(strength, sigma): np.zeros(3, int) for strength in STRENGTHS for sigma in SIGMAS}
    images = sorted(folder.glob("*.png"))
    for path in images:
        features = json.loads(path.with_suffix(".geojson").read_text())["features"]
        truth = shapely.make_valid(np.array([shape(feature["geometry"]) for feature in features]))
        with Slide(path, mpp=0.25) as slide:
            plain = slide.read(0, 0, *slide.size, mpp=InstanSeg.mpp)
        histogram = tissue.histogram(plain, np.ones(plain.shape[:2], bool))
        intensity = Intensity.from_histogram(histogram, InstanSeg.percentiles)
        network = InstanSeg(
            weights, device=devices.choose("auto", threads=2), intensity=intensity, settings=SETTINGS.segmentation
        )
        for strength, sigma in counts:
            image = sharpened(plain, strength) if strength else plain
            image = cv2.GaussianBlur(image, (0, 0), sigma) if sigma else image
            labels, _ = network.labels(network.predict(image[None])[0])
            polygons, _ = outlines(labels)
            polygons = shapely.transform(polygons, lambda xy: xy * 2)
            polygons = polygons[shapely.area(polygons) * 0.25**2 >= 8]
            counts[strength, sigma] += (hits(polygons, truth), len(polygons), len(truth))
    print("# Smoothing before InstanSeg\n")
    print(f"{machine()}; {len(images)} images of `{folder.name}`. F1 (recall) at IoU 0.5, micro over all nuclei.\n")
    print("| sharpening | " + " | ".join(f"σ {sigma:g} px" for sigma in SIGMAS) + " |")
    print("|---" * (1 + len(SIGMAS)) + "|")
    for strength in STRENGTHS:
        row = [counts[strength, sigma] for sigma in SIGMAS]
        cells = [f"{2 * hit / (seen + true):.3f} ({hit / true:.2f})" for hit, seen, true in row]
        print(f"| {strength:g} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
