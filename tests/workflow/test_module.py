"""The workflow as a module of another one, with its own config and a prefix."""

import re
import shutil
import subprocess
import sys

import pytest
import yaml

from clusterfirst.io import read_json

from .test_scopes_and_sweeps import QUICK, typed

OUTER = """
configfile: "outer.yaml"

module clusterfirst:
    snakefile:
        "{snakefile}"
    config:
        config["cells"]
    prefix:
        "cells"

use rule * from clusterfirst as cf_*

rule count:
    default_target: True
    input:
        "cells/results/s14/clusters.json",
    output:
        "count.txt",
    shell:
        "grep -c . {{input}} > {{output}}"
"""


class Outer:
    """Another workflow's folder."""

    def __init__(self, folder, repo):
        self.folder = folder
        (folder / "Snakefile").write_text(OUTER.format(snakefile=repo / "workflow/Snakefile"))

    def configure(self, config):
        (self.folder / "outer.yaml").write_text(yaml.safe_dump({"cells": config, "slides": "not ours"}))

    def run(self, *arguments):
        command = [sys.executable, "-m", "snakemake", *arguments, "--cores", "2"]
        return subprocess.run(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )


@pytest.fixture(scope="module")
def outer(repo, data, tmp_path_factory):
    """A sheet beside the outer Snakefile names files beside it, relative to it."""
    folder = tmp_path_factory.mktemp("outer")
    (row,) = typed(data, (14,))
    for kind in ("path", "objects"):
        shutil.copy(row[kind], folder)
    columns = {"slide": "s14", "path": row["path"].name, "mpp": "0.25", "objects": row["objects"].name}
    columns["truth"] = columns["objects"]
    (folder / "sheet.csv").write_text(",".join(columns) + "\n" + ",".join(columns.values()) + "\n")
    return Outer(folder, repo)


def planned(done):
    """Input and output of each rule of a dry-run."""
    assert done.returncode == 0, done.stdout
    blocks = re.findall(r"^(?:local)?rule (\w+):\n(.*?)(?=^\S|\Z)", done.stdout, flags=re.M | re.S)
    return {rule: dict(re.findall(r"^    (\w+): (.*)$", text, flags=re.M)) for rule, text in blocks}


def test_results_go_below_the_prefix_and_files_that_people_name_stay_where_they_are(outer, tmp_path):
    outer.configure({"slides": "sheet.csv", "models_dir": "weights"})
    jobs = planned(outer.run("--dry-run"))
    assert jobs["cf_tile"]["input"] == str(outer.folder / "train_14.png")
    assert jobs["cf_tile"]["output"] == "cells/results/s14/tiles.parquet"
    assert jobs["cf_tile"]["log"] == "cells/results/s14/logs/tile.log"
    weights = str(outer.folder / "weights/instanseg-brightfield_nuclei-0.1.1.pt")
    assert jobs["cf_fetch_weights"]["output"] == weights
    assert weights in jobs["cf_outline"]["input"].split(", ")


def test_local_rules_are_marked_one_by_one(repo):
    """Names in the directive `localrules` are not renamed with the rules of a module: these would be submitted."""
    files = [repo / "workflow/Snakefile", *(repo / "workflow/rules").glob("*.smk")]
    assert not [path.name for path in files if re.search(r"^localrules:", path.read_text(), flags=re.M)]
    assert any("localrule: True" in path.read_text() for path in files)


def test_a_slide_is_finished_and_reported_as_part_of_another_workflow(outer):
    outer.configure({"slides": "sheet.csv"} | QUICK | {"export": {"nuclei_mask": True}})
    done = outer.run("count", "cf_all")
    assert done.returncode == 0, done.stdout
    assert (outer.folder / "count.txt").read_text().strip().isdigit()
    assert not (outer.folder / "results").exists()
    results = outer.folder / "cells/results/s14"
    assert read_json(results / "clusters.json")["counts"]["cells"] > 100
    assert (results / "annotated/gallery.png").exists()
    assert (results / "nuclei_mask.tiff").exists()
    again = outer.run("--dry-run", "count", "cf_all")
    assert "Nothing to be done" in again.stdout
    done = outer.run("cf_all", "--report", "report.zip")
    assert done.returncode == 0, done.stdout
    assert (outer.folder / "report.zip").stat().st_size > 100_000
