"""The page of an atlas: what taught it, how right it is where it was not taught, and what not to trust it with."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from .. import html
from ..drawing import new_figure, save_figure
from ..html import Html, picture, tag
from .atlas import Atlas

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


def write(atlas: Atlas, path: str | os.PathLike) -> None:
    """Write the page, in one HTML file."""
    title = f"Atlas {atlas.name}"
    measured = atlas.measured
    whole = html.document(
        title,
        tag("h1", title),
        tag("p", _headline(atlas), class_="headline"),
        tag("p", _how(atlas)),
        picture(_plot(atlas), "png", "share of right cells over share of cells that get a label; and over probability"),
        tag("h2", "What was taken for what"),
        _confusion(atlas),
        tag("h2", "Slides, each left out"),
        html.table(
            ["slide", "cells", "right"],
            [[one["slide"], f"{one['cells']:,}", _percent(one["right"] / one["cells"])] for one in measured["slides"]],
        ),
        tag("h2", "What taught it"),
        _taught(atlas),
        tag("h2", "What it can be trusted with"),
        tag("dl", *(part for name, text in _TRUST for part in (tag("dt", name), tag("dd", text)))),
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
    left_out = (
        "Strips of the one slide were left out in turn, which says nothing of other slides."
        if measured["left_out"] == "strips"
        else "Slides were left out in turn, and labelled by what the others taught."
    )
    error = f"By all of these, probabilities are off by {100 * measured['calibration_error']:.1f} points on the average"
    error += "; what names get wrong on all slides alike, no figure here shows." if named["cells"] else "."
    return " ".join([left_out, *parts, error])


def _plot(atlas: Atlas) -> bytes:
    measured = atlas.measured
    figure, (left, right) = new_figure(columns=2)
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
    for axes in (left, right):
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
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
                f"{len(taught['slides'])} slides of {taught['cells']:,} cells ({', '.join(taught['slides'])}), "
                f"{atlas.mpp_in_words} µm per pixel, embedded by {models}. {taught['used']:,} cells taught.",
            ),
        ]
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
