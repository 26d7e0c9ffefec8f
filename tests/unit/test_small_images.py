"""Which images are small, what is kept of them, and what becomes of a job whose process is killed."""

import csv
import errno
import json
import logging
import os
import re
import sys
import threading

import pytest

from clusterfirst.health.lock import Run
from clusterfirst.health.machines import Machines
from clusterfirst.health.states import Job, judged
from clusterfirst.plan import jobs, small
from clusterfirst.plan.groups import A_SLIDE
from clusterfirst.plan.plan import Plan
from clusterfirst.plan.stages import CHAINS, STAGES
from clusterfirst.small import handing_out, stages, work
from clusterfirst.small.kept import Kept, state, write

SIZES = {"a.png": 10, "b.jpg": 20, "c.bmp": 30, "large.png": 5_000_000, "slide.svs": 10, "d.tif": 10}


@pytest.fixture
def make(schema, slide_schema, tmp_path, monkeypatch):
    """Plan a run of files of some sizes, as configured."""
    monkeypatch.chdir(tmp_path)

    def plan(config=None, files=SIZES, **given):
        for name, size in files.items():
            (tmp_path / name).write_bytes(b"x" * size)
        rows = "".join(f"{name.split('.')[0]},{name},t\n" for name in files)
        (tmp_path / "slides.csv").write_text(f"slide,path,tissue\n{rows}")
        schemas = {"config": schema, "slides": slide_schema}
        there = {"exists": lambda _: True, "has_weights": lambda _: False, "chains": True}
        return Plan.read({"slides": "slides.csv", **(config or {})}, schemas, **there | given)

    return plan


def hand_out(plan, **slides):
    handing_out.hand_out(plan, {"small_image": slides.get("small_image", ())}, lambda chain, slide: [slide])


def test_small_are_plain_images_with_small_files(make):
    assert make().small == {"a", "b", "c"}
    assert make({"small_images": {"up_to_mb": 6}}).small == {"a", "b", "c", "large"}


@pytest.mark.parametrize(
    "config",
    [
        {"small_images": {"minutes": 0}},
        {"segmentation": {"shards": 2}},
        {"tissues": {"t": {"segmentation": {"model": "precomputed"}}}},
    ],
)
def test_no_image_is_small_if_it_is_not_wanted_or_has_shards(make, config, monkeypatch):
    monkeypatch.setattr("clusterfirst.plan.checks._missing_objects", lambda plan: [])
    assert make(config).small == frozenset()


def test_no_image_is_small_in_a_storage_or_a_module(make):
    assert make(in_storage=lambda path: True).small == frozenset()
    assert make(chains=False).small == frozenset()


def test_what_is_there_already_does_not_decide_which_images_are_small(make, tmp_path):
    before = make().small
    (tmp_path / "results/a").mkdir(parents=True)
    (tmp_path / "results/a/tiles.parquet").write_bytes(b"")
    assert make().small == before


def test_more_slides_leave_what_is_done_of_each_as_it_is(make):
    few, many = make(), make(files=SIZES | {"e.png": 10})
    for chain in ("small_image", "small_image_clusters"):
        one, other = (small.job(plan, chain, "a", ["x"]) for plan in (few, many))
        assert one == other


def test_a_slide_goes_through_each_stage_by_one_rule(make):
    for scope in ("slide", "cohort"):
        plan = make({"clustering": {"scope": scope}})
        for stage in ("tile", "filter_tiles", "outline", "segment", "embed", "annotate"):
            chains = [chain for chain, stages in CHAINS.items() if stage in stages and "a" in plan.chains[chain]]
            assert len(chains) == 1
            assert small.chain_of(plan, stage, "a") == chains[0]
            assert small.chain_of(plan, stage, "large") is None
    assert plan.chains["small_image_share"] == {"a", "b", "c"}
    assert make({"annotation": {"colour": "class"}}).chains["small_image_clusters"] == frozenset()


@pytest.mark.parametrize("files", [SIZES, {"a.png": 1, "b.png": 1, "c.png": 1}])
def test_patterns_are_of_these_slides_and_of_all_others(make, files):
    plan = make(files=files)
    those, others = small.patterns(plan, ["small_image"], A_SLIDE)
    for name in (*plan.samples, "sweep/x~1/a", "ab"):
        chained = name in plan.small or (name == "ab" and len(files) == 3)
        file = f"results/{name}/tiles.parquet"
        assert bool(re.fullmatch(rf"results/(?P<slide>{those})/tiles\.parquet", file)) == chained
        assert bool(re.fullmatch(rf"results/(?P<slide>{others})/tiles\.parquet", file)) != chained


def test_without_small_images_patterns_are_as_usual(make):
    plan = make({"small_images": {"minutes": 0}})
    assert small.patterns(plan, [*CHAINS], A_SLIDE) == ("(?!)", A_SLIDE)


