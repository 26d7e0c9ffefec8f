"""A cohort, and what can go wrong with it, on a real Slurm through the profile `slurm`."""

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
import yaml

from clusterfirst.health import causes
from clusterfirst.io import read_json

from ..workflow.conftest import SMALL, Project, copy_of
from .cluster import until
from .conftest import SlurmProject, rows

GPU = "gres:gpu:1"


def rule_or_group(record):
    """What a job is called in its comment; those of groups are followed by their rules."""
    return re.match(r"rule_(.*?)(_wildcards_.*)?$", record["Comment"]).group(1)


def asked_gpus(records):
    """Which GPUs the jobs of each rule or group asked for, however they did."""
    asked = {}
    for record in records:
        words = record.get("TresPerJob", record.get("TresPerNode", "")).strip()
        asked.setdefault(rule_or_group(record), set()).add(words)
    return asked


def concerns(record, slide):
    script = subprocess.run(
        ["scontrol", "write", "batch_script", record["JobId"], "-"], capture_output=True, text=True, check=False
    ).stdout
    return f"slide={slide}" in script


def job_of(project, cluster, words, slide, state, seen=()):
    """The first job of that rule or group and slide in a state, if there is one that was not seen."""
    for record in project.submitted(cluster):
        known = words in record["Comment"] and record["JobState"] == state and record["JobId"] not in seen
        if known and concerns(record, slide):
            return record["JobId"]
    return None


def undraw(project):
    for slide in "abc":
        shutil.rmtree(project.results(slide) / "annotated")


def test_a_slide_costs_six_jobs_and_only_those_that_use_a_gpu_ask_for_one(cohort, cluster):
    records = cohort.submitted(cluster)
    assert {record["JobState"] for record in records} == {"COMPLETED"}
    assert len(records) == 18
    assert asked_gpus(records) == {
        "tiles_filter_tiles_tile": {""},
        "outline": {GPU},
        "segment": {""},
        "embed": {GPU},
        "clusters_cluster_reduce": {""},
        "pictures_annotate": {""},
    }
    for slide in "abc":
        assert len(read_json(cohort.results(slide) / "clusters.json")["cells"]["cluster_id"]) > 20
    assert Project(cohort.folder, cohort.repo).jobs() == set()


def test_the_demo_runs_on_slurm(cluster, new_project, repo, cmu):
    empty = new_project("demo")
    project = SlurmProject(empty.folder, repo)
    demo = yaml.safe_load((repo / "config/demo.yaml").read_text())
    project.write([{"slide": "demo", "path": cmu}], demo | {"slides": "slides.csv"})
    done = project.run()
    assert done.returncode == 0, done.stdout
    records = project.submitted(cluster)
    assert {record["JobState"] for record in records} == {"COMPLETED"}
    assert {rule for rule, asked in asked_gpus(records).items() if asked == {GPU}} == {"outline", "embed"}
    found = read_json(project.results("demo") / "clusters.json")["counts"]
    assert found["clusters"] == 25
    assert 1_800 < found["cells"] < 2_000


def test_gpus_can_be_asked_for_by_model_and_by_gres_and_jobs_be_an_array(copied, cluster):
    targets = ["results/a/outlines/1-of-1.parquet", *(f"results/{slide}/embeddings.npy" for slide in "bc")]
    for target in targets:
        (copied.folder / target).unlink()
    resources = ["outline:gpu_model=fake", "embed:gpu=0", "embed:gres=gpu:fake:1"]
    done = copied.run(*targets, "--slurm-array-jobs", "embed", "--set-resources", *resources)
    assert done.returncode == 0, done.stdout
    outline, *array = sorted(copied.submitted(cluster), key=rule_or_group, reverse=True)
    assert (rule_or_group(outline), outline["TresPerJob"].strip()) == ("outline", "gres:gpu:fake:1")
    assert {(rule_or_group(task), task["TresPerNode"].strip()) for task in array} == {("embed", "gres:gpu:fake:1")}
    assert {task["ArrayTaskId"] for task in array} == {"1", "2"}
    assert not any("TresPerJob" in task for task in array)
    for target in targets:
        assert (copied.folder / target).is_file()


def cancel(project, cluster, cancelled):
    """Cancel what runs of a's drawing and d's tiles, each job once; how many that makes so far."""
    for slide, words in (("d", "tiles"), ("a", "annotate")):
        if job := job_of(project, cluster, words, slide, "RUNNING", cancelled):
            subprocess.run(["scancel", job], check=True)
            cancelled.add(job)
    return len(cancelled)


