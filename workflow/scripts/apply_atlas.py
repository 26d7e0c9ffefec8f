"""Say what the cells of a slide are, by an atlas."""

import numpy as np
import pyarrow.parquet as pq

from clusterfirst.io import log_to, read_json
from clusterfirst.labels import learnt
from clusterfirst.learning.apply import ask, decide
from clusterfirst.learning.atlas import Atlas
from clusterfirst.reduction import inputs
from clusterfirst.slide.facts import SlideFacts
from clusterfirst.weights import sha256

if __name__ == "__main__":
    log_to(snakemake.log[0])
    given, settings = snakemake.input, dict(snakemake.params.apply)
    atlas = Atlas.read(given.atlas)
    slide = inputs.read(
        snakemake.wildcards.slide, embeddings=given.embeddings, columns=given.columns, cells=given.cells
    )
    asked = ask(
        atlas,
        slide,
        embedding=read_json(given.columns),
        mpp=SlideFacts.of(given.cells).mpp,
        threads=snakemake.threads,
    )
    said = decide(atlas, asked, settings)
    names = np.array([*(entry["name"] for entry in atlas.classes), None], object)
    learnt.write(
        snakemake.output.learnt,
        cell_id=pq.read_table(given.cells, columns=["cell_id"])["cell_id"].to_numpy(),
        label=names[said.label],
        probability=said.probability,
        novelty=said.novelty,
        metadata={
            "atlas": {"name": atlas.name, "sha256": sha256(given.atlas)},
            "classes": list(atlas.classes),
            "settings": {key: value for key, value in settings.items() if key != "atlas"},
            "counts": said.facts,
            "measured": {key: atlas.measured[key] for key in ("right", "low", "high", "left_out")},
        },
    )
