"""What is said of a run, from folders made by hand."""

import fcntl
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from clusterfirst.health import lock, survey, table
from clusterfirst.health.lock import Run
from clusterfirst.health.machines import Machines
from clusterfirst.health.states import Job, Log
from clusterfirst.health.survey import Task, Unit

from .. import made

NOW = time.time()
AT_WORK, OVER = Run(True, NOW - 3600, "here, process 1"), Run(False)
GONE = 2**22 + 1  # beyond the greatest process number of Linux


def tasks(unit, shards=1):
    """A short chain, the second stage in shards."""
    seen = tuple(Job((f"seen/{n}.parquet",), f"logs/outline-{n}.log", f"b/outline-{n}.tsv") for n in range(shards))
    return (
        Task("tile", "tile", (Job(("tiles.parquet",), "logs/tile.log", "b/tile.tsv"),)),
        Task("outline", "outline", seen, after=(f"{unit}/tile",)),
        Task("cluster", "cluster", (Job(("c.json", "c.png"), "logs/c.log", "b/c.tsv"),), after=(f"{unit}/outline",)),
    )


class Folder:
    def __init__(self, path, shards=1):
        self.path, self.unit = path, Unit("s", str(path), tasks("s", shards))

    def write(self, name, text="", *, ago=600.0):
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        os.utime(file, (NOW - ago, NOW - ago))

    def log(self, name, *lines, ago=600.0, where=None, begun=700.0):
        where = f"on {where or 'node7, process 12'}"
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(NOW - begun))
        self.write(f"logs/{name}.log", "".join(f"{moment} {line}\n" for line in (f"INFO {where}", *lines)), ago=ago)

    def states(self, run=OVER):
        (found,) = survey.survey([self.unit], run=run, machines=Machines(), now=NOW)
        return found.states

    def words(self, run=OVER):
        return [state.word for state in self.states(run).values()]


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def test_nothing_was_begun(folder):
    assert folder.words() == ["waiting"] * 3
    assert [state.why for state in folder.states().values()] == [
        "its turn",
        "for s/tile (waiting)",
        "for s/tile (waiting)",
    ]
    assert not list(folder.path.iterdir())


def test_what_is_there_is_done_and_its_time_is_counted(folder):
    folder.write("tiles.parquet", ago=500)
    folder.write("b/tile.tsv", "s\th:m:s\n12.5\t0:00:12\n")
    assert folder.words() == ["done", "waiting", "waiting"]
    assert folder.states()["tile"].seconds == 12.5


def test_the_last_error_is_the_reason_and_others_wait_for_it(folder):
    folder.log("tile", "ERROR first", "INFO again", "ERROR slide s cannot be opened", "INFO good bye")
    states = folder.states()
    assert (states["tile"].word, states["tile"].why) == ("failed", "slide s cannot be opened")
    assert states["tile"].log == str(folder.path / "logs/tile.log")
    assert states["cluster"].why == "for s/tile (failed)"


def test_a_traceback_after_the_error_does_not_hide_it(folder):
    trace = "Traceback (most recent call last):\n" + "  File nowhere\n" * 500
    folder.log("tile", "ERROR the disk is full\n" + trace)
    assert folder.states()["tile"].why == "the disk is full"


def test_a_failure_of_before_this_run_does_not_count_any_more(folder):
    folder.log("tile", "ERROR bad", ago=7200)
    assert folder.words(OVER)[0] == "failed"
    assert folder.words(AT_WORK)[0] == "waiting"


def test_a_log_older_than_what_the_stage_is_made_of_is_of_an_earlier_attempt(folder):
    folder.write("tiles.parquet", ago=100)
    folder.log("outline-0", "ERROR bad", ago=500)
    assert folder.words() == ["done", "waiting", "waiting"]


def test_a_process_of_this_machine_is_running_or_was_killed(folder):
    here = socket.gethostname()
    progress = "INFO outline: 120 of 400 (30%), about 200 s left"
    folder.log("tile", progress, ago=10, begun=0, where=f"{here}, process {os.getpid()}")
    state = folder.states(OVER)["tile"]
    assert (state.word, state.percent, state.why) == ("running", 30, "about 3:20 min left")
    assert state.begun == pytest.approx(NOW, abs=2)
    folder.log("tile", progress, ago=10, where=f"{here}, process {GONE}")
    for run in (OVER, AT_WORK):
        state = folder.states(run)["tile"]
        assert state.word == "stopped"
        assert "without a word" in state.why


def test_a_process_that_got_the_number_of_an_older_one_is_not_taken_for_it(folder):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as young:
        folder.log("tile", begun=7200, ago=7000, where=f"{socket.gethostname()}, process {young.pid}")
        assert folder.words()[0] == "stopped"
        young.communicate(b"\n")


