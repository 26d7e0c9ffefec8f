"""What numbers of cells mean in a picture: colours and names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..clustering import palette
from ..clustering.document import Clustering


@dataclass(frozen=True)
class ColourKey:
    """What the numbers of cells mean in a picture.

    Attributes
    ----------
    colour : callable
        ``#rrggbb`` of a number.
    name : callable
        What the legend calls a number.
    others : str
        What it calls those for which it has no room.
    none : str
        What it calls cells of number −1.
    of_classes : bool
        Whether numbers are classes, of which a model may have proposed some.
    """

    colour: Callable[[int], str]
    name: Callable[[int], str]
    others: str
    none: str
    of_classes: bool = False


CLUSTERS = ColourKey(palette.colour, "cluster {}".format, "clusters", "noise")


def classes_key(classes: Sequence[dict], *, none: str = "no class") -> ColourKey:
    """Return the key of cells that are numbered by class.

    Parameters
    ----------
    classes
        ``name`` and ``colour`` (``#rrggbb``) of each.
    none
        What the legend calls cells without one.
    """
    return ColourKey(
        lambda number: classes[number]["colour"] if number >= 0 else palette.NOISE,
        lambda number: classes[number]["name"],
        "classes",
        none,
        of_classes=True,
    )


def clusters_key(clusters: Clustering) -> ColourKey:
    """Return the key of clusters in the colours that ``clusters.json`` gives them."""
    shades = clusters.colours
    return ColourKey(lambda number: shades[int(number)], CLUSTERS.name, CLUSTERS.others, CLUSTERS.none)


ONE_COLOUR = ColourKey(lambda _: "#009e73", lambda _: "cells", "cells", "cells")
"""Of cells that are all numbered 0: the colour that is seen best on pink and violet."""


LIGHT = ColourKey(lambda _: "#ffffff", lambda _: "", "", "")
"""Of lines under other lines."""