def test_a_job_says_all_that_its_scripts_are_told(make):
    plan = make()
    job = json.loads(json.dumps(small.job(plan, "small_image", "a", ["sha"])))
    assert [one["name"] for one in job["stages"]] == [*CHAINS["small_image"]]
    assert job["reads"][0] == "a.png"
    for one in job["stages"]:
        assert {*one["output"]} == {*STAGES[one["name"]].files}
        assert all(path.startswith("results/.small/small_image/a/made/") for path in one["output"].values())
    # What one stage makes, the next one reads where it lies aside.
    assert job["stages"][1]["input"]["tiles"] == job["stages"][0]["output"]["tiles"]
    after = small.job(plan, "small_image_clusters", "a", ["sha"])
    assert after["after"] == small.folder(plan, "small_image", "a")
    assert "results/a/embeddings.npy" in after["reads"]


@pytest.mark.parametrize(
    "change",
    [{"filter": {"min_tissue": 0.2}}, {"embedding": {"crop_um": 21}}, {"gpu": False}, {"tiling": {"halo_px": 60}}],
)
def test_a_changed_setting_is_another_key(make, change):
    keys = {small.job(make(config), "small_image", "a", ["sha"])["key"] for config in ({}, change)}
    assert len(keys) == 2


def test_other_contents_and_other_code_are_another_key(make, monkeypatch):
    plan = make()
    before = small.job(plan, "small_image", "a", ["sha"])["key"]
    assert small.job(plan, "small_image", "a", ["sha"])["key"] == before
    assert small.job(plan, "small_image", "a", ["other"])["key"] != before
    monkeypatch.setattr(small, "library_sha256", lambda: "a later version")
    assert small.job(plan, "small_image", "a", ["sha"])["key"] != before


def test_a_job_asks_for_what_the_largest_image_and_the_others_time_need(make):
    few, long = make(), make({"small_images": {"minutes": 10}})
    needs = [jobs.needs(plan, "small_image", "runtime", slide="a") for plan in (few, long)]
    assert needs[1] - needs[0] == 3 * 7
    assert jobs.needs(few, "small_image", "mem_mb", slide="a") == jobs.needs(few, "small_image", "mem_mb", slide="c")
    assert jobs.needs(few, "small_image", "mem_mb", slide="a") >= jobs.needs(few, "embed", "mem_mb", slide="a")
    assert jobs.gpus(few, "small_image", "a") == 1


# --- what is kept ------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """An image that reads a file, and whose one stage has made a file and a folder."""
    monkeypatch.chdir(tmp_path)
    return made(tmp_path / "kept/a", tmp_path)


def made(folder, root):
    kept = Kept(folder)
    (root / "in.png").write_text("in")
    os.makedirs(f"{kept.made}/drawn")
    os.makedirs(kept.logs)
    for name in ("one.txt", "drawn/two.txt", "logs/tile.log"):
        (folder / "made" / name).write_text(name)
    job = {
        "key": "k",
        "folder": str(root / "results/a"),
        "files": ["one.txt", "drawn"],
        "reads": [str(root / "in.png")],
    }
    write(kept.job, job | {"logs": str(root / "results/a/logs"), "stages": [], "minutes": 1, "with": "", "after": None})
    write(kept.done, {"key": "k", "read": state(job["reads"])})
    return kept


def test_what_was_made_is_taken_once(kept, tmp_path):
    (tmp_path / "results/a/drawn").mkdir(parents=True)
    # As Snakemake leaves them when a job begins.
    (tmp_path / "results/a/logs").mkdir()
    (tmp_path / "results/a/logs/tile.log").touch()
    assert kept.take()
    assert (tmp_path / "results/a/logs/tile.log").read_text() == "logs/tile.log"
    assert (tmp_path / "results/a/one.txt").read_text() == "one.txt"
    assert (tmp_path / "results/a/drawn/two.txt").read_text() == "drawn/two.txt"
    assert os.path.exists(kept.taken)
    assert not os.path.exists(kept.made)
    assert not kept.take()


def test_what_was_made_with_other_settings_or_of_another_file_is_not_taken(kept, tmp_path):
    job = kept.read_job()
    write(kept.job, job | {"key": "other"})
    assert not kept.take()
    write(kept.job, job)
    (tmp_path / "in.png").write_text("something else")
    assert not kept.take()
    assert not (tmp_path / "results").exists()


def test_what_is_half_made_is_not_taken(kept):
    os.unlink(kept.done)
    assert not kept.take()


def test_a_lock_is_one_s_own(kept):
    with kept.held() as first, kept.held() as second:
        assert first
        assert not second
    with kept.held() as later:
        assert later


