"""What people call themselves, on a project that runs."""

import os
import subprocess
import sys

import pytest


@pytest.fixture
def call(repo, finished):
    """Call a tool from another folder, with a Python that does not know where the library is."""

    def call(tool, *arguments, path=os.environ["PATH"]):
        return subprocess.run(
            [sys.executable, repo / "workflow/scripts/tools" / tool, *arguments],
            cwd=finished.folder / "results",
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    return call


def test_a_project_that_runs_is_well(call):
    # No other commands: whether this machine has a Slurm, and whether that is well, is not the question.
    done = call("doctor.py", "--directory", "..", "--configfile", "own.yaml", path="/nowhere")
    assert done.returncode == 0, done.stdout + done.stderr
    for about in ("packages", "imports", "OpenSlide", "sheet", "locks", "weights", "slides"):
        assert f"ok        {about}: " in done.stdout, done.stdout
    assert "problem " not in done.stdout


def test_the_summary_of_a_slide_names_its_pictures_and_times(call, finished):
    done = call("summary.py", "a")
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert first == "a"
    assert any(line.startswith("  seconds   tile ") and ", annotate " in line for line in lines)
    pictures = [line.strip() for line in lines if line.endswith(".png")]
    assert len(pictures) == 5
    assert all((finished.folder / "results" / picture).is_file() for picture in pictures)
    assert "is no folder of a finished slide: no file nowhere/filtered.parquet" in call("summary.py", "nowhere").stderr
