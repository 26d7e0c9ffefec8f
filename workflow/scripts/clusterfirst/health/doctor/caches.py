"""Where Snakemake, numba and torch keep caches: in the home, unless XDG_CACHE_HOME says otherwise."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path

from ...paths import CACHE_VARIABLE, caches

_TRIAL_BYTES = 16 << 20


def folder() -> Path:
    """Return the folder of caches."""
    return caches().absolute()


def there(path: Path) -> Path:
    """Return the folder itself, or the nearest one above it that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def unwritable(path: Path) -> str:
    """Return why nothing can be written there; "" if it can. A quota is felt only by writing."""
    if not path.is_dir():
        return "it is no folder"
    try:
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(bytes(_TRIAL_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return ""


def environment() -> dict[str, str]:
    """Return what is to be set to try things out as they will be once caches can be written."""
    if not _why(folder()):
        return {}
    return {CACHE_VARIABLE: tempfile.gettempdir()}


@cache
def _why(path: Path) -> str:
    return unwritable(there(path))
