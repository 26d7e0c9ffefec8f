"""The page of an atlas: what taught it, how right it is where it was not taught, and what not to trust it with."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from .. import html
from ..drawing import crops, gallery, new_figure, save_figure
from ..html import Html, picture, tag
from ..slide.facts import SlideFacts
from ..slide.slide import Slide
from .atlas import Atlas
from .learn import Confusion
from .taught import PATIENTS, SLIDES, STRIPS

_CROP_PX = 128
_ROOM = 3.0
"""A picture's side over that of the cells: what lies around a cell often tells why it was taken for another."""
_STYLE = ".cells { max-width: none; } .cells img { margin: 0 4px 4px 0; }"

_TRUST = (
    (
        "Slides like those that taught",
        "Stained, scanned and prepared alike. The figures are of slides that were left out, but of the same sheet; "
        "other laboratories may come out worse. Review some cells of a new slide before its numbers go anywhere.",
    ),
    (
        "Classes that were taught",
        "A cell of another kind is called novel only if it looks like none that taught. Kinds that look alike to the "
        "embedding are taken for each other, and nothing tells.",
    ),
    (
        "Single cells",
        "A probability is the share of cells right among many of which the same is said. It proves nothing of one.",
    ),
)


def shots(
    confusions: Sequence[Confusion], atlas: Atlas, sources: Sequence[crops.Source], starts: np.ndarray
) -> list[list[bytes]]:
    """Draw cells that were taken for another class, outlined in the colour of what people say, as JPEG.

    Parameters
    ----------
    confusions
        See `learn.confusions`.
    atlas
        Has the colours.
    sources
        The slides that taught.
    starts
        Slides + 1: where the cells of each begin.
    """
    rows = [int(row) for one in confusions for row in one.cells]
    outlines, owners = crops.outlines(sources, starts, rows), dict(zip(rows, crops.owners(starts, rows), strict=True))
    with ExitStack() as opened:
        slides = {
            number: opened.enter_context(Slide(sources[number].slide, mpp=SlideFacts.of(sources[number].masks).mpp))
            for number in set(owners.values())
        }
        mpp = np.array([slides[owners[row]].mpp for row in rows])
        side = gallery.side_um(np.array([outlines[row] for row in rows]), mpp=mpp, room=_ROOM)

        def shot(row: int, colour: str) -> bytes:
            file = io.BytesIO()
            seen = crops.crop(slides[owners[row]], outlines[row], colour, side, _CROP_PX)
            Image.fromarray(seen).save(file, "JPEG", quality=85)
            return file.getvalue()

        return [[shot(int(row), atlas.classes[one.said]["colour"]) for row in one.cells] for one in confusions]


def write(
    atlas: Atlas,
    answers: Sequence[dict],
    confused: Sequence[tuple[Confusion, Sequence[bytes]]],
    path: str | os.PathLike,
) -> None:
    """Write the page, in one HTML file.

    Parameters
    ----------
    atlas
        What it is about.
    answers
        See `learn.by_answers`.
    confused
        See `learn.confusions`, each with pictures of its cells.
    path
        The file.
    """
    title = f"Atlas {atlas.name}"
    measured = atlas.measured
    whole = html.document(
        title,
        tag("h1", title),
        tag("p", _headline(atlas), class_="headline"),
        tag("p", _how(atlas)),
        picture(
            _plot(atlas, answers),
            "png",
            "share of right cells over share of cells that get a label, over probability, and over number of answers",
        ),
        tag("h2", "What was taken for what"),
        _confusion(atlas),
        tag("p", "Below, cells that somebody looked at come first, then those that it was surest about."),
        *(part for one, pictures in confused for part in _shown(atlas, one, pictures)),
        tag("h2", "Slides" if measured["left_out"] == STRIPS else "Slides, each left out"),
        html.table(
            ["slide", "cells", "right"],
            [[one["slide"], f"{one['cells']:,}", _percent(one["right"] / one["cells"])] for one in measured["slides"]],
        ),
        tag("h2", "What taught it"),
        _taught(atlas),
        tag("h2", "What it can be trusted with"),
        tag("dl", *(part for name, text in _TRUST for part in (tag("dt", name), tag("dd", text)))),
        style=_STYLE,
    )
    html.write(whole, path)


def _headline(atlas: Atlas) -> str:
    measured = atlas.measured
    span = "" if measured["low"] is None else f" [{_percent(measured['low'])}, {_percent(measured['high'])}]"
    at = min(measured["coverage"], key=lambda one: abs(one["share"] - 0.8))
    return (
        f"It agrees with people about {_percent(measured['right'])}{span} of cells where every cell gets a label, and "
        f"about {_percent(at['right'])} where the surest {100 * at['share']:.0f} % do. The commonest class for all "
        f"would agree about {_percent(measured['commonest'])}."
    )


