"""Whether everything is there that a run needs: machine, packages, folders, Slurm, weights, sheet and slides."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from .findings import Finding, guarded, lines

__all__ = ["Finding", "examine", "lines"]


def examine(files: Sequence[str | Path], workflow: Path, *, on_slurm: bool = False) -> Iterator[Finding]:
    """Check everything, from the machine to the slides.

    The environment may be half broken: each check imports what it needs itself, and one that fails does not keep
    the others from running.

    Parameters
    ----------
    files
        Configuration files, each laid over those before it.
    workflow
        The folder ``workflow`` of the repository.
    on_slurm
        Whether jobs are to go to Slurm.
    """
    yield from guarded("Python", _machine("python"))
    yield from guarded("processor", _machine("processors"))
    yield from guarded("packages", _machine("packages", workflow.parent / "pyproject.toml"))
    yield from guarded("imports", _machine("imports"))
    yield from guarded("OpenSlide", _machine("openslide"))
    project: list = []
    yield from guarded("config", lambda: _read(files, workflow, project))
    gpu = project[0].config["gpu"] if project else "auto"
    yield from guarded("GPU", _machine("gpu", gpu))
    yield from guarded("Slurm", lambda: _slurm(gpu, on_slurm))
    if not project:
        return
    yield from guarded("folders", lambda: _folders(project[0].config))
    yield from guarded("proxy", lambda: _proxies(project[0]))
    yield from guarded("weights", lambda: _weights(project[0]))
    yield from guarded("slides", lambda: _slides(project[0]))


def _machine(check: str, *arguments):
    def run():
        from . import machine

        return getattr(machine, check)(*arguments)

    return run


def _read(files, workflow, project):
    from .project import read

    own, findings = read(files, workflow / "schemas")
    project += [own] if own else []
    return findings


def _slurm(gpu, needed):
    from .slurm import slurm

    return slurm(gpu, needed=needed)


def _folders(config):
    from .storage import folders

    return folders(config["results"], config["models_dir"])


def _proxies(project):
    from .project import used_proxies

    return used_proxies(project, os.environ)


def _weights(project):
    from .project import weights

    return weights(project)


def _slides(project):
    from .project import slides

    return slides(project)
