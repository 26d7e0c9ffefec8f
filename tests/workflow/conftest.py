"""Whole runs of the workflow in folders of their own."""

import csv
import os
import re
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from PIL import Image

from clusterfirst.labelling.cells.results import open_results
from clusterfirst.labelling.server import exports
from clusterfirst.labelling.server.session import Session
from clusterfirst.slide.slide import Slide


@dataclass(frozen=True)
class Project:
    """A working directory with its own sheet and config, running this checkout's workflow."""

    folder: Path
    repo: Path

    def write(self, slides, config=None):
        """Write the sheet (rows as dicts) and what the config changes."""
        with (self.folder / "slides.csv").open("w", newline="") as file:
            sheet = csv.DictWriter(file, ["slide", "path", "tissue", "mpp", "objects", "truth", "patient", "split"])
            sheet.writeheader()
            sheet.writerows(slides)
        own = {"slides": "slides.csv", "models_dir": str(self.repo / "resources/models"), **APART, **(config or {})}
        (self.folder / "own.yaml").write_text(yaml.safe_dump(own))

    def change(self, config):
        """Lay more over the config."""
        own = yaml.safe_load((self.folder / "own.yaml").read_text())
        (self.folder / "own.yaml").write_text(yaml.safe_dump(own | config))

    @property
    def command(self):
        return [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(self.repo / "workflow/Snakefile")),
            *("--directory", str(self.folder), "--configfile", str(self.folder / "own.yaml")),
            *("--workflow-profile", str(self.repo / "profiles/default"), "--cores", "2"),
        ]

    def run(self, *arguments):
        """Run snakemake; return the finished process with stdout and stderr together."""
        return subprocess.run(
            [*self.command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )

    def jobs(self, *arguments):
        """The (rule, slide or group) pairs that a run would do."""
        done = self.run(*arguments, "--dry-run", "--quiet", "host")
        assert done.returncode == 0, done.stdout
        planned = re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", done.stdout, flags=re.M | re.S)
        slides = [re.search(r"wildcards: (?:slide|group)=([^,\s]+)", text) for _, text in planned]
        return {(rule, slide.group(1)) for (rule, _), slide in zip(planned, slides, strict=True) if slide}

    def results(self, slide):
        return self.folder / "results" / slide


@pytest.fixture(scope="session")
def new_project(repo, weights, tmp_path_factory):
    """Make empty projects."""

    def make(name):
        folder = tmp_path_factory.mktemp(name)
        shutil.copytree(repo / "config", folder / "config")
        return Project(folder, repo)

    return make


@pytest.fixture(scope="session")
def tissue(cmu, tmp_path_factory):
    """Two pieces of a real slide as plain images, 0.499 µm/px: small enough to be segmented in seconds."""
    folder = tmp_path_factory.mktemp("tissue")
    with Slide(cmu) as slide:
        for name, x, y in (("a", 1000, 700), ("b", 700, 2200)):
            Image.fromarray(slide.read(x, y, 700, 600)).save(folder / f"{name}.png")
    return folder


APART = {"small_images": {"minutes": 0}}
"""Pieces of slides stand for slides: their stages are jobs of their own."""
SMALL = {"tiling": {"tile_px": 256}, "reduction": {"n_neighbors": 10, "components": 10}}


@pytest.fixture(scope="session")
def finished(new_project, tissue):
    """A finished run of two small slides of two tissues."""
    project = new_project("finished")
    rows = [{"slide": name, "path": tissue / f"{name}.png", "tissue": f"t{name}", "mpp": 0.499} for name in "ab"]
    project.write(rows, SMALL)
    done = project.run()
    assert done.returncode == 0, done.stdout
    return project


@pytest.fixture
def copied(finished, tmp_path):
    """The finished run, to be tampered with."""
    return copy_of(finished, tmp_path / "copy")


def copy_of(project, folder):
    """Copy a project with Snakemake's records and the time stamps, so that nothing is to be done in the copy."""
    shutil.copytree(project.folder, folder, copy_function=shutil.copy2)
    for path in sorted(project.folder.rglob("*")):
        os.utime(folder / path.relative_to(project.folder), ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    return type(project)(folder, project.repo)


def say(project, *actions, slide="a"):
    """Do things in the labelling app as Ada, and export; return the file."""
    session = Session(open_results(project.folder / "results").groups[slide])
    try:
        for action in actions:
            session.act("Ada", str(uuid.uuid4()), action, base=session.history.seq)
        (path,) = exports.export_labels(session, "Ada")
        return path
    finally:
        session.close()