def test_of_another_machine_the_lock_tells_or_a_log_that_has_just_changed(folder):
    folder.log("tile", ago=60)
    assert folder.words(AT_WORK)[0] == "running"
    assert folder.words(OVER)[0] == "stopped"
    assert folder.words(Run(None, NOW - 3600, "node9, process 4"))[0] == "running"
    folder.log("tile", ago=3000)
    assert folder.words(Run(None, NOW - 3600, "node9, process 4"))[0] == "stopped"
    assert folder.states(AT_WORK)["tile"].why == "no word for 50:00 min"


def fake(folder, name, script, monkeypatch):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("squeue", "word"), [("echo 41; echo 42_3", "running"), ("echo 41", "stopped"), ("exit 1", "stopped")]
)
def test_slurm_is_asked_about_its_jobs(folder, squeue, word, tmp_path, monkeypatch):
    fake(tmp_path / "bin", "squeue", squeue, monkeypatch)
    folder.log("tile", where="node7, process 12, Slurm job 42_3")
    assert folder.words()[0] == word


def test_slurms_own_log_says_why_a_job_was_killed(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fake(tmp_path / "bin", "squeue", "true", monkeypatch)
    folder.log("tile", where="node7, process 12, Slurm job 42")
    log = tmp_path / ".snakemake/slurm_logs/rule_tile/s/42.log"
    log.parent.mkdir(parents=True)
    log.write_text("slurmstepd: error: *** JOB 42 ON node7 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***\n")
    state = folder.states()["tile"]
    assert state.word == "stopped"
    assert state.why.startswith("it hit its time limit")
    log.write_text("slurmstepd: error: Detected 1 oom_kill event in StepId=42.0\n")
    assert folder.states()["tile"].why.startswith("it hit its limit of memory")


def test_newer_inputs_make_everything_behind_them_outdated(folder):
    folder.write("tiles.parquet", ago=50)
    folder.write("seen/0.parquet", ago=100)
    folder.write("c.json", ago=90)
    folder.write("c.png", ago=90)
    assert folder.words() == ["done", "outdated", "outdated"]


def test_a_newer_slide_makes_its_tiles_outdated(folder):
    folder.write("slide.svs", ago=10)
    folder.write("tiles.parquet", ago=50)
    tile = folder.unit.tasks[0]
    slide = str(folder.path / "slide.svs")
    folder.unit = Unit("s", str(folder.path), (Task("tile", "tile", tile.jobs, inputs=(slide,)),))
    assert folder.words() == ["outdated"]


def test_a_file_from_outside_that_was_replaced_makes_its_stage_outdated_and_is_named(folder):
    folder.write("tiles.parquet", ago=50)
    tile = folder.unit.tasks[0]
    folder.unit = Unit("s", str(folder.path), (Task("tile", "tile", tile.jobs, replaced=("slide.svs",)),))
    state = folder.states()["tile"]
    assert (state.word, state.why) == ("outdated", "slide.svs holds something else than when it was read")


def test_a_file_that_was_deleted_makes_its_stage_incomplete(folder):
    folder.write("tiles.parquet", ago=100)
    folder.write("seen/0.parquet", ago=90)
    folder.write("c.json", ago=80)
    assert folder.words() == ["done", "done", "incomplete"]


def test_a_stage_in_shards_is_as_far_as_its_shards(tmp_path):
    folder = Folder(tmp_path, shards=4)
    folder.write("tiles.parquet", ago=500)
    for shard in (0, 1):
        folder.write(f"seen/{shard}.parquet", ago=100)
    assert folder.states()["outline"].why == "2 of 4 shards done"
    folder.log("outline-2", "INFO outline: 1 of 2 (50%), about 9 s left", ago=10)
    state = folder.states(AT_WORK)["outline"]
    assert (state.word, state.percent, state.why) == ("running", 62, "2 of 4 shards done, about 9 s left")
    folder.log("outline-3", "ERROR bad", ago=10)
    assert folder.states(AT_WORK)["outline"].word == "failed"


def test_log_to_says_where_a_job_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "43")
    code = "import sys; from clusterfirst.io import log_to; log_to(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "log"], check=True, capture_output=True, text=True)
    assert not done.stderr  # on the terminal it would be noise
    log = Log.read(tmp_path / "log")
    assert (log.origin["host"], log.origin["job"]) == (socket.gethostname(), "43")
    assert log.begun == pytest.approx(time.time(), abs=60)


def test_the_lock_of_a_run_is_seen_and_nothing_is_made(tmp_path):
    assert lock.run_at_work(tmp_path / "nowhere") == Run(False)
    assert not (tmp_path / "nowhere").exists()
    with (tmp_path / ".lock").open("w") as held:
        held.write(f"{socket.gethostname()}, process 5\n")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        found = lock.run_at_work(tmp_path)
        assert found.at_work is True
        assert found.where.endswith("process 5")
        assert found.since == pytest.approx(time.time(), abs=60)
    assert lock.run_at_work(tmp_path).at_work is False
    # Its record was not taken back, and it ran elsewhere: killed, or its lock is not seen from here.
    (tmp_path / ".lock").write_text("node9, process 5\n")
    assert lock.run_at_work(tmp_path).at_work is None


