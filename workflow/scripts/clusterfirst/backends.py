"""How a thing that is chosen by name declares itself: what planning must know of it without importing it.

A wing lists its backends in its ``__init__``, by the name that the configuration has for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from .fit import Fit


@dataclass(frozen=True)
class Backend:
    """One way of doing what a wing does.

    Attributes
    ----------
    place : str
        Where it is implemented: ``module:name``, the module below the library's root.
    keys : tuple of str
        Settings of the wing's section that concern this backend and not every other: a change of one redoes nothing
        where another backend is at work.
    weights : str or None
        The name of the weights it uses unless the user says otherwise (see `weights`); None: it is no network.
    fit : Fit or None
        What it needs beside what its stage needs in any case. Whatever has weights must say.
    columns : int
        Of an embedding: how many numbers it gives a cell, as well as is known without loading it.
    """

    place: str
    keys: tuple[str, ...] = ()
    weights: str | None = None
    fit: Fit | None = None
    columns: int = 0

    def __post_init__(self):
        if self.weights is not None and self.fit is None:
            raise ValueError(f"{self.place}: a network whose cost nobody stated would be planned as free")

    def load(self) -> Callable[..., Any]:
        """Import it, and whatever it needs, only now."""
        module, _, name = self.place.partition(":")
        return getattr(import_module(f".{module}", __package__), name)
