"""The cohort page: for reading on a screen, for printing, and for those to whom it is sent."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ... import html
from ...export import FORMATS
from ...html import Html, join, picture, table, tag
from ...labels import GUESSES
from ...plan.layout import ResultsFolder, SlideFolder
from ...text import counted, span
from . import classes, clusters, pictures
from .cohort import Cohort, title
from .figures import Slide, density, guesses
from .widgets import link, number, percent, sorted_percent, with_commands

THUMBNAILS = 200
"""Slides; of more, there are tables only."""
LISTED = 200
"""Slides that are not finished, by name."""
_SMALL, _LARGE = 300, 560
"""Longer side of thumbnails in pixels, of many slides and of few."""
_FEW = 24

_FILES = (
    ("overview", SlideFolder.overview),
    ("gallery", SlideFolder.gallery),
    ("annotated tiles", f"{SlideFolder.drawn}/"),
    ("by label", SlideFolder.overview_by_label),
    ("filter map", SlideFolder.filter_map),
    ("clusters", SlideFolder.clusters_plot),
    ("outlines", SlideFolder.cells),
    ("labelled cells", SlideFolder.labelled_cells),
    *((one.title, one.file) for one in FORMATS.values()),
    ("mask", SlideFolder.nuclei_mask),
    ("plain tiles", f"{SlideFolder.tile_pictures}/"),
    ("proposals", SlideFolder.proposals),
    ("representatives", f"{SlideFolder.representatives}/"),
    ("summary of representatives", SlideFolder.representative_summary),
    ("settings", SlideFolder.settings),
)
_FILES_OF_RUN = (
    ("time and memory", ResultsFolder.costs_page),
    ("clusters against people", ResultsFolder.clusters_page),
    ("scores of outlines", ResultsFolder.segmentation_table),
    ("sweep", ResultsFolder.sweep_page),
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


def write(cohort: Cohort, path: str | os.PathLike) -> None:
    """Write the page."""
    style = (Path(__file__).parent / "cohort.css").read_text(encoding="utf-8")
    sections = [
        ("missing", "Not finished", _missing(cohort)),
        ("slides", "Slides", _slides(cohort)),
        ("classes", "Classes", classes.section(cohort)),
        ("clusters", "Clusters", clusters.section(cohort)),
        ("quality", "Quality", _quality(cohort)),
        ("made", "How it was made", _made(cohort)),
        ("files", "Files", _files(cohort)),
    ]
    sections = [(key, head, parts) for key, head, parts in sections if parts]
    links = (tag("li", tag("a", head, href=f"#{key}")) for key, head, _ in sections)
    body = [
        tag("header", *_header(cohort)),
        tag("nav", tag("ul", *links), aria_label="Contents"),
        _search(cohort),
        tag(
            "main",
            *(tag("section", tag("h2", head), join(parts, "\n"), id=key) for key, head, parts in sections),
        ),
        tag(
            "footer",
            "For research and teaching only. Clusters are cells that look alike; they are no cell types until somebody "
            "who knows the tissue has named and checked them. Nothing on this page is fetched from elsewhere. "
            f"Made by clusterfirst {cohort.version}.",
        ),
    ]
    page = html.document(f"Cohort: {counted(len(cohort.slides), 'slide')}", *body, style=style, tables=True)
    html.write(page, path)


def _header(cohort: Cohort) -> list[Html]:
    slides = cohort.slides
    cells = sum(slide.cells for slide in slides)
    tissue = sum(slide.tiles.tissue_mm2 for slide in slides)
    noise = sum(slide.noise for slide in slides)
    labelled, guessed = sum(slide.labels.labelled for slide in slides if slide.labels), guesses(slides)
    several = {(slide.group, cluster.id) for slide in slides for cluster in slide.clusters if cluster.size}
    figures = [
        tuple(counted(len(slides), "slide").split()),
        (number(tissue, "{:,.1f}"), "mm² of tissue"),
        (f"{cells:,}", "cells"),
        (f"{len(several):,}", "clusters"),
        (percent(noise / cells if cells else None) + " %", "of cells in no cluster"),
    ]
    if labelled or guessed:
        figures.append((percent(labelled / cells) + " %", "of cells labelled by people"))
    figures += [(percent(count / cells) + " %", f"only {GUESSES[how]}") for how, count in guessed.items()]
    return [
        tag("p", f"clusterfirst · {cohort.results}", class_="eyebrow"),
        tag("h1", f"Cohort of {counted(len(slides), 'slide')}"),
        tag("p", _how(slides), class_="lead"),
        tag("p", f"This page was made on {cohort.made:%d %B %Y at %H:%M}.", class_="muted"),
        tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for value, name in figures), class_="figures"),
    ]


def _how(slides: Sequence[Slide]) -> str:
    """What was done, in a sentence."""

    def by(section: str, key: str) -> str:
        values = dict.fromkeys(_value(slide.settings[section][key]) for slide in slides)
        return " or ".join("people or other tools" if value == "precomputed" else value for value in values)

    scopes = {slide.settings["clustering"]["scope"] for slide in slides}
    how = {
        "slide": "slide by slide",
        "tissue": "tissue by tissue, so that slides of a tissue share clusters",
        "cohort": "all slides together, so that they share clusters",
    }
    return (
        f"Nuclei were outlined by {by('segmentation', 'model')}, described by {by('embedding', 'models')}, and "
        f"clustered by {by('clustering', 'method')}: {', or '.join(how[scope] for scope in sorted(scopes))}."
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
    text = f"{len(cohort.missing):,} of {whole:,} slides are not finished, and not on this page."
    listed = cohort.missing[:LISTED]
    more = len(cohort.missing) - len(listed)
    rows = [[one.slide, one.stage, one.word, one.why] for one in listed]
    names = [one.slide for one in listed]
    return [
        tag("p", text, class_="warning"),
        table(
            ["slide", "stage", "state", "why"], rows, texts=(1, 2, 3), names=names, caption="Slides that are missing"
        ),
        *([tag("p", with_commands(f"… and {more:,} more: `snakemake status` lists them."))] if more else []),
    ]


def _slides(cohort: Cohort) -> list[Html]:
    slides = cohort.slides
    if len(slides) > THUMBNAILS:
        text = f"With more than {THUMBNAILS:,} slides, this page has tables and no thumbnails; pictures are linked."
        return [tag("p", text)]
    text = f"Cells are coloured {' or '.join(sorted({_coloured(slide) for slide in slides}))}."
    if len(slides) > 1 and any(_colour(slide) == "cluster" for slide in cohort.alone):
        text += f" {_OWN}{', where a slide is clustered by itself' if cohort.together else ''}."
    longest = _LARGE if len(slides) <= _FEW else _SMALL
    shown = (_thumbnail(cohort, slide, longest) for slide in slides)
    return [tag("p", text), tag("div", *shown, class_="slides few" if len(slides) <= 4 else "slides")]


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
    about = [slide.tissue, f"{slide.cells:,} cells"]
    return tag(
        "figure",
        tag("a", shown, href=quote(f"{slide.name}/{SlideFolder.overview}")),
        tag("figcaption", tag("strong", slide.name), tag("span", " · ".join(filter(None, about)), class_="muted")),
        data_name=slide.name,
    )


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
            number(density(slide.cells, slide.tiles.tissue_mm2)),
            sorted_percent(slide.noise_share),
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
    total += [number(density(cells, tissue)), percent(noise), span(seconds)]
    heads = ["slide", "tissue", "µm/px", "tiles kept", "rejected", "unreadable", "tissue, mm²", "cells", "cells/mm²"]
    heads += ["noise, %", "time"]
    notes = [
        tag("li", tag("strong", slide.name), ": ", with_commands(note)) for slide in slides for note in slide.notes
    ]
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
            tag("p", f"{title(name)}: {span(seconds)} more for all at once.")
            for name, seconds in cohort.seconds.items()
        ),
    ]


def _made(cohort: Cohort) -> list[Html]:
    rows = []
    for name, (section, key) in _SETTINGS:
        values = Counter(_value(slide.settings[section].get(key)) for slide in cohort.slides)
        each = values if len(values) == 1 else (f"{value} ({count:,})" for value, count in values.items())
        rows.append([name, "; ".join(each), tag("code", f"{section}.{key}")])
    weights = list(dict.fromkeys(slide.weights for slide in cohort.slides if slide.weights))
    versions = [f"clusterfirst {cohort.version}", f"Python {platform.python_version()}"]
    versions += [f"{name} {metadata.version(name)}" for name in _PACKAGES]
    return [
        table(["setting", "value", "key"], rows, texts=(1, 2), caption="Settings in short"),
        tag(
            "p",
            "Where settings differ, numbers of slides stand in brackets. All settings of a slide: its "
            f"{SlideFolder.settings}.",
        ),
        tag("p", f"Installed when this page was made: {', '.join(versions)}."),
        *(tag("p", "Weights that outlined nuclei, sha256: ", tag("code", one)) for one in weights),
    ]


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return " + ".join(map(str, value)) if isinstance(value, list) else str(value)


def _files(cohort: Cohort) -> list[Html]:
    rows = [[slide.name, join(_links(cohort, slide), " · ")] for slide in cohort.slides]
    run = [(text, file) for text, file in _FILES_OF_RUN if (cohort.results / file).is_file()]
    names = [slide.name for slide in cohort.slides]
    return [
        tag("p", "Links lead to files beside this page, and work where it lies among the results."),
        *([tag("p", join((link(*one) for one in run), " · "))] if run else []),
        table(["slide", "files"], rows, texts=(1,), names=names, caption="Files of each slide"),
    ]


def _links(cohort: Cohort, slide: Slide) -> list[Html]:
    folder = cohort.folder(slide.name).path
    return [link(text, slide.name, file) for text, file in _FILES if (folder / file).exists()]
