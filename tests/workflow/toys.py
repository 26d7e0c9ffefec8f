"""A segmenter, an embedder, an export format, a stage and a label source that nobody needs: what adding one takes.

Each is the places that it touches, in the order of its recipe in ``CONTRIBUTING.md``: a file that is new, or one that
gets something before or in place of what stands there.
"""

from dataclasses import dataclass
from pathlib import Path

LIBRARY = "workflow/scripts/clusterfirst"
SCHEMA = "workflow/schemas/config.schema.yaml"


@dataclass(frozen=True)
class New:
    """A file that was not there."""

    path: str
    text: str

    def add(self, repo: Path):
        assert not (repo / self.path).exists()
        (repo / self.path).write_text(self.text)


@dataclass(frozen=True)
class Line:
    """Something put before what stands in a file once."""

    path: str
    text: str
    before: str

    def add(self, repo: Path):
        old = (repo / self.path).read_text()
        assert old.count(self.before) == 1, f"{self.path}: {self.before}"
        (repo / self.path).write_text(old.replace(self.before, self.text + self.before))


SEGMENTER = [
    New(
        f"{LIBRARY}/segmentation/dark.py",
        '''
"""What is dark is an object."""

import cv2
import numpy as np


class Dark:
    mpp, stride, percentiles, smoothing_px, tiles_at_once = 1.0, 1, (0.1, 99.9), 1.0, 4

    def __init__(self, weights, *, device, intensity, settings):
        assert weights is None

    def predict(self, images):
        return images.mean(axis=3)

    @staticmethod
    def labels(prediction):
        return cv2.connectedComponents((prediction < 130).astype(np.uint8))[1], None
''',
    ),
    Line(
        f"{LIBRARY}/segmentation/__init__.py", '    "dark": Backend("segmentation.dark:Dark"),\n', "    GIVEN: Backend("
    ),
    Line(SCHEMA, "dark, ", "precomputed]\n        default: instanseg"),
]

EMBEDDER = [
    New(
        f"{LIBRARY}/embedding/bulk.py",
        '''
"""How large a cell is, twice."""

import numpy as np


class Bulk:
    columns, standardise, margin_um, cells_at_once = ("area", "length"), True, 0.0, None

    def __init__(self, model, weights, *, device, histogram, settings):
        pass

    def start(self, cells, out, *, mpp):
        out[:] = np.column_stack([cells.area * mpp**2, cells.length * mpp])

    def prepare(self, view):
        pass

    def take(self, rows, prepared):
        pass

    def finish(self):
        pass
''',
    ),
    Line(
        f"{LIBRARY}/embedding/__init__.py",
        '    "bulk": Backend("embedding.bulk:Bulk", columns=2),\n',
        '    "resnet50": _crops("imagenet"',
    ),
    Line(SCHEMA, "bulk|", "resnet50|(torchvision"),
]

FORMAT = [
    New(
        f"{LIBRARY}/export/names.py",
        '''
"""What cells are called, a line each."""

from ..io import atomic
from ..labels import join


def export(source, to):
    with atomic(to) as part, part.open("w") as file:
        for batch in join.read(source.cells, ("label",), what="names"):
            file.writelines(f"{label}\\n" for label in batch["label"].to_pylist())
''',
    ),
    Line(
        f"{LIBRARY}/export/__init__.py",
        """    "names": Format(
        "names", "names", "names.txt", Fit(memory={"job": 200}, seconds={"job": 10}, disk={"job": 10})
    ),
""",
        '    "h5ad": Format(',
    ),
    Line(SCHEMA, "names, ", "h5ad, spatialdata, csv, coco, paper]"),
]

STAGE = [
    New(
        f"{LIBRARY}/outlines/density.py",
        '''
"""How many cells there are in a square millimetre."""


def density(cells, *, mpp, least_um2):
    large = cells["area_um2"] >= least_um2
    minx, miny, maxx, maxy = cells.total_bounds
    return float(large.sum() / ((maxx - minx) * (maxy - miny) * mpp**2 / 1e6))
''',
    ),
    New(
        "workflow/scripts/density.py",
        """
from clusterfirst.io import log_to, write_json
from clusterfirst.outlines import density, objects
from clusterfirst.slide.facts import SlideFacts

if __name__ == "__main__":
    log_to(snakemake.log[0])
    cells, facts = objects.read_objects(snakemake.input.cells), SlideFacts.of(snakemake.input.cells)
    found = density.density(cells, mpp=facts.mpp, least_um2=snakemake.params.settings["least_um2"])
    write_json({"per_mm2": found}, snakemake.output.density)
""",
    ),
    Line(
        "workflow/rules/segment.smk",
        """rule density:
    input:
        cells=made("segment", "cells"),
    output:
        density=f"{RESULTS}/{{slide}}/density.json",
    log:
        f"{RESULTS}/{{slide}}/logs/density.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/density.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    resources:
        **asks("density"),
    params:
        settings=section("density"),
    script:
        "../scripts/density.py"


""",
        "rule segment:",
    ),
    Line(f"{LIBRARY}/plan/layout.py", '    density = File("density.json")\n', '    views = File("views")'),
    Line(
        f"{LIBRARY}/plan/stages.py",
        """    Stage(
        "density",
        SLIDE,
        {"density": SlideFolder.density},
        Fit(memory={"job": 200}, seconds={"job": 10}, disk={"job": 10}),
        after=("segment",),
        section="density",
        contract=True,
    ),
""",
        '    Stage(\n        "embed",',
    ),
    Line(
        SCHEMA,
        """  density:
    type: object
    additionalProperties: false
    properties:
      least_um2:
        type: number
        minimum: 0
        default: 5
        description: least area of a cell that counts
""",
        "  embedding:\n    type: object",
    ),
    Line(
        "config/config.yaml",
        "density:\n  # Least area of a cell that counts. Raise it where debris is outlined.\n  least_um2: 5\n\n",
        "embedding:\n",
    ),
    Line(f"{LIBRARY}/plan/settings.py", "    density: Mapping[str, Any]\n", "    embedding: Mapping[str, Any]\n"),
    Line(f"{LIBRARY}/plan/trials.py", '"density", ', '"embedding", "reduction", "clustering")'),
]

SOURCE = [
    New(
        f"{LIBRARY}/labels/size.py",
        '''
"""A cell is what its size is."""

import geopandas
import numpy as np

from . import Labels


def read_labels(path, masks, clusters):
    large = geopandas.read_parquet(masks)["area_um2"].to_numpy() > 40
    label = np.where(large, "large", "small").astype(object)
    classes = [{"name": "large", "colour": "#112233"}, {"name": "small", "colour": "#445566"}]
    who, sure = np.full(len(label), "a ruler", object), np.ones(len(label), np.float32)
    return Labels(label, who, who, sure, classes, {})
''',
    ),
    Line(
        f"{LIBRARY}/labels/__init__.py",
        '    LabelSource("by_size", "size", guess="measured", about="by size"),\n',
        '    LabelSource("proposals"',
    ),
    Line(
        f"{LIBRARY}/plan/wanted.py",
        '    "by_size": lambda plan, slide: [plan.at("segment", slide, "cells")],\n',
        '    "proposals": proposals,\n',
    ),
]

TOYS = {
    "A segmenter": SEGMENTER,
    "An embedder": EMBEDDER,
    "An export format": FORMAT,
    "A stage": STAGE,
    "A label source": SOURCE,
}
"""By how their recipes begin."""