@pytest.fixture(scope="module")
def faulty_run(cohort, cluster, pieces, tmp_path_factory):
    """A run, and its exit code: a's and d's jobs are cancelled, b lacks memory, c hangs, the controller restarts."""
    project = copy_of(cohort, tmp_path_factory.mktemp("faulty") / "copy")
    undraw(project)
    project.write(rows(pieces, "abcd"), SMALL)
    limits = [
        "annotate:mem_mb=150 if wildcards.slide == 'b' and attempt == 1 else 2000",
        "annotate:runtime=1 if wildcards.slide == 'c' and attempt == 1 else 20",
    ]
    process = project.start("--set-resources", *limits)
    try:
        until(lambda: len(project.submitted(cluster)) == 4, "all are submitted")
        hung = until(lambda: job_of(project, cluster, "annotate", "c", "RUNNING"), "c is being drawn", 120)
        subprocess.run(["scancel", "--full", "--signal=STOP", hung], check=True)
        cancelled = set()
        until(lambda: cancel(project, cluster, cancelled) == 2, "a's and d's jobs are cancelled")
        cluster.restart_controller()
        until(lambda: cancel(project, cluster, cancelled) == 4, "a's and d's jobs are cancelled again", 300)
        process.wait(600)
    finally:
        process.kill()
    return project, process.returncode


@pytest.fixture(scope="module")
def faulty(faulty_run):
    return faulty_run[0]


def states(project, cluster, slide):
    records = project.submitted(cluster)
    return [record["JobState"] for record in records if "annotate" in record["Comment"] and concerns(record, slide)]


def slurm_logs(project, cluster, slide):
    records = project.submitted(cluster)
    return [record["StdOut"] for record in records if "annotate" in record["Comment"] and concerns(record, slide)]


def test_cancelled_jobs_fail_alone_and_are_named(faulty, cluster):
    assert "failed: a (annotate): it was cancelled" in faulty.output
    assert "failed: d (tile): it was cancelled" in faulty.output
    assert f"log: results/a/logs/annotate.log, {faulty.folder}/.snakemake/slurm_logs/" in faulty.output
    assert len(re.findall("^failed: ", faulty.output, flags=re.M)) == 2
    assert states(faulty, cluster, "a") == ["CANCELLED", "CANCELLED"]
    assert not (faulty.results("a") / "annotated").exists()


def test_the_exit_code_tells_of_failures(faulty_run):
    assert faulty_run[1] == 1


def test_a_job_that_hits_its_limit_of_memory_gets_more(faulty, cluster):
    first, second = states(faulty, cluster, "b")
    assert first in {"FAILED", "CANCELLED", "OUT_OF_MEMORY"}
    assert second == "COMPLETED"
    assert "limit of memory" in causes.why_stopped(slurm_logs(faulty, cluster, "b")[:1])
    assert (faulty.results("b") / "annotated/overview.png").is_file()


def test_a_job_that_hits_its_time_limit_gets_more(faulty, cluster):
    assert states(faulty, cluster, "c") == ["TIMEOUT", "COMPLETED"]
    assert "time limit" in causes.why_stopped(slurm_logs(faulty, cluster, "c")[:1])
    assert (faulty.results("c") / "annotated/overview.png").is_file()


def test_after_faults_only_what_is_missing_is_done(faulty):
    planned = Project(faulty.folder, faulty.repo).jobs()
    assert {job for job in planned if job[1] != "d"} == {("annotate", "a")}
    assert ("tile", "d") in planned


def test_a_killed_snakemake_is_simply_started_again(copied, cluster):
    undraw(copied)
    process = copied.start()
    until(lambda: len(copied.submitted(cluster)) == 3, "all are submitted")
    process.send_signal(signal.SIGKILL)
    process.wait()
    orphans = [record["JobId"] for record in copied.submitted(cluster)]
    again = copied.run()
    assert again.returncode == 0, again.stdout
    assert f"scancel {' '.join(orphans)}" in again.stdout
    later = copied.submitted(cluster)[3:]
    assert {rule_or_group(record) for record in later} == {"pictures_annotate"}
    assert Project(copied.folder, copied.repo).jobs() == set()
    for slide in "abc":
        assert (copied.results(slide) / "annotated/overview.png").is_file()
        assert not list(copied.results(slide).glob(".*.part-*"))


def test_jobs_that_the_cluster_does_not_take_are_told(copied):
    undraw(copied)
    done = copied.run("--default-resources", "slurm_partition=nowhere", "--retries", "0")
    assert done.returncode != 0
    for slide in "abc":
        assert f"failed: {slide} (annotate): the cluster did not take it" in done.stdout


def test_once_linked_the_profile_is_found_and_its_groups_keep_slides_apart(new_project, pieces, repo, tmp_path):
    (tmp_path / "snakemake").mkdir()
    (tmp_path / "snakemake/slurm").symlink_to(repo / "profiles/slurm")
    project = new_project("linked")
    project.write(rows(pieces, "ab"), {"clustering": {"scope": "cohort"}})
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--profile", "slurm", "--dry-run"),
            *("--directory", str(project.folder), "--configfile", str(project.folder / "own.yaml")),
        ],
        cwd=repo,
        env=os.environ | {"XDG_CONFIG_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    groups = [
        (re.search(r"Group job (\w+)", text).group(1), sorted(re.findall(r"^    rule (\w+):", text, flags=re.M)))
        for text in re.findall(r"Group job .*?(?=^\S|\Z)", done.stdout, flags=re.M | re.S)
    ]
    assert sorted(groups) == [
        ("clusters", ["cluster", "reduce"]),
        *[("pictures", ["annotate", "share_clusters"])] * 2,
        *[("tiles", ["filter_tiles", "tile"])] * 2,
    ]
