"""Why jobs failed, read off logs."""

import os
from types import SimpleNamespace

import pytest

from clusterfirst.health import causes

SAID = {
    "time limit": "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-11-21T18:56:10 DUE TO TIME LIMIT ***",
    "limit of memory": "slurmstepd: error: Detected 1 oom_kill event in StepId=7.0. Some tasks were OOM killed.",
    "give way": "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-11-21T18:56:10 DUE TO PREEMPTION ***",
    "its node failed": "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-11-21T18:56:10 DUE TO NODE FAILURE ***",
    "was cancelled": "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-11-21T18:56:10 ***",
    "disk is full": "OSError: [Errno 28] No space left on device",
    "want of memory": "line 1: 12 Killed                  python -m snakemake",
}


@pytest.mark.parametrize("cause", SAID)
def test_what_a_scheduler_says_is_told_with_what_it_means(cause, tmp_path):
    log = tmp_path / "7.log"
    log.write_text(f"Building DAG of jobs...\n{SAID[cause]}\n")
    told = causes.why_stopped([tmp_path / "absent.log", log])
    assert cause in told
    assert " ".join(SAID[cause].split()) in told


def test_a_limit_is_the_cause_of_what_follows_from_it(tmp_path):
    log = tmp_path / "7.log"
    log.write_text(
        "error: *** JOB 7 CANCELLED AT noon ***\nerror: StepId=7.0 exceeded memory limit (2 > 1), being killed\n"
    )
    assert "limit of memory" in causes.why_stopped([log])


def test_the_scheduler_s_answer_counts_where_there_is_no_log():
    assert "time limit" in causes.why_stopped([], "SLURM-job '7' failed, SLURM status is: 'TIMEOUT'.")
    assert causes.why_stopped([]) == causes.UNKNOWN


def test_the_last_error_of_this_run_is_told(tmp_path):
    log = tmp_path / "tile.log"
    assert causes.last_error(log) is None
    log.write_text("t INFO begun\nt ERROR first\nTraceback\nt ERROR slide a.png: no such thing\n")
    assert causes.last_error(log) == "slide a.png: no such thing"
    os.utime(log, (1000, 1000))
    assert causes.last_error(log, since=1001) is None


def test_a_full_disk_is_told_without_a_log(tmp_path, monkeypatch):
    assert causes.no_room(tmp_path) is None
    monkeypatch.setattr(causes.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    assert causes.no_room(tmp_path) == f"no space is left on the disk of {tmp_path}: make room, then run again"
