"""`snakemake status`: on finished, broken and running work."""

import os
import re
import shutil
import signal
import subprocess
import time

import yaml

from clusterfirst.health.lock import run_at_work

from .conftest import SMALL


def told(project, *arguments):
    """What status says; it must end well and leave the results alone."""
    before = {path: path.stat().st_mtime_ns for path in project.folder.glob("results/**/*")}
    done = project.run("status", "--quiet", "rules", "host", "progress", *arguments)
    assert done.returncode == 0, done.stdout
    if not arguments:
        assert {path: path.stat().st_mtime_ns for path in project.folder.glob("results/**/*")} == before
    return done.stdout


def row(text, name):
    """The row of a slide, as words."""
    (found,) = [line.split() for line in text.splitlines() if line.startswith(f"{name} ")]
    return found


def test_a_finished_run(copied):
    text = told(copied)
    assert row(text, "a")[1:9] == ["ok"] * 8
    assert row(text, "cluster")[1] == "2"
    assert "No run is at work" in text
    assert "Everything is there" in text
    assert re.search(r"\ball +\d+ +\d", text)


def test_before_the_first_run_nothing_is_made(new_project, tissue):
    project = new_project("untouched")
    project.write([{"slide": "a", "path": tissue / "a.png", "mpp": 0.5}], SMALL)
    text = told(project)
    assert row(text, "a")[1:9] == ["-"] * 8
    assert not (project.folder / "results").exists()


def test_while_a_run_is_at_work_and_after_it_was_killed(copied):
    shutil.rmtree(copied.results("a"))
    # A process of its own, so that it can be killed with its jobs.
    with subprocess.Popen(
        copied.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as first:
        try:
            log = copied.results("a") / "logs/filter_tiles.log"
            end = time.monotonic() + 120
            while not log.exists() and time.monotonic() < end and first.poll() is None:
                time.sleep(0.1)
            text = told(copied, "--nolock")
            at_work = run_at_work(copied.folder / "results").at_work
        finally:
            os.killpg(first.pid, signal.SIGKILL)
    assert at_work, "the run ended before it was looked at"
    assert re.search(r"A run is at work since .* \(\S+, process \d+\)", text), text
    assert row(text, "b")[1:9] == ["ok"] * 8
    assert row(text, "a")[1:9] != ["ok"] * 8
    assert "No run is at work" in told(copied)


def test_a_failure_is_told_with_reason_and_log(copied):
    shutil.rmtree(copied.results("a"))
    sheet = (copied.folder / "slides.csv").read_text()
    broken = copied.folder / "broken.png"
    broken.write_bytes(b"no picture")
    (line,) = [line for line in sheet.splitlines() if line.startswith("a,")]
    (copied.folder / "slides.csv").write_text(sheet.replace(line, f"a,{broken},ta,0.499,,"))
    assert copied.run("--retries", "0").returncode != 0
    text = told(copied)
    assert row(text, "a")[1:3] == ["FAIL", "-"]
    assert re.search(r"a  tile: slide \S*broken.png cannot be opened", text)
    assert "log: results/a/logs/tile.log" in text


def test_slides_that_share_clusters_wait_for_their_group(copied):
    own = yaml.safe_load((copied.folder / "own.yaml").read_text())
    copied.change({"clustering": (own.get("clustering") or {}) | {"scope": "cohort"}})
    text = told(copied)
    assert row(text, "groups/cohort")[1:3] == ["-", "-"]
    assert row(text, "a")[1:6] == ["ok"] * 5
