"""What jobs ask a scheduler for, in plans and in runs."""

import csv
import re

import numpy as np
import pandas as pd
import pytest

from clusterfirst.io import write_table
from clusterfirst.plan import resources
from clusterfirst.plan.settings import resolve
from clusterfirst.plan.sizes import Size
from clusterfirst.plan.stages import STAGES

from .conftest import SMALL

READ_THE_SLIDE = {"tile", "filter_tiles", "export_tiles", "outline", "embed", "annotate", "nuclei_mask"}


def asked(text):
    """What each job asks for, by rule and slide or group, in what a run or dry-run says."""
    found = {}
    # Rules of a group job stand indented.
    _, *parts = re.split(r"^ *(?:local)?rule (\w+):\n", text, flags=re.M)
    for rule, body in zip(parts[::2], parts[1::2], strict=True):
        if whose := re.search(r"wildcards: .*?(?:slide|group)=([^,\s]+)", body):
            pairs = dict(re.findall(r"(\w+)=([^,\s]+)", body.split("resources:")[1].split("\n")[0]))
            found[rule, whose.group(1)] = {name: pairs[name] for name in resources.RESOURCES}
    assert found, text
    # A number that is not known would be <TBD>.
    return {job: {name: int(value) for name, value in one.items()} for job, one in found.items()}


def planned(project, *arguments):
    done = project.run("--dry-run", "--quiet", "host", *arguments)
    assert done.returncode == 0, done.stdout
    return asked(done.stdout)


def write_cells(project, slide, count):
    write_table(pd.DataFrame({"cell_id": np.arange(count)}), project.results(slide) / "masks.parquet")


def test_jobs_ask_for_more_than_they_took(finished):
    plan = planned(finished, "--forceall")
    jobs = {rule for rule, _ in plan}
    assert {"tile", "filter_tiles", "outline", "segment", "embed", "reduce", "cluster", "annotate"} <= jobs
    for (rule, slide), needed in plan.items():
        name = "outline-1-of-1" if rule == "outline" else rule
        with (finished.results(slide) / f"benchmarks/{name}.tsv").open() as file:
            took = next(csv.DictReader(file, delimiter="\t"))
        # A job that is over before it is looked at has no memory to show.
        if took["max_rss"] != "NA":
            assert needed["mem_mb"] > float(took["max_rss"]), rule
        assert 60 * needed["runtime"] > float(took["s"]), rule


@pytest.fixture
def sheet(new_project, tissue):
    """A project with a small image and a slide of 1 GB, of which nothing has been computed."""
    project = new_project("unknown")
    large = project.folder / "large.svs"
    with large.open("wb") as file:
        file.truncate(10**9)
    rows = [{"slide": "small", "path": tissue / "a.png", "mpp": 0.499}, {"slide": "large", "path": large}]
    project.write(rows, {"tiling": {"export": True}, "export": {"nuclei_mask": True}})
    return project


def test_a_plan_of_nothing_but_files_has_sensible_numbers(sheet):
    plan = planned(sheet)
    assert len({rule for rule, _ in plan}) == 10
    for rule in {rule for rule, _ in plan}:
        small, large = plan[rule, "small"], plan[rule, "large"]
        assert small["runtime"] <= large["runtime"], rule
        assert small["disk_mb"] < large["disk_mb"] or rule not in READ_THE_SLIDE, rule
        assert 500 <= small["mem_mb"] <= 10_000, rule
        assert large["mem_mb"] <= 64_000, rule
        # Eight hours for a slide that may hold a million cells and more; networks have a GPU.
        assert 10 <= small["runtime"] <= 30, rule
        assert 10 <= large["runtime"] <= 24 * 60, rule
        assert large["disk_mb"] < 100_000, rule
    assert plan["segment", "large"]["mem_mb"] > 2 * plan["segment", "small"]["mem_mb"]


def test_what_is_known_of_cells_counts_and_a_cohort_needs_what_its_slides_need_together(sheet, schema):
    sheet.change({"clustering": {"scope": "cohort"}})
    write_cells(sheet, "small", 200_000)
    write_cells(sheet, "large", 400_000)
    plan = planned(sheet)
    assert plan["segment", "small"]["mem_mb"] < plan["segment", "large"]["mem_mb"]
    cohort = plan["reduce", "groups/cohort"]["mem_mb"]
    together = resolve({"tiling": {"export": True}}, schema)
    assert cohort == resources.of_job(STAGES["reduce"], "mem_mb", Size(cells=600_000), together, threads=2)
    assert cohort > resources.of_job(STAGES["reduce"], "mem_mb", Size(cells=400_000), together, threads=2)
    # What is read of the group is the same for both; what is drawn is not.
    assert plan["share_clusters", "small"] == plan["share_clusters", "large"]
    assert plan["annotate", "small"]["mem_mb"] < plan["annotate", "large"]["mem_mb"]
    write_cells(sheet, "small", 2_000_000)
    assert planned(sheet)["reduce", "groups/cohort"]["mem_mb"] > cohort


def test_a_run_in_groups_asks_anew_for_what_it_has_learnt(finished, new_project, tissue):
    """The file is larger than its image, so that a plan takes it for a large one."""
    project = new_project("groups")
    image = project.folder / "a.png"
    image.write_bytes((tissue / "a.png").read_bytes())
    with image.open("r+b") as file:
        file.truncate(10**8)
    row = {"slide": "a", "path": image, "mpp": 0.499, "objects": finished.results("a") / "masks.parquet"}
    config = {"segmentation": {"model": "precomputed"}, "embedding": {"models": ["morphology"]}}
    project.write([row], SMALL | config)
    together = ("--until", "embed", "--groups", "tile=prep", "filter_tiles=prep")
    plan = planned(project, *together)
    done = project.run(*together)
    assert done.returncode == 0, done.stdout
    run = asked(done.stdout)
    assert run.keys() == plan.keys() >= {("tile", "a"), ("filter_tiles", "a"), ("embed", "a")}
    assert run["tile", "a"] == plan["tile", "a"]
    for rule in ("filter_tiles", "segment", "embed"):
        assert run[rule, "a"]["mem_mb"] < plan[rule, "a"]["mem_mb"], rule