def finished(path, name):
    folder = Folder(path / name)
    folder.unit = Unit(name, str(folder.path), tasks(name))
    for file, ago in (("tiles.parquet", 300), ("seen/0.parquet", 200), ("c.json", 100), ("c.png", 100)):
        folder.write(file, ago=ago)
    return folder


def test_tiles_cells_and_clusters_are_counted(tmp_path):
    folder = finished(tmp_path, "s")
    pd.DataFrame({"kept": np.arange(5) < 3}).to_parquet(folder.path / "filtered.parquet")
    pd.DataFrame({"x": range(1234)}).to_parquet(folder.path / "masks.parquet")
    made.clustering(np.arange(1234) % 25).write(folder.path / "clusters.json")
    (found,) = survey.survey([folder.unit], run=OVER)
    assert (found.tiles, found.cells, found.clusters) == ((3, 5), 1234, 25)
    text = table.page([found], results="results", run=OVER)
    assert "1,234" in text
    assert "No run is at work" in text
    assert "Everything is there" in text


def test_broken_files_are_not_counted_and_stop_nothing(tmp_path):
    folder = finished(tmp_path, "s")
    for name in ("filtered.parquet", "masks.parquet", "clusters.json", "b/tile.tsv"):
        folder.write(name, "junk")
    (found,) = survey.survey([folder.unit], run=OVER)
    assert (found.tiles, found.cells, found.clusters, found.seconds) == (None, None, None, 0)


def test_of_many_slides_only_those_that_are_not_done_are_listed(tmp_path):
    folders = [finished(tmp_path, f"slide{n:03}") for n in range(60)]
    (folders[7].path / "c.json").unlink()
    (folders[7].path / "c.png").unlink()
    folders[7].log("c", "ERROR no cells", ago=50)
    found = survey.survey([folder.unit for folder in folders], run=OVER)
    text = table.page(found, results="results", run=OVER, listed=20)
    assert "slide007  cluster: no cells" in text
    assert f"log: {folders[7].path}/logs/c.log" in text
    assert "(59 are done and not listed)" in text
    assert "slide008" not in text
    (row,) = [line.split() for line in text.splitlines() if line.startswith("cluster ")]
    assert row[1:3] == ["59", "1"]
    assert "start the same command again" in text
    everything = table.page(found, results="results", run=OVER, listed=60)
    assert "slide008" in everything


def test_a_list_of_failures_ends_somewhere(tmp_path):
    folders = [Folder(tmp_path / f"f{n}") for n in range(30)]
    units = []
    for n, folder in enumerate(folders):
        folder.log("tile", "ERROR bad")
        units.append(Unit(f"f{n}", str(folder.path), tasks(f"f{n}")))
    text = table.page(survey.survey(units, run=OVER), results="results", run=OVER, listed=10)
    assert "Failed: 30" in text
    assert "… and 20 more" in text
    assert text.count(": bad") == 10
    assert "(0 are done and not listed; 20 more are not)" in text


def test_what_a_run_begins_on_request_only_is_shown_once_it_was_begun(tmp_path):
    folder = finished(tmp_path, "s")
    asked = Task(
        "evaluate", "evaluate", (Job(("e.json",), "logs/e.log", "b/e.tsv"),), after=("s/cluster",), optional=True
    )
    unit = Unit("s", str(folder.path), (*folder.unit.tasks, asked))
    assert "evaluate" not in table.page(survey.survey([unit], run=OVER), results="results", run=OVER)
    folder.log("e", "ERROR no truth", ago=5)
    assert "s  evaluate: no truth" in table.page(survey.survey([unit], run=OVER), results="results", run=OVER)


def test_what_a_group_waits_for_is_named_however_far_before_it(tmp_path):
    good, bad = finished(tmp_path, "good"), Folder(tmp_path / "bad")
    bad.log("tile", "ERROR no picture")
    job = Job(("map.npy",), "logs/reduce.log", "b/reduce.tsv")
    group = Unit(
        "groups/cohort",
        str(tmp_path / "groups/cohort"),
        (Task("reduce", "reduce", (job,), after=("good/cluster", "bad/cluster")),),
    )
    units = [good.unit, Unit("bad", str(bad.path), tasks("bad")), group]
    found = survey.survey(units, run=OVER)
    assert found[2].states["reduce"].why == "for bad/tile (failed)"
    text = table.page(found, results="results", run=OVER)
    assert "Held up: 1 stage waits for bad/tile (failed)" in text
