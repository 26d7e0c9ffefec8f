"""Runs through the profile `slurm`, on a real Slurm."""

import sys

import pytest

from ..conftest import absent
from ..workflow.conftest import Project, finished, new_project, tissue, weights
from .cluster import Cluster, why_not

__all__ = ["finished", "new_project", "tissue", "weights"]


class SlurmProject(Project):
    """A project whose jobs run on the cluster."""

    @property
    def command(self):
        return [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(self.repo / "workflow/Snakefile")),
            *("--directory", str(self.folder), "--configfile", str(self.folder / "own.yaml")),
            *("--workflow-profile", str(self.repo / "profiles/slurm")),
            # The test cluster has no accounting, and its jobs are short.
            *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2"),
        ]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    if reason := why_not():
        absent(reason)
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
