"""The cohort page: for reading on a screen, for printing, and for those to whom it is sent."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from ...clustering import NOISE, palette
from ...html import Html, document, join, picture, table, tag
from ...html import write as write_page
from ...io import read_json
from ...text import span
from . import pictures
from .figures import Slide, class_of_cluster, density, used_classes

THUMBNAILS = 200
"""Slides; of more, there are tables only."""
DETAILS = 12
"""Slides whose gallery is inside; and groups, or slides with clusters of their own, whose map is."""
LISTED = 200
"""Slides that are not finished, by name."""
_SLIDES_ON_A_MAP = 12
"""As many colours as can be told apart."""
_CLASSES_PER_TABLE = 8
"""More columns do not fit on paper."""
_SLIDES_ACROSS = 4
"""Of as many slides, more classes than that are rows, and slides the columns."""
_SMALL, _LARGE = (300, 640), (560, 900)
"""Longer side of thumbnails and width of galleries in pixels, of many slides and of few."""
_FEW = 24

_FILES = (
    ("overview", "annotated/overview.png"),
    ("gallery", "annotated/gallery.png"),
    ("annotated tiles", "annotated/"),
    ("by label", "annotated_by_label/overview.png"),
    ("filter map", "filtered.png"),
    ("clusters", "clusters.png"),
    ("outlines", "masks.parquet"),
    ("labelled cells", "cells.parquet"),
    ("QuPath", "cells.geojson.gz"),
    ("AnnData", "cells.h5ad"),
    ("SpatialData", "cells.zarr"),
    ("CSV", "cells.csv"),
    ("COCO", "cells.coco.json"),
    ("the paper's form", "final_annotations.json"),
    ("mask", "nuclei_mask.tiff"),
    ("plain tiles", "tiles/"),
    ("proposals", "classes.json"),
    ("representatives", "representatives/"),
    ("summary of representatives", "representatives/summary.json"),
    ("settings", "settings.yaml"),
)
_FILES_OF_RUN = (
    ("time and memory", "benchmarks.html"),
    ("clusters against people", "evaluation/clusters.html"),
    ("scores of outlines", "evaluation/segmentation.csv"),
    ("sweep", "sweep/sweep.html"),
)
_SETTINGS = (
    ("outlined by", ("segmentation", "model")),
    ("described by", ("embedding", "models")),
    ("stain", ("embedding", "stain")),
    ("tile, px", ("tiling", "tile_px")),
    ("reduced by", ("reduction", "method")),
    ("dimensions", ("reduction", "components")),
    ("neighbours", ("reduction", "n_neighbors")),
    ("batch correction", ("reduction", "batch_correction")),
    ("clustered", ("clustering", "scope")),
    ("clustered by", ("clustering", "method")),
    ("clusters asked for", ("clustering", "groups")),
)
_PACKAGES = ("numpy", "openslide-python", "torch", "umap-learn", "scikit-learn")


@dataclass(frozen=True)
class Missing:
    """A slide that is not finished: the stage that it stands at, what that is, and why."""

    slide: str
    stage: str
    word: str
    why: str


@dataclass(frozen=True)
class Cohort:
    """What the page is about.

    Attributes
    ----------
    results : pathlib.Path
        The folder of all results; the page lies in it.
    slides : sequence of Slide
        Finished, in the order of the sheet.
    missing : sequence of Missing
        All others.
    seconds : dict of str to float
        By group of several slides, what was done for all of them at once took.
    version : str
        Of clusterfirst.
    made : datetime
        When the page is made.
    """

    results: Path
    slides: Sequence[Slide]
    missing: Sequence[Missing]
    seconds: Mapping[str, float]
    version: str
    made: datetime

    @property
    def together(self) -> dict[str, list[Slide]]:
        """Slides that share clusters, by the folder of their group."""
        groups: dict[str, list[Slide]] = {}
        for slide in self.slides:
            if slide.group != slide.name:
                groups.setdefault(slide.group, []).append(slide)
        return groups

    @property
    def alone(self) -> list[Slide]:
        """Slides with clusters of their own."""
        return [slide for slide in self.slides if slide.group == slide.name]

    def folder(self, name: str) -> Path:
        """The results of a slide or group."""
        return self.results / name


def write(cohort: Cohort, path: str | os.PathLike) -> None:
    """Write the page."""
    style = (Path(__file__).parent / "cohort.css").read_text(encoding="utf-8")
    sections = [
        ("missing", "Not finished", _missing(cohort)),
        ("slides", "Slides", _slides(cohort)),
        ("classes", "Classes", _classes(cohort)),
        ("clusters", "Clusters", [*_shared(cohort), *_own(cohort)]),
        ("quality", "Quality", _quality(cohort)),
        ("made", "How it was made", _made(cohort)),
        ("files", "Files", _files(cohort)),
    ]
    sections = [(key, title, parts) for key, title, parts in sections if parts]
    links = (tag("li", tag("a", title, href=f"#{key}")) for key, title, _ in sections)
    body = [
        tag("header", *_header(cohort)),
        tag("nav", tag("ul", *links), aria_label="Contents"),
        _search(cohort),
        tag(
            "main",
            *(tag("section", tag("h2", title), join(parts, "\n"), id=key) for key, title, parts in sections),
        ),
        tag(
            "footer",
            "For research and teaching only. Clusters are cells that look alike; they are no cell types until somebody "
            "who knows the tissue has named and checked them. Nothing on this page is fetched from elsewhere. "
            f"Made by clusterfirst {cohort.version}.",
        ),
    ]
    write_page(document(f"Cohort: {_count(cohort.slides, 'slide')}", *body, style=style, tables=True), path)


# --- words and numbers -------------------------------------------------------------------------------------------


def _count(things: Sequence, word: str) -> str:
    return f"{len(things):,} {word}{'' if len(things) == 1 else 's'}"


def _percent(share: float | None) -> str:
    if share is None:
        return "–"
    return f"{100 * share:.1f}" if share >= 0.0005 or share == 0 else "< 0.1"


def _sorted_percent(share: float | None) -> tuple[str, float | str]:
    return _percent(share), "" if share is None else share


def _number(value: float | None, form: str = "{:,.0f}") -> str:
    return "–" if value is None else form.format(value)


def _told(text: str) -> Html:
    """What stands between backticks is for a terminal."""
    return join(tag("code", part) if place % 2 else part for place, part in enumerate(text.split("`")))


def _name(name: str) -> Html:
    """A name of any length, folded; what does not fit into its lines is told when pointed at."""
    return tag("span", name, class_="name", title=name)


def _link(text: str, *parts: str) -> Html:
    return tag("a", text, href=quote("/".join(parts)))


def _title(group: str) -> str:
    kind = group.rsplit("/", 1)[-1]
    return "All slides together" if kind == "cohort" else f"Tissue: {kind.removeprefix('tissue-')}"


def _cluster(number: int) -> str:
    return "noise" if number == NOISE else f"cluster {number}"


# --- small drawings ----------------------------------------------------------------------------------------------


def _bar(parts: Sequence[tuple[str, str, float]]) -> Html:
    """A bar of name, colour and share of each part; what is left of 1 stays empty."""
    stops, before = [], 0.0
    for _, colour, share in parts:
        stops.append(f"{colour} {100 * before:.2f}% {100 * (before + share):.2f}%")
        before += share
    stops.append(f"transparent {100 * before:.2f}% 100%")
    largest = sorted(parts, key=lambda part: -part[2])[:5]
    told = ", ".join(f"{name} {_percent(share)} %" for name, _, share in largest)
    told += f", and {len(parts) - len(largest)} more" if len(parts) > len(largest) else ""
    style = f"background-image:linear-gradient(90deg,{','.join(stops)})"
    return tag("span", class_="bar", role="img", aria_label=told, title=told, style=style)


def _swatch(colour: str, text: Any) -> Html:
    return tag("span", tag("i", class_="swatch", style=f"background:{colour}"), tag("span", text), class_="key")


def _legend(entries: Iterable[tuple[str, str]]) -> Html:
    return tag("ul", *(tag("li", _swatch(colour, text)) for text, colour in entries), class_="legend")


# --- the sections ------------------------------------------------------------------------------------------------


def _header(cohort: Cohort) -> list[Html]:
    slides = cohort.slides
    cells = sum(slide.cells for slide in slides)
    tissue = sum(slide.tiles.tissue_mm2 for slide in slides)
    noise = sum(slide.noise for slide in slides)
    labelled, proposed = (sum(getattr(s.labels, key) for s in slides if s.labels) for key in ("labelled", "proposed"))
    clusters = {(slide.group, c["id"]) for slide in slides for c in slide.clusters if c["size"]}
    figures = [
        (f"{len(slides):,}", "slide" if len(slides) == 1 else "slides"),
        (_number(tissue, "{:,.1f}"), "mm² of tissue"),
        (f"{cells:,}", "cells"),
        (f"{len(clusters):,}", "clusters"),
        (_percent(noise / cells if cells else None) + " %", "of cells in no cluster"),
    ]
    if labelled or proposed:
        figures.append((_percent(labelled / cells) + " %", "of cells labelled by people"))
    if proposed:
        figures.append((_percent(proposed / cells) + " %", "only proposed by a model"))
    return [
        tag("p", f"clusterfirst · {cohort.results}", class_="eyebrow"),
        tag("h1", f"Cohort of {_count(slides, 'slide')}"),
        tag("p", _how(slides), class_="lead"),
        tag("p", f"This page was made on {cohort.made:%d %B %Y at %H:%M}.", class_="muted"),
        tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for value, name in figures), class_="figures"),
    ]


def _how(slides: Sequence[Slide]) -> str:
    """What was done, in a sentence."""

    def told(section: str, key: str) -> str:
        values = dict.fromkeys(_value(slide.settings[section][key]) for slide in slides)
        return " or ".join("people or other tools" if value == "precomputed" else value for value in values)

    scopes = {slide.settings["clustering"]["scope"] for slide in slides}
    how = {
        "slide": "slide by slide",
        "tissue": "tissue by tissue, so that slides of a tissue share clusters",
        "cohort": "all slides together, so that they share clusters",
    }
    return (
        f"Nuclei were outlined by {told('segmentation', 'model')}, described by {told('embedding', 'models')}, and "
        f"clustered by {told('clustering', 'method')}: {', or '.join(how[scope] for scope in sorted(scopes))}."
    )


def _search(cohort: Cohort) -> Html:
    if len(cohort.slides) + len(cohort.missing) < 2:
        return Html()
    field = tag("input", type="search", id="search", placeholder="name of a slide", autocomplete="off")
    label = tag("label", "Find slides", for_="search")
    return tag("p", label, field, tag("output", class_="muted"), class_="search", hidden="")


def _missing(cohort: Cohort) -> list[Html]:
    if not cohort.missing:
        return []
    whole = len(cohort.slides) + len(cohort.missing)
    told = f"{len(cohort.missing):,} of {whole:,} slides are not finished, and not on this page."
    listed = cohort.missing[:LISTED]
    more = len(cohort.missing) - len(listed)
    rows = [[one.slide, one.stage, one.word, one.why] for one in listed]
    names = [one.slide for one in listed]
    return [
        tag("p", told, class_="warning"),
        table(
            ["slide", "stage", "state", "why"], rows, texts=(1, 2, 3), names=names, caption="Slides that are missing"
        ),
        *([tag("p", _told(f"… and {more:,} more: `snakemake status` lists them."))] if more else []),
    ]


def _slides(cohort: Cohort) -> list[Html]:
    slides = cohort.slides
    if len(slides) > THUMBNAILS:
        told = f"With more than {THUMBNAILS:,} slides, this page has tables and no thumbnails; pictures are linked."
        return [tag("p", told)]
    told = f"Cells are coloured {' or '.join(sorted({_coloured(slide) for slide in slides}))}."
    own = [slide for slide in cohort.alone if _colour(slide) == "cluster"]
    if own and len(slides) > 1:
        told += f" {_OWN}{', where a slide is clustered by itself' if cohort.together else ''}."
    longest = (_LARGE if len(slides) <= _FEW else _SMALL)[0]
    shown = (_thumbnail(cohort, slide, longest) for slide in slides)
    return [tag("p", told), tag("div", *shown, class_="slides few" if len(slides) <= 4 else "slides")]


_OWN = "Every slide has clusters of its own: the same colour on two slides does not mean the same cells"


def _colour(slide: Slide) -> str:
    """What colours cells of its pictures; before there was a choice, clusters."""
    return slide.settings["annotation"].get("colour", "cluster")


def _coloured(slide: Slide) -> str:
    kind = _colour(slide)
    return "alike" if kind == "none" else f"by {kind}"


def _thumbnail(cohort: Cohort, slide: Slide, longest: int) -> Html:
    facts = slide.settings["slide"]
    size, drawn = (facts["width"], facts["height"]), slide.settings["annotation"]["overview_px"]
    data = pictures.thumbnail(cohort.folder(slide.name), size=size, drawn_px=drawn, longest=longest)
    shown = picture(data, "jpeg", f"Overview of {slide.name}, cells coloured {_coloured(slide)}", loading="lazy")
    facts = [slide.tissue, f"{slide.cells:,} cells"]
    return tag(
        "figure",
        tag("a", shown, href=quote(f"{slide.name}/annotated/overview.png")),
        tag("figcaption", tag("strong", slide.name), tag("span", " · ".join(filter(None, facts)), class_="muted")),
        data_name=slide.name,
    )


def _classes(cohort: Cohort) -> list[Html]:
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
    proposed, labelled = (sum(getattr(slide.labels, key) for slide in slides) for key in ("proposed", "cells"))
    told = f"{_count(slides, 'slide')} with labels" + (f"; {without:,} without, not listed here." if without else ".")
    if proposed:
        told += (
            f" {_percent(proposed / labelled)} % of the labels were proposed by a model, and not looked at by a person."
        )
        told += " Below, they count like those of people."
    if unused:
        told += f" No cell is called {' or '.join(filter(None, [', '.join(unused[:-1]), unused[-1]]))}."
    counted = {"labelled": "by people, %", "proposed": "proposed, %"} if proposed else {"labelled": "labelled, %"}
    rows = [
        [
            slide.name,
            *(_sorted_percent(getattr(slide.labels, key) / slide.cells) for key in counted),
            _class_bar(slide, classes),
        ]
        for slide in slides
    ]
    names = [slide.name for slide in slides]
    heads = ["slide", *counted.values(), "share of each class among all cells"]
    shares = table(heads, rows, texts=[len(counted) + 1], names=names, caption="Classes of each slide")
    return [
        tag("p", told),
        _legend([*((entry["name"], entry["colour"]) for entry in classes), ("no label", "var(--line)")]),
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


def _class_bar(slide: Slide, classes: Sequence[dict]) -> Html:
    counts = slide.labels.counts
    parts = [(entry["name"], entry["colour"], counts.get(entry["name"], 0) / slide.cells) for entry in classes]
    return _bar([part for part in parts if part[2]])


def _densities(slides: Sequence[Slide], name: str) -> str:
    tissue = sum(slide.tiles.tissue_mm2 for slide in slides)
    return _number(density(sum(slide.labels.counts.get(name, 0) for slide in slides), tissue), "{:,.1f}")


def _counts(slides: Sequence[Slide], name: str) -> str:
    return f"{sum(slide.labels.counts.get(name, 0) for slide in slides):,}"


def _by_class(
    slides: Sequence[Slide], classes: Sequence[dict], caption: str, value: Callable[[Sequence[Slide], str], str]
) -> list[Html]:
    """A row for each slide, a column for each class; of many classes, the other way round, or several tables."""
    if len(slides) <= _SLIDES_ACROSS and len(classes) > _CLASSES_PER_TABLE:
        columns = [[slide] for slide in slides] + ([slides] if len(slides) > 1 else [])
        rows = [
            [_swatch(entry["colour"], entry["name"]), *(value(some, entry["name"]) for some in columns)]
            for entry in classes
        ]
        heads = ["class", *(_name(slide.name) for slide in slides), *(["all"] if len(slides) > 1 else [])]
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
        heads = ["slide", "tissue", "mm²", *map(_name, some)]
        tables.append(table(heads, rows, texts=(1,), names=names, total=total, caption=caption))
    # One under the other, so they have the same columns.
    return [tag("div", *tables, class_="same")] if len(tables) > 1 else tables


def _shared(cohort: Cohort) -> list[Html]:
    return [
        tag("article", *_group(cohort, group, slides, detailed=place < DETAILS))
        for place, (group, slides) in enumerate(cohort.together.items())
    ]


def _group(cohort: Cohort, group: str, slides: Sequence[Slide], *, detailed: bool) -> list[Html]:
    clusters = slides[0].clusters
    rows = [
        [slide.name, slide.tissue or "", f"{slide.cells:,}", _sorted_percent(slide.noise_share), _shares(slide)]
        for slide in slides
    ]
    names = [slide.name for slide in slides]
    heads = ["slide", "tissue", "cells", "noise, %", "share of each cluster"]
    told = f"One slide with {_count(clusters, 'cluster')}."
    if len(slides) > 1:
        told = (
            f"{_count(slides, 'slide')} share {_count(clusters, 'cluster')}: a number and a colour mean the same "
            "everywhere."
        )
    galleries = slides[:DETAILS] if detailed else []
    parts = [tag("h3", _title(group)), tag("p", told)]
    parts.append(
        tag("div", table(heads, rows, texts=(1, 4), names=names, caption="Clusters of each slide"), class_="bars")
    )
    maps = _maps(cohort, group, slides) if detailed else []
    parts.append(tag("div", *maps, class_="maps"))
    parts.append(_clusters(slides, caption=f"Clusters of {_count(slides, 'slide')}"))
    if galleries:
        more = f" (the first {len(galleries)}; the others are linked below)" if len(galleries) < len(slides) else ""
        parts.append(tag("p", f"Typical cells of each cluster, slide by slide{more}."))
        width = _LARGE[1] if len(galleries) <= 2 else _SMALL[1]
        parts.append(tag("div", *(_gallery(cohort, slide, width) for slide in galleries), class_="galleries"))
    return parts


def _shares(slide: Slide) -> Html:
    colours = {c["id"]: c["colour"] for c in slide.clusters} | {NOISE: palette.NOISE}
    return _bar([(_cluster(number), colours[number], share) for number, share in slide.shares.items()])


def _sizes(slide: Slide) -> Html:
    """Shares of clusters that mean nothing elsewhere: without their colours, the largest first."""
    own = sorted(((share, number) for number, share in slide.shares.items() if number != NOISE), reverse=True)
    shades = ("#6f7c8e", "#aeb7c4")
    return _bar([(_cluster(number), shades[place % 2], share) for place, (share, number) in enumerate(own)])


def _clusters(slides: Sequence[Slide], *, caption: str) -> Html:
    """A row for each cluster of some slides that share them, or of one."""
    cells = sum(slide.cells for slide in slides)
    rows = []
    for place, cluster in enumerate(slides[0].clusters):
        each = [slide.clusters[place] for slide in slides]
        size = sum(one["size"] for one in each)
        if not size:
            continue
        row = [(_swatch(cluster["colour"], cluster["id"]), cluster["id"]), f"{size:,}", _sorted_percent(size / cells)]
        if len(slides) > 1:
            shares = [one["size"] / slide.cells for one, slide in zip(each, slides, strict=True) if slide.cells]
            row.append((f"{_percent(min(shares))} to {_percent(max(shares))}", max(shares)))
            row.append(f"{sum(one['size'] > 0 for one in each):,}")
        row.append(f"{sum(one['size'] * (one['mean_confidence'] or 0) for one in each) / size:.2f}")
        if any(slide.labels for slide in slides):
            named = class_of_cluster(slides, cluster["id"])
            called = named and tag("span", _name(named[0]), f" ({100 * named[1]:.0f}\u00a0%)", class_="called")
            row.append(called or "")
        rows.append(row)
    heads = ["cluster", "cells", "% of cells"]
    heads += ["on a slide, %", "slides"] if len(slides) > 1 else []
    heads += ["confidence"]
    heads += ["mostly called"] if any(slide.labels for slide in slides) else []
    return tag(
        "div", table(heads, rows, texts=[len(heads) - 1] if heads[-1] == "mostly called" else (), caption=caption)
    )


def _maps(cohort: Cohort, group: str, slides: Sequence[Slide]) -> list[Html]:
    """The map of a group, by cluster and, as far as colours can be told apart, by tissue and by slide."""
    plane = np.load(cohort.folder(group) / "umap2d.npy", mmap_mode="r")
    shown = pictures.sample(len(plane))
    ids = np.array(read_json(cohort.folder(group) / "clusters.json")["cells"]["cluster_id"], int)[shown]
    sizes = read_json(cohort.folder(group) / "reduction.json")["slides"]
    owner = np.repeat(np.arange(len(sizes)), list(sizes.values()))[shown]
    plane = np.asarray(plane[shown])
    colours = {c["id"]: c["colour"] for c in slides[0].clusters} | {NOISE: palette.NOISE}
    found = [_map(plane, ids, colours, "cluster")]
    # As the slides were when they were put together: the sheet may have another order by now, or fewer slides.
    tissues = {slide.name: slide.tissue or "no tissue" for slide in slides}
    for word, values in (("tissue", [tissues.get(name, _GONE) for name in sizes]), ("slide", list(sizes))):
        known = list(dict.fromkeys(values))
        if 1 < len(known) <= _SLIDES_ON_A_MAP:
            number = np.array([known.index(value) for value in values])[owner]
            shades = {place: palette.colour(place) for place in range(len(known))}
            legend = _legend((value, shades[place]) for place, value in enumerate(known))
            found.append(_map(plane, number, shades, word, legend))
    return found


_GONE = "no longer in the sheet"


def _map(
    plane: np.ndarray, number: np.ndarray, colours: Mapping[int, str], word: str, legend: Html | None = None
) -> Html:
    data = pictures.scatter(plane, number, colours)
    told = f"Map of {len(plane):,} cells by {word}"
    caption = tag("figcaption", tag("strong", f"By {word}"), *([legend] if legend else []))
    return tag("figure", picture(data, "png", told, loading="lazy"), caption, class_="map")


def _gallery(cohort: Cohort, slide: Slide, width: int) -> Html:
    data = pictures.gallery(cohort.folder(slide.name), width=width)
    shown = picture(data, "jpeg", f"Typical cells of each cluster on {slide.name}", loading="lazy")
    link = tag("a", shown, href=quote(f"{slide.name}/annotated/gallery.png"))
    return tag("figure", link, class_="gallery", data_name=slide.name)


def _own(cohort: Cohort) -> list[Html]:
    slides = cohort.alone
    if not slides:
        return []
    shown = slides[:DETAILS]
    parts = []
    if len(slides) > 1:
        rows = [
            [
                slide.name,
                slide.tissue or "",
                f"{slide.cells:,}",
                f"{len(slide.clusters):,}",
                _sorted_percent(slide.noise_share),
                _sizes(slide),
            ]
            for slide in slides
        ]
        heads = ["slide", "tissue", "cells", "clusters", "noise, %", "sizes of its clusters"]
        names = [slide.name for slide in slides]
        parts += [
            tag("h3", "Slides with clusters of their own"),
            tag(
                "p",
                "These slides were clustered one by one. Cluster 3 of one slide has nothing to do with cluster 3 of "
                "another, so their shares cannot be compared: bars show how large each slide's clusters are, and have "
                "no colours. To compare slides, cluster them together (",
                tag("code", "clustering.scope"),
                ").",
            ),
            tag("div", table(heads, rows, texts=(1, 5), names=names, caption="Sizes of clusters"), class_="bars"),
        ]
        if len(shown) < len(slides):
            told = f"Maps and galleries of the first {len(shown)} slides; those of the others are linked below."
            parts.append(tag("p", told))
    return parts + [_detail(cohort, slide, many=len(shown) > 2) for slide in shown]


def _detail(cohort: Cohort, slide: Slide, *, many: bool) -> Html:
    """Map, clusters and gallery of a slide with clusters of its own."""
    folder = cohort.folder(slide.name)
    plane = np.load(folder / "umap2d.npy", mmap_mode="r")
    shown = pictures.sample(len(plane))
    ids = np.array(read_json(folder / "clusters.json")["cells"]["cluster_id"], int)[shown]
    colours = {c["id"]: c["colour"] for c in slide.clusters} | {NOISE: palette.NOISE}
    left = [
        _map(np.asarray(plane[shown]), ids, colours, "cluster"),
        _shares(slide),
        _clusters([slide], caption=f"Clusters of {slide.name}"),
    ]
    title = tag("h3", slide.name)
    both = tag("div", tag("div", *left), _gallery(cohort, slide, (_SMALL if many else _LARGE)[1]), class_="detail")
    return tag("article", title, both, data_name=slide.name)


def _quality(cohort: Cohort) -> list[Html]:
    slides = cohort.slides
    rows = [
        [
            slide.name,
            slide.tissue or "",
            f"{slide.mpp:.3f}",
            *(f"{count:,}" for count in (slide.tiles.kept, slide.tiles.rejected, slide.tiles.unreadable)),
            f"{slide.tiles.tissue_mm2:,.2f}",
            f"{slide.cells:,}",
            _number(density(slide.cells, slide.tiles.tissue_mm2)),
            _sorted_percent(slide.noise_share),
            (span(slide.seconds), round(slide.seconds)),
        ]
        for slide in slides
    ]
    tiles = [slide.tiles for slide in slides]
    tissue, cells = sum(one.tissue_mm2 for one in tiles), sum(slide.cells for slide in slides)
    seconds = sum(slide.seconds for slide in slides)
    counts = (sum(getattr(one, key) for one in tiles) for key in ("kept", "rejected", "unreadable"))
    noise = sum(slide.noise for slide in slides) / cells if cells else None
    total = ["all", "", "", *(f"{count:,}" for count in counts), f"{tissue:,.2f}", f"{cells:,}"]
    total += [_number(density(cells, tissue)), _percent(noise), span(seconds)]
    heads = ["slide", "tissue", "µm/px", "tiles kept", "rejected", "unreadable", "tissue, mm²", "cells", "cells/mm²"]
    heads += ["noise, %", "time"]
    notes = [tag("li", tag("strong", slide.name), ": ", _told(note)) for slide in slides for note in slide.notes]
    return [
        tag("p", "Tissue is that of the tiles in which cells were looked for; time is that of all jobs of the slide."),
        *([tag("ul", *notes, class_="warning")] if notes else []),
        table(
            heads,
            rows,
            texts=(1,),
            names=[slide.name for slide in slides],
            total=total if len(slides) > 1 else None,
            caption="Quality of each slide",
        ),
        *(
            tag("p", f"{_title(name)}: {span(seconds)} more for all at once.")
            for name, seconds in cohort.seconds.items()
        ),
    ]


def _made(cohort: Cohort) -> list[Html]:
    rows = []
    for name, (section, key) in _SETTINGS:
        values = Counter(_value(slide.settings[section].get(key)) for slide in cohort.slides)
        told = (
            next(iter(values)) if len(values) == 1 else "; ".join(f"{one} ({count:,})" for one, count in values.items())
        )
        rows.append([name, told, tag("code", f"{section}.{key}")])
    weights = list(dict.fromkeys(slide.weights for slide in cohort.slides if slide.weights))
    versions = [f"clusterfirst {cohort.version}", f"Python {platform.python_version()}"]
    versions += [f"{name} {metadata.version(name)}" for name in _PACKAGES]
    return [
        table(["setting", "value", "key"], rows, texts=(1, 2), caption="Settings in short"),
        tag(
            "p",
            "Where settings differ, numbers of slides stand in brackets. All settings of a slide: its settings.yaml.",
        ),
        tag("p", f"Installed when this page was made: {', '.join(versions)}."),
        *(tag("p", "Weights that outlined nuclei, sha256: ", tag("code", one)) for one in weights),
    ]


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return " + ".join(map(str, value)) if isinstance(value, list) else str(value)


def _files(cohort: Cohort) -> list[Html]:
    rows = [
        [
            slide.name,
            join((_link(text, slide.name, file) for text, file in _FILES if _there(cohort, slide, file)), " · "),
        ]
        for slide in cohort.slides
    ]
    run = [(text, file) for text, file in _FILES_OF_RUN if (cohort.results / file).is_file()]
    names = [slide.name for slide in cohort.slides]
    return [
        tag("p", "Links lead to files beside this page, and work where it lies among the results."),
        *([tag("p", join((_link(*one) for one in run), " · "))] if run else []),
        table(["slide", "files"], rows, texts=(1,), names=names, caption="Files of each slide"),
    ]


def _there(cohort: Cohort, slide: Slide, file: str) -> bool:
    return (cohort.folder(slide.name) / file).exists()
