"""Runs through the profile `slurm`, on a real Slurm."""

import subprocess
import sys

import pytest
from PIL import Image

from clusterfirst.slide.slide import Slide

from ..conftest import absent
from ..workflow.conftest import SMALL, Project, copy_of, new_project
from .cluster import Cluster, why_not

__all__ = ["new_project"]


class SlurmProject(Project):
    """A project whose jobs run on the cluster."""

    @property
    def command(self):
        return [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(self.repo / "workflow/Snakefile")),
            *("--directory", str(self.folder), "--configfile", str(self.folder / "own.yaml")),
            *("--workflow-profile", str(self.repo / "profiles/slurm")),
            # The test cluster keeps no accounting, and its jobs are short.
            *("--slurm-status-command", "squeue"),
            *("--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "5"),
        ]

    def start(self, *arguments):
        """Run snakemake in the background, its output in run.txt."""
        with (self.folder / "run.txt").open("w") as out:
            return subprocess.Popen([*self.command, *arguments], stdout=out, stderr=subprocess.STDOUT)

    @property
    def output(self):
        return (self.folder / "run.txt").read_text()

    def submitted(self, cluster):
        """What Slurm knows of this project's jobs, in the order of their submission."""
        records = cluster.jobs().values()
        return sorted(
            (record for record in records if record["WorkDir"] == str(self.folder)),
            key=lambda record: int(record["JobId"]),
        )


@pytest.fixture(scope="package")
def cluster(tmp_path_factory):
    if reason := why_not():
        absent(reason)
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def pieces(cmu, tmp_path_factory):
    """Four pieces of a real slide as plain images, 0.499 µm/px."""
    folder = tmp_path_factory.mktemp("pieces")
    with Slide(cmu) as slide:
        for name, x, y in (("a", 1000, 700), ("b", 700, 2200), ("c", 1000, 1300), ("d", 900, 1000)):
            Image.fromarray(slide.read(x, y, 500, 500)).save(folder / f"{name}.png")
    return folder


def rows(pieces, names):
    """Rows of the sheet for some of the pieces."""
    return [{"slide": name, "path": pieces / f"{name}.png", "mpp": 0.499} for name in names]


@pytest.fixture(scope="package")
def cohort(cluster, new_project, pieces):
    """A run of three slides through the cluster, which has ended well."""
    empty = new_project("cohort")
    project = SlurmProject(empty.folder, empty.repo)
    project.write(rows(pieces, "abc"), SMALL)
    done = project.run()
    (project.folder / "run.txt").write_text(done.stdout)
    assert done.returncode == 0, done.stdout
    return project


@pytest.fixture
def copied(cohort, tmp_path):
    """The finished run of three slides, to be tampered with."""
    return copy_of(cohort, tmp_path / "copy")