def test_a_run_keeps_what_it_would_make_just_so_and_forgets_the_rest(make, tmp_path):
    plan = make()
    hand_out(plan, small_image=["a", "b", "c"])
    for slide in "abc":
        one = Kept(small.folder(plan, "small_image", slide))
        write(one.done, {})
        write(one.failed, None)
    other = make({"tissues": {"t": {"filter": {"min_tissue": 0.5}}}})
    hand_out(plan, small_image=["a"])
    assert os.listdir("results/.small/small_image") == ["a"]
    kept = Kept(small.folder(plan, "small_image", "a"))
    assert os.path.exists(kept.done)
    assert not os.path.exists(kept.failed)
    hand_out(other, small_image=["a"])
    assert not os.path.exists(kept.done)
    write(kept.taken, None)
    handing_out.tidy("results/.small")
    assert not os.path.exists("results/.small")


# --- processes ---------------------------------------------------------------------------------------------------


def script(tmp_path, text):
    path = tmp_path / "script.py"
    path.write_text(f"import os, signal, sys\nfolder = sys.argv[2]\n{text}\n")
    return str(path)


DIES = "os.kill(os.getpid(), signal.SIGKILL)"


def test_a_killed_process_fails_its_job_and_the_stage_s_log_says_so(kept, tmp_path, capfd):
    os.unlink(kept.done)
    log = tmp_path / "tile.log"
    log.write_text("2026-11-29 10:00:00 INFO on here, process 1\n")
    begin = f"open(folder + '/begun', 'w').write({str(log)!r})"
    assert work.job(kept.folder, script(tmp_path, f"{begin}\n{DIES}"), 1) == 137
    assert re.search(r"ERROR it was killed \(signal 9\), most likely for want of memory", log.read_text())
    assert "killed" in capfd.readouterr().err


def test_a_process_killed_over_another_image_costs_its_own_job_nothing(kept, tmp_path):
    rename = "os.rename(folder + '/later', folder + '/done.json')"
    os.rename(kept.done, f"{kept.folder}/later")
    assert work.job(kept.folder, script(tmp_path, f"{rename}\n{DIES}"), 1) == 0
    assert (tmp_path / "results/a/one.txt").exists()


def test_what_is_touched_while_its_process_helps_others_is_done_all_the_same(kept, tmp_path):
    touch = "Kept(folder).take(); open(Kept(folder).read_job()['reads'][0], 'a').write('more')"
    assert work.job(kept.folder, script(tmp_path, f"from clusterfirst.small.kept import Kept\n{touch}"), 1) == 0
    assert (tmp_path / "results/a/one.txt").exists()


def test_what_is_changed_while_it_is_made_is_said(kept, tmp_path, capfd):
    change = "open(Kept(folder).read_job()['reads'][0], 'a').write('more')"
    assert work.job(kept.folder, script(tmp_path, f"from clusterfirst.small.kept import Kept\n{change}"), 1) == 1
    assert "was changed meanwhile" in capfd.readouterr().err


def test_nobody_finds_an_image_open_while_its_job_takes_it(kept, monkeypatch):
    free = []
    real = os.replace

    def replace(path, to):
        with Kept(kept.folder).held() as held:
            free.append(held)
        real(path, to)

    monkeypatch.setattr("clusterfirst.small.kept.os.replace", replace)
    assert kept.take()
    assert free
    assert not any(free)


def test_results_may_lie_on_another_disk(kept, tmp_path, monkeypatch):
    real = os.replace

    def replace(path, to):
        if str(to).startswith(str(tmp_path / "results")):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(path, to)

    monkeypatch.setattr("clusterfirst.small.kept.os.replace", replace)
    assert kept.take()
    assert (tmp_path / "results/a/one.txt").exists()


