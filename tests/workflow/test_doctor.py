"""The doctor on a project that runs."""

import os
import subprocess
import sys


def test_a_project_that_runs_is_well(finished, repo):
    command = [sys.executable, repo / "workflow/scripts/doctor.py", "--directory", finished.folder]
    # No other commands: whether this machine has a Slurm, and whether that is well, is not the question.
    done = subprocess.run(
        [*command, "--configfile", "own.yaml"],
        env=os.environ | {"PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for about in ("packages", "imports", "OpenSlide", "sheet", "locks", "weights", "slides"):
        assert f"ok        {about}: " in done.stdout, done.stdout
    assert "problem " not in done.stdout
