"""Paths as people write them: with ``~``, variables, or as addresses of files."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from .io import ClusterfirstError

FORMAT = "path"
"""``format`` in a JSON schema of what is a path, or may be one."""
_TOKENS = "tokens:"

CACHE_VARIABLE = "XDG_CACHE_HOME"
"""Names the user's folder of caches."""

_VARIABLE = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_FILE = re.compile(r"file:(?://([^/]*))?(.*)", re.IGNORECASE | re.DOTALL)


SCRIPTS = Path(__file__).resolve().parent.parent


@cache
def library_sha256() -> str:
    """Return a hash of all scripts and the library: what another version has made is not taken for this one's."""
    digest = hashlib.sha256()
    for path in sorted(SCRIPTS.rglob("*.py")):
        digest.update(f"{path.relative_to(SCRIPTS)} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_address(path: str) -> bool:
    """Whether a file is named by its address elsewhere, such as in a bucket."""
    return "://" in path and not _FILE.match(path)


def written_out(path: str) -> str:
    """Return a path with the home folder for ``~`` and ``~user``, and with what variables hold.

    A ``file:`` address becomes the path that it stands for; other addresses stay as they are. So does what is no
    variable and no user, but is there under that very name.

    Examples
    --------
    >>> written_out("file:///data/slide%20a.svs")
    '/data/slide a.svs'

    Raises
    ------
    ClusterfirstError
        There is no such variable or user, or no path could be called so.
    """
    if is_address(path):
        return path
    _refuse_controls(path, path)
    full = _of_address(path) if _FILE.match(path) else _with_home_and_variables(path)
    _refuse_controls(full, path)
    return full


def _refuse_controls(text: str, path: str) -> None:
    if wrong := re.search(r"[\x00-\x1f\x7f]", text):
        raise ClusterfirstError(f"{path!r} has a line break or another control character ({wrong[0]!r}) in it")


def _with_home_and_variables(path: str) -> str:
    try:
        return _with_home(_VARIABLE.sub(_value, path))
    except ClusterfirstError:
        if os.path.lexists(path):
            return path
        raise


def _value(variable: re.Match) -> str:
    name = variable[1] or variable[2]
    if name not in os.environ:
        raise ClusterfirstError(f"there is no variable {name} in the environment: set it, or write the path out")
    return os.environ[name]


def _with_home(path: str) -> str:
    if path.startswith(_TOKENS):
        # A file of a network may stand there, where else an architecture has its name.
        return _TOKENS + _with_home(path.removeprefix(_TOKENS))
    full = os.path.expanduser(path)
    if path.startswith("~") and full == path:
        user = Path(path).parts[0]
        raise ClusterfirstError(f"there is no home folder {user}: write the path out (./{user} for what is called so)")
    return full


def _of_address(address: str) -> str:
    # What follows # and ? belongs to the name: a file has neither a part nor a query.
    host, name = _FILE.match(address).groups()
    if host and host.lower() != "localhost":
        raise ClusterfirstError(
            f"{address} names a file on another machine ({host}): write the path that it has on this one"
        )
    return unquote(name)


def in_document(value: Any, schema: dict, where: str = "") -> tuple[Any, list[str]]:
    """Return a value with all paths written out that its JSON schema says are paths, and what is wrong with them."""
    problems: list[str] = []
    return _walked(value, schema, where, problems), problems


def _walked(value: Any, schema: dict, where: str, problems: list[str]) -> Any:
    if isinstance(value, str) and schema.get("format") == FORMAT:
        try:
            return written_out(value)
        except ClusterfirstError as error:
            problems.append(f"{where}: {error}")
    elif isinstance(value, list):
        return [_walked(one, schema.get("items", {}), where, problems) for one in value]
    elif isinstance(value, dict):
        names = schema.get("propertyNames", {})
        return {
            _walked(key, names, where, problems): _walked(one, below, f"{where}.{key}".lstrip("."), problems)
            for key, one, below in _members(value, schema)
        }
    return value


def _members(value: dict, schema: dict) -> Iterator[tuple[Any, Any, dict]]:
    """Keys and values, each with its schema."""
    others = schema.get("additionalProperties")
    for key, one in value.items():
        below = schema.get("properties", {}).get(key, others)
        yield key, one, below if isinstance(below, dict) else {}


def import_first(folder: Path) -> None:
    """Have processes that this one starts look for modules in a folder before anywhere else.

    Snakemake puts a script's folder last: another version that is installed would come first.
    """
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def caches() -> Path:
    """Return the user's folder of caches; it begins with ``~`` if there is no home and `CACHE_VARIABLE` names none."""
    return Path(os.environ.get(CACHE_VARIABLE) or os.path.expanduser("~/.cache"))