def test_a_job_that_nobody_planned_says_what_to_do(tmp_path, capfd):
    assert work.job(str(tmp_path / "nowhere"), "none.py", 1) == 1
    assert "start snakemake again" in capfd.readouterr().err


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """Stages that write what they were told; one that fails for an image called bad."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    (folder / "say.py").write_text(
        "from clusterfirst.io import ClusterfirstError, log_to\n"
        "from pathlib import Path\n"
        "if __name__ == '__main__':\n"
        "    log_to(snakemake.log[0])\n"
        "    if snakemake.wildcards.slide == 'bad':\n"
        "        raise ClusterfirstError('bad is broken')\n"
        "    told = (snakemake.params.word, snakemake.threads, snakemake.wildcards.slide, *snakemake.input)\n"
        "    path = Path(snakemake.output.said)\n"
        "    path.parent.mkdir(parents=True, exist_ok=True)\n"
        "    path.write_text(repr(told))\n"
    )
    monkeypatch.setattr(stages, "SCRIPTS", folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    # What `log_to` changes for a process that will end.
    log = logging.getLogger("clusterfirst")
    monkeypatch.setattr(log, "propagate", log.propagate)
    monkeypatch.setattr(log, "level", log.level)
    monkeypatch.setattr(log, "handlers", log.handlers[:])


def planned(root, name, **changes):
    folder = root / "kept" / name
    folder.mkdir(parents=True)
    kept = Kept(folder)
    logs = root / "results" / name
    stage = {
        "name": "say",
        "input": {"slide": "in.png"},
        "output": {"said": f"{kept.made}/said.txt"},
        "params": {"word": "hello"},
        "wildcards": {"slide": name},
        "log": "say.log",
        "benchmark": f"{logs}/benchmarks/say.tsv",
    }
    job = {
        "key": "k",
        "folder": str(logs),
        "logs": f"{logs}/logs",
        "files": ["said.txt"],
        "reads": [],
        "stages": [stage],
        "minutes": 1,
    }
    write(kept.job, job | {"with": "", "after": None} | changes)
    return kept


def test_a_process_does_its_own_image_and_then_those_that_are_open(scripts, tmp_path):
    own, other, bad = (planned(tmp_path, name) for name in ("own", "other", "bad"))
    elsewhere = planned(tmp_path, "elsewhere", **{"with": "groups/tissue-x"})
    first = planned(tmp_path, "first")
    later = planned(tmp_path, "later", after=first.folder)
    poison = planned(tmp_path, "poison")
    (tmp_path / "kept/poison/begun").write_text("some.log")
    work.work(own.folder, 3)
    assert (tmp_path / "kept/other/made/said.txt").read_text() == "('hello', 3, 'other', 'in.png')"
    assert all(os.path.exists(one.done) for one in (other, first))
    assert (tmp_path / "results/own/said.txt").exists()
    assert os.path.exists(own.taken)
    # Somebody else's trouble is told by its own job; what others are at, or waits for what this run is to make, stays.
    assert os.path.exists(bad.failed)
    assert "ERROR bad is broken" in (tmp_path / "kept/bad/made/logs/say.log").read_text()
    assert not any(os.path.exists(one.done) for one in (bad, elsewhere, poison, later))
    assert first.take()
    work.work(own.folder, 3)
    assert os.path.exists(later.done)
    with open(tmp_path / "results/other/benchmarks/say.tsv", encoding="utf-8") as file:
        (row,) = csv.DictReader(file, delimiter="\t")
    assert float(row["s"]) > 0
    assert 10 < float(row["max_rss"]) < 10_000


@pytest.mark.parametrize(("held", "helps"), [([500, 500, 1600], True), ([500, 1600], False)])
def test_a_process_that_holds_much_more_than_after_its_own_image_does_no_others(
    scripts, tmp_path, monkeypatch, held, helps
):
    own, other = planned(tmp_path, "own"), planned(tmp_path, "other")
    figures = iter(held)
    monkeypatch.setattr(work, "_held_mb", lambda: next(figures, held[-1]))
    work.work(own.folder, 1)
    assert os.path.exists(other.done) == helps


def test_an_error_of_its_own_image_ends_the_process_before_others_begin(scripts, tmp_path):
    bad, other = planned(tmp_path, "bad"), planned(tmp_path, "other")
    with pytest.raises(Exception, match="bad is broken"):
        work.work(bad.folder, 1)
    assert not os.path.exists(other.done)


def test_an_image_that_somebody_is_at_is_waited_for(scripts, tmp_path):
    own = planned(tmp_path, "own")
    with own.held():
        waiting = threading.Thread(target=work.work, args=(own.folder, 1))
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        assert not os.path.exists(own.done)
        os.makedirs(own.logs)
        (tmp_path / "kept/own/made/said.txt").write_text("by somebody else")
        write(own.done, {"key": "k", "read": []})
    waiting.join(20)
    assert not waiting.is_alive()
    # It was made meanwhile, and nothing was made again.
    assert (tmp_path / "results/own/said.txt").read_text() == "by somebody else"


def test_status_says_that_what_was_made_with_others_waits_for_its_job(scripts, tmp_path):
    own = planned(tmp_path, "own")
    plan = own.read_job()
    # As while later stages of the image are at work.
    work._make(own, plan, 1, logs=plan["logs"])
    os.makedirs(own.logs)
    job = Job(("said.txt",), "logs/say.log", "benchmarks/say.tsv")
    seen = judged(job, tmp_path / "results/own", inputs=0, run=Run(True), machines=Machines(), now=0)
    assert (seen.word, seen.why) == ("waiting", "made with others, its own job only has to take it")
    assert own.take()
    assert judged(job, tmp_path / "results/own", inputs=0, run=Run(True), machines=Machines(), now=0).word == "done"
