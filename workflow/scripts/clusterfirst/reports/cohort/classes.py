"""What cells are called: how many of each class on each slide, and on how much tissue."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ...html import Html, table, tag
from ...labels import GUESSES
from ...text import counted
from .cohort import Cohort
from .figures import Slide, density, guesses, used_classes
from .widgets import bar, folded, legend, number, percent, sorted_percent, swatch

_CLASSES_PER_TABLE = 8
"""More columns do not fit on paper."""
_SLIDES_ACROSS = 4
"""Of as many slides, more classes than that are rows, and slides the columns."""


def section(cohort: Cohort) -> list[Html]:
    """Return the section about classes; without labels, how to come by some."""
    slides = [slide for slide in cohort.slides if slide.labels]
    if not slides:
        return [
            tag(
                "p",
                "No cell has a label yet. Name clusters with ",
                tag("code", f"make label RESULTS={cohort.results}"),
                ", press Export, run ",
                tag("code", "snakemake labels"),
                " with the same ",
                tag("code", "--configfile"),
                ", and make this page again.",
            )
        ]
    classes, unused = used_classes(slides)
    without = len(cohort.slides) - len(slides)
    guessed = guesses(slides)
    text = f"{counted(len(slides), 'slide')} with labels"
    text += f"; {without:,} without, not listed here." if without else "."
    text += _said_of_guesses(guessed, sum(slide.labels.cells for slide in slides))
    if unused:
        text += f" No cell is called {' or '.join(filter(None, [', '.join(unused[:-1]), unused[-1]]))}."
    rows = [
        [
            slide.name,
            sorted_percent(slide.labels.labelled / slide.cells),
            *(sorted_percent(slide.labels.guessed[how] / slide.cells) for how in guessed),
            _class_bar(slide, classes),
        ]
        for slide in slides
    ]
    names = [slide.name for slide in slides]
    by = ["by people, %", *(f"{how}, %" for how in guessed)] if guessed else ["labelled, %"]
    heads = ["slide", *by, "share of each class among all cells"]
    shares = table(heads, rows, texts=[len(by) + 1], names=names, caption="Classes of each slide")
    return [
        tag("p", text),
        legend([*((entry["name"], entry["colour"]) for entry in classes), ("no label", "var(--line)")]),
        tag("div", shares, class_="bars"),
        tag("h3", "Cells per mm² of tissue"),
        tag("p", _DENSITY),
        *_by_class(slides, classes, "Cells per mm² of tissue", _densities),
        tag("h3", "Cells"),
        *_by_class(slides, classes, "Cells of each class", _counts),
    ]


_DENSITY = (
    "Cells of a class over the area of tissue in the tiles in which cells were looked for: kept by the filter, and "
    "readable (or holding outlines from elsewhere). Tissue is told from glass on a thumbnail, with a margin of 50 µm, "
    "so densities of small or frayed pieces come out low. Cells without a label are in no column."
)


def _said_of_guesses(guessed: Mapping[str, int], labelled: int) -> str:
    """Which share of all labels is no person's; nothing if each is."""
    shares = (
        f" {percent(count / labelled)} % of the labels were {GUESSES[how]}, and not looked at by a person."
        for how, count in guessed.items()
    )
    return "".join(shares) + " Below, they count like those of people." if guessed else ""


def _class_bar(slide: Slide, classes: Sequence[dict]) -> Html:
    counts = slide.labels.counts
    parts = [(entry["name"], entry["colour"], counts.get(entry["name"], 0) / slide.cells) for entry in classes]
    return bar([part for part in parts if part[2]])


def _densities(slides: Sequence[Slide], name: str) -> str:
    tissue = sum(slide.tiles.tissue_mm2 for slide in slides)
    return number(density(sum(slide.labels.counts.get(name, 0) for slide in slides), tissue), "{:,.1f}")


def _counts(slides: Sequence[Slide], name: str) -> str:
    return f"{sum(slide.labels.counts.get(name, 0) for slide in slides):,}"


def _by_class(
    slides: Sequence[Slide], classes: Sequence[dict], caption: str, value: Callable[[Sequence[Slide], str], str]
) -> list[Html]:
    """A row for each slide, a column for each class; of many classes, the other way round, or several tables."""
    if len(slides) <= _SLIDES_ACROSS and len(classes) > _CLASSES_PER_TABLE:
        columns = [[slide] for slide in slides] + ([slides] if len(slides) > 1 else [])
        rows = [
            [swatch(entry["colour"], entry["name"]), *(value(some, entry["name"]) for some in columns)]
            for entry in classes
        ]
        heads = ["class", *(folded(slide.name) for slide in slides), *(["all"] if len(slides) > 1 else [])]
        return [tag("div", table(heads, rows, caption=caption), class_="across")]
    names = [slide.name for slide in slides]
    tables = []
    for first in range(0, len(classes), _CLASSES_PER_TABLE):
        some = [entry["name"] for entry in classes[first : first + _CLASSES_PER_TABLE]]
        rows = [
            [slide.name, slide.tissue or "", f"{slide.tiles.tissue_mm2:,.2f}", *(value([slide], name) for name in some)]
            for slide in slides
        ]
        tissue = sum(slide.tiles.tissue_mm2 for slide in slides)
        total = ["all", "", f"{tissue:,.2f}", *(value(slides, name) for name in some)] if len(slides) > 1 else None
        heads = ["slide", "tissue", "mm²", *map(folded, some)]
        tables.append(table(heads, rows, texts=(1,), names=names, total=total, caption=caption))
    # One under the other, so they have the same columns.
    return [tag("div", *tables, class_="same")] if len(tables) > 1 else tables
