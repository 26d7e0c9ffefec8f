"""What cells are called, and who says so: sources of one shape, and the table that joins all that is known of cells.

Each source is a module with ``read_labels(path, masks, clusters) -> Labels``; of guesses, `Labels.how` is set here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from ..clustering.document import Clustering


@dataclass(frozen=True)
class Labels:
    """What a source says of a slide's n cells.

    Attributes
    ----------
    label : numpy.ndarray
        n str, or None.
    how : numpy.ndarray
        n str: how the label came about (``label_source``); None where the source says nothing. With `how` and without
        a label, a cell was given none on purpose.
    who : numpy.ndarray
        n str: the person, or the model; None where the source says nothing.
    confidence : numpy.ndarray
        n float32 in [0, 1]; NaN where there is none.
    classes : list of dict
        ``name``, ``colour``, …; every class that a cell has is among them.
    facts : dict
        What is to be remembered, JSON-ready.
    by_people : bool
        Whether it is people who say so.
    """

    label: np.ndarray
    how: np.ndarray
    who: np.ndarray
    confidence: np.ndarray
    classes: list[dict]
    facts: dict[str, Any]
    by_people: bool = True


@dataclass(frozen=True)
class LabelSource:
    """Who may say what cells are.

    Attributes
    ----------
    name : str
        Of its files among what the cells are joined from, and of its facts.
    module : str
        Of this package.
    guess : str or None
        Not people: what ``label_source`` says of all its labels. Pictures and pages tell these from names.
    about : str
        How legends say it.
    """

    name: str
    module: str
    guess: str | None = None
    about: str = ""

    def read(self, path: str | Path, masks: str | Path, clusters: Clustering) -> Labels:
        """Read what it says of the cells of ``masks.parquet``, which are in these clusters."""
        found = import_module(f".{self.module}", __name__).read_labels(path, masks, clusters)
        if not self.guess:
            return found
        import numpy as np

        # Comparisons with None go element by element.
        return replace(found, how=np.where(found.label != None, self.guess, None), by_people=False)  # noqa: E711


SOURCES = (
    LabelSource("labels", "people"),
    LabelSource("learnt", "learnt", guess="learnt", about="learnt from names of other cells"),
    LabelSource("proposals", "model", guess="proposed", about="proposed by a model"),
)
"""The first that says something of a cell has the last word."""

GUESSES = {source.guess: source.about for source in SOURCES if source.guess}
"""How labels come about that are no person's, and how legends say it."""
