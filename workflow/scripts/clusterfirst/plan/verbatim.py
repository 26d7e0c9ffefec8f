"""Names of files that hold what means a wildcard or a variable to Snakemake: a folder called {batch}, or <results>.

Snakemake (9.27) has no way to write such a name: what functions of rules return is searched for both again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

_TAKEN: set[str] = set()


def is_odd(path: str) -> bool:
    """Whether Snakemake would take a part of a path for something else; addresses are its own matter."""
    return "://" not in path and ("{" in path or "<" in path)


def take(path: str, searchers: Iterable[tuple[Any, str]]) -> None:
    """Have a path taken for that of a file, whatever is in it.

    Parameters
    ----------
    path
        It.
    searchers
        The functions that would search it: for each, whose attribute it is, and the attribute's name.
    """
    if not _TAKEN:
        for owner, name in searchers:
            setattr(owner, name, _skipping(getattr(owner, name)))
    _TAKEN.add(path)


def _skipping(known: Callable) -> Callable:
    def apply(*given: Any) -> Any:
        paths = [one for one in given if isinstance(one, str) and one in _TAKEN]
        return paths[0] if paths else known(*given)

    return apply
