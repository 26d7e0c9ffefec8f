"""Clusters: those that slides share, side by side; and those of each slide that has its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import numpy as np

from ...clustering import NOISE, palette
from ...clustering.document import Clustering
from ...html import Html, picture, table, tag
from ...io import read_json
from ...plan.layout import SlideFolder
from ...text import counted
from . import pictures
from .cohort import Cohort, title
from .figures import Slide, class_of_cluster
from .widgets import bar, cluster_name, folded, legend, percent, sorted_percent, swatch

DETAILS = 12
"""Slides whose gallery is inside; and groups, or slides with clusters of their own, whose map is."""
_SLIDES_ON_A_MAP = 12
"""As many colours as can be told apart."""
_SMALL, _LARGE = 640, 900
"""Width of galleries in pixels, of many and of few."""


def section(cohort: Cohort) -> list[Html]:
    """Return the section about clusters: an article for each group, then those of slides by themselves."""
    return [*_shared(cohort), *_alone(cohort)]


def _shared(cohort: Cohort) -> list[Html]:
    return [
        tag("article", *_group(cohort, group, slides, detailed=place < DETAILS))
        for place, (group, slides) in enumerate(cohort.together.items())
    ]


def _group(cohort: Cohort, group: str, slides: Sequence[Slide], *, detailed: bool) -> list[Html]:
    clusters = slides[0].clusters
    rows = [
        [slide.name, slide.tissue or "", f"{slide.cells:,}", sorted_percent(slide.noise_share), _shares(slide)]
        for slide in slides
    ]
    names = [slide.name for slide in slides]
    heads = ["slide", "tissue", "cells", "noise, %", "share of each cluster"]
    text = f"One slide with {counted(len(clusters), 'cluster')}."
    if len(slides) > 1:
        text = (
            f"{counted(len(slides), 'slide')} share {counted(len(clusters), 'cluster')}: a number and a colour mean "
            "the same everywhere."
        )
    galleries = slides[:DETAILS] if detailed else []
    parts = [tag("h3", title(group)), tag("p", text)]
    parts.append(
        tag("div", table(heads, rows, texts=(1, 4), names=names, caption="Clusters of each slide"), class_="bars")
    )
    maps = _maps(cohort, group, slides) if detailed else []
    parts.append(tag("div", *maps, class_="maps"))
    parts.append(_clusters(slides, caption=f"Clusters of {counted(len(slides), 'slide')}"))
    if galleries:
        more = f" (the first {len(galleries)}; the others are linked below)" if len(galleries) < len(slides) else ""
        parts.append(tag("p", f"Typical cells of each cluster, slide by slide{more}."))
        width = _LARGE if len(galleries) <= 2 else _SMALL
        parts.append(tag("div", *(_gallery(cohort, slide, width) for slide in galleries), class_="galleries"))
    return parts


def _colours(slide: Slide) -> dict[int, str]:
    return {cluster.id: cluster.colour for cluster in slide.clusters} | {NOISE: palette.NOISE}


def _shares(slide: Slide) -> Html:
    colours = _colours(slide)
    return bar([(cluster_name(number), colours[number], share) for number, share in slide.shares.items()])


def _sizes(slide: Slide) -> Html:
    """Shares of clusters that mean nothing elsewhere: without their colours, the largest first."""
    sizes = sorted(((share, number) for number, share in slide.shares.items() if number != NOISE), reverse=True)
    shades = ("#6f7c8e", "#aeb7c4")
    return bar([(cluster_name(number), shades[place % 2], share) for place, (share, number) in enumerate(sizes)])


def _clusters(slides: Sequence[Slide], *, caption: str) -> Html:
    """A row for each cluster of some slides that share them, or of one."""
    cells = sum(slide.cells for slide in slides)
    rows = []
    for place, cluster in enumerate(slides[0].clusters):
        each = [slide.clusters[place] for slide in slides]
        size = sum(one.size for one in each)
        if not size:
            continue
        row = [(swatch(cluster.colour, cluster.id), cluster.id), f"{size:,}", sorted_percent(size / cells)]
        if len(slides) > 1:
            shares = [one.size / slide.cells for one, slide in zip(each, slides, strict=True) if slide.cells]
            row.append((f"{percent(min(shares))} to {percent(max(shares))}", max(shares)))
            row.append(f"{sum(one.size > 0 for one in each):,}")
        row.append(f"{sum(one.size * (one.mean_confidence or 0) for one in each) / size:.2f}")
        if any(slide.labels for slide in slides):
            named = class_of_cluster(slides, cluster.id)
            called = named and tag("span", folded(named[0]), f" ({100 * named[1]:.0f}\u00a0%)", class_="called")
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
    folder = cohort.folder(group)
    plane = np.load(folder.plane, mmap_mode="r")
    shown = pictures.sample(len(plane))
    cluster_id = Clustering.read(folder.clusters).cluster_id[shown]
    sizes = read_json(folder.reduction)["slides"]
    owner = np.repeat(np.arange(len(sizes)), list(sizes.values()))[shown]
    plane = np.asarray(plane[shown])
    maps = [_map(plane, cluster_id, _colours(slides[0]), "cluster")]
    # As the slides were when they were put together: the sheet may have another order by now, or fewer slides.
    tissues = {slide.name: slide.tissue or "no tissue" for slide in slides}
    for word, values in (("tissue", [tissues.get(name, _GONE) for name in sizes]), ("slide", list(sizes))):
        names = list(dict.fromkeys(values))
        if 1 < len(names) <= _SLIDES_ON_A_MAP:
            number = np.array([names.index(value) for value in values])[owner]
            shades = {place: palette.colour(place) for place in range(len(names))}
            key = legend((name, shades[place]) for place, name in enumerate(names))
            maps.append(_map(plane, number, shades, word, key))
    return maps


_GONE = "no longer in the sheet"


def _map(plane: np.ndarray, number: np.ndarray, colours: Mapping[int, str], word: str, key: Html | None = None) -> Html:
    data = pictures.scatter(plane, number, colours)
    caption = tag("figcaption", tag("strong", f"By {word}"), *([key] if key else []))
    shown = picture(data, "png", f"Map of {len(plane):,} cells by {word}", loading="lazy")
    return tag("figure", shown, caption, class_="map")


def _gallery(cohort: Cohort, slide: Slide, width: int) -> Html:
    data = pictures.gallery(cohort.folder(slide.name), width=width)
    shown = picture(data, "jpeg", f"Typical cells of each cluster on {slide.name}", loading="lazy")
    link = tag("a", shown, href=quote(f"{slide.name}/{SlideFolder.gallery}"))
    return tag("figure", link, class_="gallery", data_name=slide.name)


def _alone(cohort: Cohort) -> list[Html]:
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
                sorted_percent(slide.noise_share),
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
            text = f"Maps and galleries of the first {len(shown)} slides; those of the others are linked below."
            parts.append(tag("p", text))
    return parts + [_detail(cohort, slide, many=len(shown) > 2) for slide in shown]


def _detail(cohort: Cohort, slide: Slide, *, many: bool) -> Html:
    """Map, clusters and gallery of a slide with clusters of its own."""
    folder = cohort.folder(slide.name)
    plane = np.load(folder.plane, mmap_mode="r")
    shown = pictures.sample(len(plane))
    cluster_id = Clustering.read(folder.clusters).cluster_id[shown]
    left = [
        _map(np.asarray(plane[shown]), cluster_id, _colours(slide), "cluster"),
        _shares(slide),
        _clusters([slide], caption=f"Clusters of {slide.name}"),
    ]
    right = _gallery(cohort, slide, _SMALL if many else _LARGE)
    both = tag("div", tag("div", *left), right, class_="detail")
    return tag("article", tag("h3", slide.name), both, data_name=slide.name)
