"""Learn an atlas from what people said of slides."""

import numpy as np

from clusterfirst.drawing.crops import Source
from clusterfirst.io import ClusterfirstError, log_to, read_json
from clusterfirst.labels import blind, people
from clusterfirst.learning import page
from clusterfirst.learning.learn import by_answers, confusions, learn
from clusterfirst.learning.recipe import Recipe
from clusterfirst.learning.taught import Taught
from clusterfirst.learning.teaching import Lesson
from clusterfirst.reduction import inputs
from clusterfirst.slide.facts import SlideFacts

_CONFUSIONS, _CELLS = 6, 12
"""Pairs of classes that the page shows cells of, and how many of each."""

if __name__ == "__main__":
    log_to(snakemake.log[0])
    given, params, names = snakemake.input, snakemake.params, list(snakemake.params.slides)
    slides = inputs.read_all(names, given)
    columns = [read_json(file) for file in given.columns]
    for name, one in zip(names, columns, strict=True):
        if one["models"] != columns[0]["models"]:
            raise ClusterfirstError(
                f"slides {names[0]} and {name} were embedded with different models, so they cannot teach one atlas"
            )
    said = [people.read_labels(file, cells, None) for file, cells in zip(given.said, given.cells, strict=True)]
    counts = {name: len(slide.values) for name, slide in zip(names, slides, strict=True)}
    # Of the exports it is known already that they are of these cells.
    meant = {name: one.facts["cells_sha256"] for name, one in zip(names, said, strict=True)}
    answers = blind.read(given.blind, counts, meant)
    learning = params.settings["learning"]
    taught = Taught.of(
        slides,
        Lesson.of(names, said, [answers[name] for name in names]),
        Recipe.fit(slides, params.settings["reduction"], learning),
        features=learning["random_features"],
        patients=params.patients,
        threads=snakemake.threads,
    )
    mpp = [SlideFacts.of(file).mpp for file in given.cells]
    atlas, chances = learn(snakemake.wildcards.atlas, taught, embedding=columns[0], mpp=mpp)
    atlas.write(snakemake.output.atlas)
    confused = confusions(taught, chances, most=_CONFUSIONS, cells=_CELLS)
    sources = [Source(*pair) for pair in zip(given.shown, given.cells, strict=True)]
    starts = np.cumsum([0, *(len(slide.values) for slide in slides)])
    pictures = page.shots(confused, atlas, sources, starts)
    curve = by_answers(taught, atlas.measured["ridge"])
    page.write(atlas, curve, list(zip(confused, pictures, strict=True)), snakemake.output.page)