def _how(atlas: Atlas) -> str:
    measured = atlas.measured
    named, reviewed = measured["named"], measured["reviewed"]
    parts = []
    if named["cells"]:
        parts.append(
            f"Of {named['cells']:,} cells people said only what their cluster is, which is wrong for some of them; it "
            f"agrees about {_percent(named['right'])}."
        )
    if reviewed["cells"]:
        parts.append(
            f"At {reviewed['cells']:,} cells somebody looked; it is right about {_percent(reviewed['right'])}. Where "
            "these were asked about because they were in doubt, they are harder than others."
        )
    left_out = {
        PATIENTS: "Patients were left out in turn, with all their slides, and labelled by what the others taught.",
        SLIDES: "Slides were left out in turn, and labelled by what the others taught.",
        STRIPS: "Strips of the one slide were left out in turn, which says nothing of other slides.",
    }[measured["left_out"]]
    if measured["left_out"] == SLIDES and len(measured["slides"]) > 1 and atlas.taught["patients"] == 1:
        left_out += " All are of one patient, so it says nothing of others."
    both = atlas.taught["agreement"]
    if both["cells"]:
        parts.append(
            f"Of {both['cells']:,} cells at which several people looked, they say the same about "
            f"{_percent(both['agreed'] / both['cells'])}, and an atlas can hardly agree with all of them more often."
        )
    error = f"By all of these, probabilities are off by {100 * measured['calibration_error']:.1f} points on the average"
    error += "; what names get wrong on all slides alike, no figure here shows." if named["cells"] else "."
    return " ".join([left_out, *parts, error])


def _plot(atlas: Atlas, answers: Sequence[dict]) -> bytes:
    measured = atlas.measured
    figure, (left, right, *more) = new_figure(columns=3 if answers else 2)
    shares = [one["share"] for one in measured["coverage"]]
    left.plot(shares, [one["right"] for one in measured["coverage"]], color="#0072b2", linewidth=2.5)
    left.axhline(measured["commonest"], color="#999999", linestyle="dashed", linewidth=1)
    left.annotate(
        "the commonest class for all", (0.02, measured["commonest"]), va="bottom", fontsize=8, color="#666666"
    )
    left.set(title="Risk against coverage", xlabel="cells that get a label, the surest first", ylabel="of these, right")
    right.plot([0, 1], [0, 1], color="#999999", linestyle="dashed", linewidth=1)
    bins = measured["reliability"]
    sizes = [10 + 200 * one["cells"] / measured["cells"] for one in bins]
    right.scatter([one["sure"] for one in bins], [one["right"] for one in bins], s=sizes, color="#0072b2")
    right.set(title="How sure, and how right", xlabel="probability", ylabel="right", xlim=(0, 1), ylim=(0, 1))
    left.set(xlim=(0, 1), ylim=(min(0.5, measured["commonest"] - 0.05), 1))
    for axes in more:
        axes.plot([one["answers"] for one in answers], [one["right"] for one in answers], color="#0072b2", marker="o")
        axes.set_xscale("symlog", linthresh=25)
        axes.set_xticks([one["answers"] for one in answers], [f"{one['answers']:,}" for one in answers], rotation=45)
        axes.minorticks_off()
        axes.set(
            title="How right by number of answers", xlabel="cells that somebody looked at", ylabel="of these, right"
        )
        axes.set(ylim=left.get_ylim())
    for axes in (left, right):
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    for axes in (left, right, *more):
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.spines[["top", "right"]].set_visible(False)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "atlas.png")
        save_figure(figure, file)
        return file.read_bytes()


def _confusion(atlas: Atlas) -> Html:
    names, counts = [entry["name"] for entry in atlas.classes], atlas.measured["confusion"]
    rows = [
        [name, *(f"{count:,}" for count in row), _percent(row[place] / sum(row)) if sum(row) else "none judged"]
        for place, (name, row) in enumerate(zip(names, counts, strict=True))
    ]
    return html.table(["people say", *(f"taken for {name}" for name in names), "right"], rows)


def _shown(atlas: Atlas, one: Confusion, pictures: Sequence[bytes]) -> list[Html]:
    said, taken = (atlas.classes[number]["name"] for number in (one.said, one.taken))
    told = f"{said}, taken for {taken}"
    return [
        tag("h3", f"{told}: {_counted(one.count, 'cell')}"),
        tag("p", *(picture(shot, "jpeg", f"cell: {told}", width=_CROP_PX) for shot in pictures), class_="cells"),
    ]


def _taught(atlas: Atlas) -> Html:
    taught = atlas.taught
    rows = [
        [name, f"{taught['reviewed'][name]:,}", f"{taught['named'][name]:,}"]
        for name in (entry["name"] for entry in atlas.classes)
    ]
    models = ", ".join(one["model"] for one in atlas.embedding["models"])
    return html.join(
        [
            html.table(["class", "cells that somebody looked at", "cells by the name of their cluster"], rows),
            tag(
                "p",
                f"{_counted(len(taught['slides']), 'slide')} of {_counted(taught['patients'], 'patient')} with "
                f"{taught['cells']:,} cells "
                f"({', '.join(taught['slides'])}), {atlas.mpp_in_words} µm per pixel, embedded by {models}. "
                f"{taught['used']:,} cells taught.",
            ),
        ]
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
