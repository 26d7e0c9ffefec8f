"""Rows of the table of stages and rules of the workflow say the same."""

import json
import re
import subprocess
import sys

import pytest

from clusterfirst.export import FORMATS
from clusterfirst.plan.outside import _FILES
from clusterfirst.plan.plan import Plan
from clusterfirst.plan.small import TOLD
from clusterfirst.plan.stages import CHAINS, GROUP, PARTS, PICTURED, RUN, SLIDE, SLIDE_FILE, STAGES

from .read_rules import __file__ as READ_RULES

NO_STAGES = {"fetch_weights", "fetch_slide", "classify_preview", "status"}
"""Rules with a script of which nothing is kept in a slide's, group's or the run's folder."""
UNIT = {SLIDE: "results/{slide}", GROUP: "results/{group}", RUN: "results"}

EVERYTHING = {
    "tiling": {"export": True},
    "annotation": {"colour": "class"},
    "representatives": {"annotation": {"colour": "class"}},
    "classify": {"per_cluster": 2, "model": "some/model", "base_url": "http://127.0.0.1:1/v1"},
    "export": {"formats": ["cells", *FORMATS], "image": True, "nuclei_mask": True},
    "sweep": {"clustering.groups": [5, 6]},
    "apply": {"atlas": "some.atlas"},
}
TARGETS = (
    "all",
    "exports",
    "prepare",
    "representative_annotations",
    "evaluate_segmentation",
    "evaluate",
    "evaluate_naming",
    "evaluate_transfer",
    "learn",
    "apply",
    "sweep",
)


@pytest.fixture(scope="module")
def make(new_project, tissue, tmp_path_factory):
    truth = tmp_path_factory.mktemp("truth") / "truth.geojson"
    truth.write_text('{"type": "FeatureCollection", "features": []}')

    def make(scope):
        project = new_project(f"rules_{scope}")
        row = {"mpp": 0.499, "truth": truth}
        splits = {"a": "teach", "b": "test"}
        rows = [row | {"slide": one, "path": tissue / f"{one}.png", "split": split} for one, split in splits.items()]
        project.write(rows, EVERYTHING | {"clustering": {"scope": scope}})
        # Planning looks whether they are there.
        labels = project.results("a") / "labels/2026-11-21T19-45-30.123Z.json"
        labels.parent.mkdir(parents=True)
        for path in (labels, project.folder / "some.atlas"):
            path.write_text("{}")
        return project

    return make


@pytest.fixture(scope="module")
def rules(make):
    project = make("slide")
    command = [sys.executable, READ_RULES, project.repo / "workflow/Snakefile", "own.yaml"]
    done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def plain(path):
    """A path without what its wildcards may be."""
    return re.sub(r"\{(\w+),.*?\}(?=[/.\-]|$)", r"{\1}", path)


def test_every_row_has_a_rule_and_every_rule_with_a_script_a_row(rules):
    scripts = {name for name, rule in rules.items() if rule["script"]}
    assert scripts == {*STAGES, *NO_STAGES}
    targets = {name for name in rules if name not in scripts} - {*CHAINS}
    assert not [name for name in targets if rules[name]["outputs"]]


@pytest.mark.parametrize("name", STAGES)
def test_a_rule_makes_what_its_row_says_where_it_says(rules, name):
    row, rule = STAGES[name], rules[name]
    unit = UNIT[row.of]
    assert {key: plain(path) for key, path in rule["output"].items()} == {
        key: f"{unit}/{file}" for key, file in row.files.items()
    }
    assert rule["outputs"] == len(row.files)
    job = f"{name}-{{scatteritem}}" if row.scattered else name
    (log,) = map(plain, rule["log"])
    if row.of == RUN:
        assert log.endswith(f"/logs/{name}.log")
    else:
        assert log == f"{unit}/logs/{job}.log"
        assert plain(rule["benchmark"]) == f"{unit}/benchmarks/{job}.tsv"
    assert {"mem_mb", "runtime", "disk_mb"} <= {*rule["resources"]}
    assert ("gpu" in rule["resources"]) == bool(row.gpu)


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_makes_what_the_rules_of_its_stages_make_and_logs_as_they_do(rules, name):
    chain, stages = rules[name], [rules[stage] for stage in CHAINS[name]]
    own = [re.sub(r"\{group\}", "{slide}", plain(path)) for stage in stages for path in stage["output"].values()]
    assert [plain(path) for path in chain["output"].values()] == [
        path.replace("{scatteritem}", "1-of-1") for path in own
    ]
    logs = [re.sub(r"\{group\}", "{slide}", plain(path)) for stage in stages for path in stage["log"]]
    assert [plain(path) for path in chain["log"]] == [path.replace("{scatteritem}", "1-of-1") for path in logs]
    assert {"mem_mb", "runtime", "disk_mb"} <= {*chain["resources"]}
    assert ("gpu" in chain["resources"]) == any("gpu" in stage["resources"] for stage in stages)
    assert {*chain["params"]} == {"told", "contents", "command"}


@pytest.mark.parametrize("name", TOLD)
def test_a_stage_of_a_chain_is_told_what_its_own_rule_is_told(rules, schema, slide_schema, tissue, tmp_path, name):
    (tmp_path / "slides.csv").write_text(f"slide,path\na,{tissue / 'a.png'}\nb,{tissue / 'b.png'}\n")
    scope = "cohort" if name.startswith("share_") else "slide"
    config = {"slides": str(tmp_path / "slides.csv"), "clustering": {"scope": scope}}
    schemas = {"config": schema, "slides": slide_schema}
    plan = Plan.read(config, schemas, exists=lambda _: True, has_weights=lambda _: True, chains=True)
    files, params = TOLD[name](plan, "a")
    assert {*files} == {*rules[name]["input"]}
    assert {*params} == {*rules[name]["params"]} - {"contents"}


FROM_OUTSIDE = {SLIDE_FILE: {"slide", "slides"}, PICTURED: {"slide"}}
"""What rules call files from outside, where it is not what rows call them."""


@pytest.mark.parametrize("name", STAGES)
def test_a_rule_takes_the_files_from_outside_that_its_row_says_and_is_told_what_they_hold(rules, name):
    row, rule = STAGES[name], rules[name]
    words = {kind: FROM_OUTSIDE.get(kind, {kind}) for kind in _FILES}
    taken = {*rule["input"]} & set.union(*words.values())
    assert all(words[kind] & taken for kind in row.outside)
    assert taken <= set().union(*(words[kind] for kind in row.outside))
    assert not row.outside or "contents" in rule["params"]


def edges(project, targets):
    """Pairs of rules of which the second takes what the first makes."""
    done = project.run(*targets, "--rulegraph")
    assert done.returncode == 0, done.stdout
    names = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)"', done.stdout, flags=re.M))
    return {(names[one], names[other]) for one, other in re.findall(r"^\s*(\d+) -> (\d+)$", done.stdout, flags=re.M)}


def test_a_row_names_the_stages_whose_files_its_rule_takes(make):
    found = set.union(*(edges(make(scope), TARGETS) for scope in ("slide", "cohort")))
    novel = make("tissue")
    novel.change({"clustering": {"cells": "novel"}, "sweep": {}})
    found |= edges(novel, ["all", "evaluate"])
    seen = {(PARTS.get(one, one), other) for one, other in found if {one, other} <= {*STAGES}}
    told = {(one, name) for name, row in STAGES.items() for one in (*row.after, *row.sometimes)}
    # benchmarks and cohort show what is there: which stages that is differs from run to run, and their rows name none.
    assert seen == told
