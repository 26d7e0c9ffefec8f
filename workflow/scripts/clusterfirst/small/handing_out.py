"""What is to be done for each small image of a run, written down before its first job."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..plan import small
from ..plan.layout import ResultsFolder
from .kept import Kept, remove, write

if TYPE_CHECKING:
    from ..plan.plan import Plan


def hand_out(plan: Plan, asked: Mapping[str, Iterable[str]], contents: Callable[[str, str], Any]) -> None:
    """Write down what the chains of a run have to do, and forget what is not to be done any more.

    What an earlier run made and nobody took is kept, if it would be made just so again.

    Parameters
    ----------
    plan
        The run.
    asked
        By chain, the slides that go through it in this run.
    contents
        What the files from outside hold that a chain reads of a slide (see `contents.Contents.param`).
    """
    root = os.path.abspath(ResultsFolder(plan.results).small)
    atexit.register(tidy, root)
    for chain, slides in asked.items():
        slides = {*slides}
        for name in _names(os.path.join(root, chain)):
            if name not in slides:
                remove(os.path.join(root, chain, name))
        for slide in slides:
            kept, job = Kept(small.folder(plan, chain, slide)), small.job(plan, chain, slide, contents(chain, slide))
            before = kept.read_job()
            if before is None or before["key"] != job["key"]:
                kept.forget()
            for path in (kept.taken, kept.failed):
                remove(path)
            os.makedirs(kept.folder, exist_ok=True)
            write(kept.job, job)


def tidy(root: str) -> None:
    """Remove what is left of images that are done, and the folder, once nothing is in it."""
    for chain in _names(root):
        for name in _names(os.path.join(root, chain)):
            kept = Kept(os.path.join(root, chain, name))
            if os.path.exists(kept.taken):
                remove(kept.folder)
        if not _names(os.path.join(root, chain)):
            remove(os.path.join(root, chain))
    if not _names(root):
        remove(root)


def _names(folder: str) -> list[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []
