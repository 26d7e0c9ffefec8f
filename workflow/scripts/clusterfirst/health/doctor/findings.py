"""What a check finds, trying things out in a process of their own, and the list for people."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import caches

LEVELS = ("ok", "note", "problem")
"""A problem would keep the workflow from running; a note is something to know."""

_SETUP = "make the environment again: `rm -rf .venv`, then `make demo` (README, 'Quick start')"

_COLOURS = {"ok": "32", "note": "33", "problem": "31"}
_SCRIPTS = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Finding:
    """One line of the list.

    Attributes
    ----------
    level : str
        One of `LEVELS`.
    about : str
        What was looked at.
    text : str
        What was found.
    advice : str
        What to do about it.
    """

    level: str
    about: str
    text: str
    advice: str = ""


@dataclass(frozen=True)
class Tried:
    """What came of code that ran in a process of its own.

    Attributes
    ----------
    output : str
        What it printed.
    why : str
        Why it did not end well; "" if it did.
    """

    output: str
    why: str = ""


def setup() -> str:
    """Return what to do about an environment that is broken."""
    if os.access(sys.prefix, os.W_OK):
        return _SETUP
    return f"{sys.prefix} is not yours to change: ask whoever keeps it, or make an environment in a clone of your own"


def tried(code: str, *arguments: str, timeout_s: float = 120) -> Tried:
    """Run Python code apart: a crash or hang of a C library is a finding then, not the end of all checks."""
    paths = [str(_SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    # What is wrong with caches is a finding of its own, and not of every package that keeps one.
    environment = os.environ | caches.environment() | {"PYTHONPATH": os.pathsep.join(paths)}
    return tried_command([sys.executable, "-c", code, *arguments], timeout_s=timeout_s, environment=environment)


def tried_command(command: list[str], *, timeout_s: float = 20, environment: dict | None = None) -> Tried:
    """Run a command, and say in a line why it did not end well."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
        return Tried(output.decode("utf-8", "replace"), f"no answer within {timeout_s:g} s")
    except OSError as error:
        return Tried("", str(error))
    if not done.returncode:
        return Tried(done.stdout)
    said = [line for line in done.stderr.splitlines() or done.stdout.splitlines() if line.strip()]
    last = said[-1].strip()[:300] if said else f"it ended with {done.returncode}"
    return Tried(done.stdout, f"it was killed by signal {-done.returncode}" if done.returncode < 0 else last)


def guarded(about: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """Yield what a check finds; that it fails itself is a finding, too."""
    try:
        yield from check()
    except ImportError as error:
        yield Finding("problem", about, f"cannot be looked at: {error}", setup())
    except Exception as error:  # noqa: BLE001 - the machine may be broken in any way, and the other checks must go on
        yield Finding("problem", about, f"the check itself failed: {type(error).__name__}: {error}")


def lines(finding: Finding, *, colour: bool = False) -> str:
    """Write a finding for people."""
    level = f"{finding.level:8}"
    if colour:
        level = f"\x1b[{_COLOURS[finding.level]}m{level}\x1b[0m"
    text = finding.text.replace("\n", "\n" + " " * 10)
    advice = f"\n{'':10}-> {finding.advice}" if finding.advice else ""
    return f"{level}  {finding.about}: {text}{advice}"
