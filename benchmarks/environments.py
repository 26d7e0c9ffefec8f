"""Environments of their own for the tools that peers.py compares with, from the pinned lists in `peer/`."""

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

LISTS = Path(__file__).resolve().parent / "peer"


def python_of(name: str, folder: Path) -> Path:
    """Return the Python of environment `name` below `folder`; make it if it is not there, or of another list.

    The list has every package (`uv pip compile`), so nothing is resolved here. The Python is that of this process.
    """
    pinned = LISTS / f"{name}.txt"
    made_of = f"{sys.version.split()[0]} {hashlib.sha256(pinned.read_bytes()).hexdigest()}\n"
    home, stamp = folder / name, folder / name / "made-of.txt"
    python = home / "bin/python"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == made_of:
        return python
    print(f"making the environment {home}", file=sys.stderr)
    shutil.rmtree(home, ignore_errors=True)
    uv = _uv()
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, home], check=True)
    install = [uv, "pip", "install", "--quiet", "--no-deps", "--python", python, "-r", pinned]
    subprocess.run(install, check=True, cwd=home.anchor)  # away from this project, whose bounds uv would apply
    stamp.write_text(made_of, encoding="utf-8")
    return python


def version(name: str, package: str) -> str:
    """Return the version of a package in a list."""
    text = (LISTS / f"{name}.txt").read_text(encoding="utf-8")
    return re.search(rf"^{re.escape(package)}==(\S+)", text, re.MULTILINE).group(1)


def _uv() -> str:
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise SystemExit("uv is needed to make the environments: install it beside this Python (`pip install uv`)")
    return found
