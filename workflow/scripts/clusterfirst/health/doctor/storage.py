"""Folders: room, inodes, whether they can be written to, and whether files can be locked."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ...paths import CACHE_VARIABLE
from ..lock import run_at_work
from . import caches
from .caches import there, unwritable
from .findings import Finding

_LEAST_GB, _LITTLE_GB = 1, 20
_LEAST_INODES, _FEW_INODES = 1_000, 100_000
"""`annotated/` has a file for every kept tile: thousands per slide."""


def folders(results: str, models_dir: str) -> Iterator[Finding]:
    """The folders that a run writes to: results, weights, temporary files, caches, Snakemake's own."""
    yield from folder("results", Path(results), little_gb=_LITTLE_GB)
    yield from folder("models_dir", Path(models_dir))
    yield from folder("TMPDIR", Path(tempfile.gettempdir()))
    yield from folder(".snakemake", Path(".snakemake"))
    yield from _cache()
    yield from _locks(there(Path(results)))
    run = run_at_work(results)
    if run.at_work:
        text = f"a run is at work there ({run.where})" if run.where else "a run is at work there"
        yield Finding("note", "results", text, "wait for it before you start another; `make status` looks at it")


def folder(name: str, path: Path, *, little_gb: float = _LEAST_GB) -> Iterator[Finding]:
    """One folder, or the nearest one above it that is there."""
    base = there(path)
    if why := unwritable(base):
        advice = "free space or quota, ask for write access, or set another folder"
        yield Finding("problem", name, f"{base} cannot be written to: {why}", f"{advice}{_how(name)}")
        return
    free = shutil.disk_usage(base).free / 1e9
    stats = os.statvfs(base)
    # Some file systems make inodes as they go, and count none.
    inodes = stats.f_favail if stats.f_files else None
    text = f"{path}: " if base == path.absolute() else f"{path} (to be made in {base}): "
    text += f"{free:,.0f} GB free" if free >= 10 else f"{free:.1f} GB free"
    text += f", room for {inodes:,} files" if inodes is not None else ""
    if free < _LEAST_GB or (inodes is not None and inodes < _LEAST_INODES):
        yield Finding("problem", name, f"{text}: full", f"make room, or set another folder{_how(name)}")
    elif free < little_gb or (inodes is not None and name == "results" and inodes < _FEW_INODES):
        advice = (
            "a slide takes some hundred MB to some GB, and a file for each kept tile (annotation.max_tiles limits them)"
        )
        yield Finding("note", name, f"{text}: little", advice)
    else:
        yield Finding("ok", name, text)


def _how(name: str) -> str:
    ways = {
        "results": "`results:` in the config",
        "models_dir": "`models_dir:` in the config",
        "TMPDIR": "export TMPDIR",
    }
    return f" ({ways[name]})" if name in ways else ""


def _cache() -> Iterator[Finding]:
    """Snakemake itself keeps one, and ends with a traceback where it cannot."""
    path = caches.folder()
    if why := unwritable(there(path)):
        advice = (
            f"export {CACHE_VARIABLE}=$PWD/.snakemake/cache, or another folder that can be written to (`make` does so "
            "by itself)"
        )
        text = f"{path} cannot be written to: {why}. Snakemake ends before it begins"
        yield Finding("problem", "cache", text, advice)
    else:
        yield Finding("ok", "cache", f"{path} can be written to")


def _locks(path: Path) -> Iterator[Finding]:
    """Whether one process keeps another out of the results."""
    import fcntl

    try:
        with tempfile.NamedTemporaryFile(dir=path) as first, open(first.name, "rb") as second:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                fcntl.flock(second, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                yield Finding("ok", "locks", f"{path} keeps two runs apart")
                return
            why = "a second lock was granted"
    except OSError as error:
        why = error.strerror or str(error)
    advice = "take care yourself that only one run at a time works in a results folder"
    yield Finding("note", "locks", f"files under {path} cannot be locked ({why})", advice)
