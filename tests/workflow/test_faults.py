"""Faults, done for real: what is killed, gone, offline, full. A truncated slide is in test_runs.py.

In each, other slides finish, nothing half-written is taken for whole, the next run does only what is missing, and the
last words name slide, rule, cause and log.
"""

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager

import psutil
import pytest

from clusterfirst.io import read_json

from ..conftest import absent
from .conftest import Project
from .test_runs import wait_for
from .test_scopes_and_sweeps import QUICK, typed

NUMBER = 12
"""An image of CoNSeP with few nuclei."""
REST = ("embed", "reduce", "cluster", "annotate")
"""What follows `segment`."""
NO_INTERNET = {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"} | {
    "PIP_INDEX_URL": "http://127.0.0.1:9/",
    "PIP_EXTRA_INDEX_URL": "",
    "PIP_NO_INDEX": "1",
    "PIP_RETRIES": "0",
}


def start(project, *arguments, **environment):
    """Start snakemake as the leader of a group of processes."""
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    command = [*project.command, "--retries", "0", "--latency-wait", "1", *arguments]
    return subprocess.Popen(command, env=os.environ | environment, start_new_session=True, **output)


def job_at(log, run):
    """The process that writes a log."""
    for process in psutil.Process(run.pid).children(recursive=True):
        try:
            if any(file.path == str(log) for file in process.open_files()):
                return process
        except psutil.Error:
            # It has ended meanwhile.
            continue
    return None


def last_words(said):
    return said[said.rindex("Exiting because") :]


@pytest.fixture(scope="module")
def struck(data, new_project):
    """A project and what its run said: one slide is whole, one loses a job, one vanishes, one lacks weights."""
    project = new_project("faults")
    (row,) = typed(data, [NUMBER])
    rows = [row | {"slide": name, "path": f"{name}.png"} for name in ("good", "killed", "gone")]
    rows.append(row | {"slide": "offline", "objects": "", "tissue": "net"})
    for name in ("good", "killed", "gone"):
        shutil.copyfile(row["path"], project.folder / f"{name}.png")
    tissues = {"net": {"segmentation": {"model": "instanseg"}}}
    project.write(rows, QUICK | {"models_dir": "models", "tissues": tissues})
    with start(project, **NO_INTERNET) as run:
        segmented, log = project.results("gone") / "masks.parquet", project.results("killed") / "logs/embed.log"
        happened = set()

        def both_faults():
            if "gone" not in happened and segmented.exists():
                (project.folder / "gone.png").rename(project.folder / "away.png")
                happened.add("gone")
            if "killed" not in happened and log.exists() and (job := job_at(log, run)):
                job.kill()
                happened.add("killed")
            assert run.poll() is None, run.stdout.read()
            return len(happened) == 2

        wait_for(both_faults, seconds=240)
        said = run.communicate()[0]
    assert run.returncode != 0
    return project, said


@pytest.fixture
def mended(struck, tmp_path):
    """A copy of that project once the cause is gone, to be tampered with: what the slides lack is still missing."""
    folder = tmp_path / "project"
    shutil.copytree(struck[0].folder, folder)
    with_times(struck[0].folder, folder)
    (folder / "away.png").rename(folder / "gone.png")
    return Project(folder, struck[0].repo)


def with_times(source, copy):
    """Give the files of a copy the time stamps of the originals."""
    for path in sorted(source.rglob("*")):
        os.utime(copy / path.relative_to(source), ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))


def planned(project, *slides):
    """What a run would do for some slides."""
    return {(rule, slide) for rule, slide in project.jobs() if slide in slides}


def rest_of(*slides):
    return {(rule, slide) for rule in REST for slide in slides}


def test_other_slides_finish(struck):
    project, said = struck
    assert read_json(project.results("good") / "clusters.json")["counts"]["cells"] > 100
    assert (project.results("good") / "annotated/overview.png").exists()
    assert "good" not in last_words(said)


def test_a_killed_job_is_told_from_one_that_gave_a_reason(struck):
    project, said = struck
    assert "failed: killed (embed): it ended without a word: killed" in last_words(said)
    assert "log: results/killed/logs/embed.log" in last_words(said)
    assert not list(project.results("killed").glob("embeddings.*"))


def test_a_slide_that_vanished_fails_alone(struck):
    _, said = struck
    assert "failed: gone (embed): slide gone.png: no such file" in last_words(said)
    assert "log: results/gone/logs/embed.log" in last_words(said)


def test_weights_that_cannot_be_fetched_fail_those_who_need_them(struck):
    project, said = struck
    words = last_words(said)
    assert "failed: offline (fetch_weights instanseg-brightfield_nuclei-0.1.1.pt): InstanSeg" in words
    assert "no source gave the file" in words
    assert "log: models/logs/instanseg-brightfield_nuclei-0.1.1.pt.log" in words
    # Its slide got as far as that.
    assert (project.results("offline") / "filtered.parquet").exists()
    assert not (project.folder / "models/instanseg-brightfield_nuclei-0.1.1.pt").exists()


def test_the_next_run_does_only_what_is_missing_and_comes_out_the_same(mended):
    assert planned(mended, "good", "killed", "gone") == rest_of("killed", "gone")
    assert mended.run("results/killed/annotated").returncode == 0
    for file in ("embeddings.npy", "umap.npy", "clusters.json"):
        same = [(mended.results(slide) / file).read_bytes() for slide in ("good", "killed")]
        assert same[0] == same[1]
    assert not list(mended.results("killed").rglob(".*part-*"))


def test_after_kill_9_of_snakemake_a_new_run_takes_over_though_the_job_lives_on(mended):
    log = mended.results("killed") / "logs/embed.log"
    log.unlink()
    before = (mended.results("killed") / "masks.parquet").stat().st_mtime_ns
    with start(mended, "results/killed/annotated") as run:
        wait_for(lambda: log.exists() and job_at(log, run), seconds=120)
        job = job_at(log, run)
        run.send_signal(signal.SIGKILL)
        run.wait()
        done = mended.run("results/killed/annotated")
        assert done.returncode == 0, done.stdout
        psutil.wait_procs([job], timeout=60)
    assert planned(mended, "good", "killed") == set()
    assert (mended.results("killed") / "masks.parquet").stat().st_mtime_ns == before
    same = [(mended.results(slide) / "embeddings.npy").read_bytes() for slide in ("good", "killed")]
    assert same[0] == same[1]


@contextmanager
def small_disk(folder, megabytes):
    """Lay a disk of that size over a folder, with what is in the folder on it."""
    original = folder.rename(folder.with_name("original"))
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "clusterfirst-test", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        absent("a small disk can be mounted by root only")
    try:
        shutil.copytree(original, folder, dirs_exist_ok=True)
        with_times(original, folder)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_leaves_nothing_that_looks_whole(mended):
    with small_disk(mended.folder / "results", 64) as disk:
        filler = disk / ".filler"
        # The log still fits, the numbers do not.
        filler.write_bytes(bytes(shutil.disk_usage(disk).free - 16_384))
        done = mended.run("results/killed/annotated", "--retries", "0")
        assert done.returncode != 0
        assert "failed: killed (embed): " in last_words(done.stdout)
        assert "o space" in last_words(done.stdout)
        assert planned(mended, "good", "killed") == rest_of("killed")
        filler.unlink()
        done = mended.run("results/killed/annotated")
        assert done.returncode == 0, done.stdout
        assert not list(disk.glob("killed/.*part-*"))
        assert planned(mended, "good", "killed") == set()
