"""Learn an atlas from what people said of slides."""

from clusterfirst.io import ClusterfirstError, log_to, read_json
from clusterfirst.labels import people
from clusterfirst.learning import page
from clusterfirst.learning.learn import learn
from clusterfirst.learning.teaching import Lesson
from clusterfirst.reduction import inputs
from clusterfirst.slide.facts import SlideFacts

if __name__ == "__main__":
    log_to(snakemake.log[0])
    given, names, settings = snakemake.input, list(snakemake.params.slides), snakemake.params.settings
    slides = inputs.read_all(names, given)
    columns = [read_json(file) for file in given.columns]
    for name, one in zip(names, columns, strict=True):
        if one["models"] != columns[0]["models"]:
            raise ClusterfirstError(
                f"slides {names[0]} and {name} were embedded with different models, so they cannot teach one atlas"
            )
    said = [
        people.read_labels(file, cells, None) for file, cells in zip(given.said, given.cells, strict=True)
    ]
    atlas = learn(
        snakemake.wildcards.atlas,
        slides,
        Lesson.of(names, said),
        embedding=columns[0],
        mpp=[SlideFacts.of(file).mpp for file in given.cells],
        threads=snakemake.threads,
        **settings,
    )
    atlas.write(snakemake.output.atlas)
    page.write(atlas, snakemake.output.page)
