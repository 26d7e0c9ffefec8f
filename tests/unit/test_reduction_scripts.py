"""The scripts of the rules that reduce slides together and deal each slide its part."""

import json
import logging
import runpy
import sys
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from clusterfirst.io import write_table

from ..defaults import section
from ..made import slide_facts

COUNTS = {"A": 6, "B": 0, "C": 9}
SETTINGS = section("reduction", method="pca", components=3, balance={"morphology": 1.0})


class Files(dict):
    """Named files, as Snakemake hands them over."""

    __getattr__ = dict.__getitem__


@pytest.fixture
def run(repo, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(logging.getLogger("clusterfirst"), "handlers", [])

    def script(name: str, *, files: dict, output: dict, **params) -> None:
        job = SimpleNamespace(
            input=Files(files),
            output=Files(output),
            params=SimpleNamespace(**params),
            log=[str(tmp_path / f"{name}.log")],
            threads=1,
        )
        path = repo / "workflow/scripts" / f"{name}.py"
        runpy.run_path(str(path), init_globals={"snakemake": job}, run_name="__main__")

    return script


def test_several_slides_are_reduced_together_and_dealt_out(run, tmp_path):
    files = {"embeddings": [], "columns": [], "cells": []}
    for seed, (slide, count) in enumerate(COUNTS.items()):
        rng = np.random.default_rng(seed)
        paths = [tmp_path / f"{slide}.{suffix}" for suffix in ("npy", "json", "parquet")]
        np.save(paths[0], rng.normal(size=(count, 5)).astype(np.float16))
        paths[1].write_text(json.dumps({"models": [{"model": "morphology", "columns": [0, 5], "standardise": True}]}))
        places = pa.table({"x": rng.uniform(0, 99, count), "y": rng.uniform(0, 99, count)})
        write_table(places, paths[2], {"slide": slide_facts().document()})
        for kind, path in zip(files, paths, strict=True):
            files[kind].append(path)
    together = {name: tmp_path / file for name, file in (("umap", "umap.npy"), ("plane", "umap2d.npy"))}
    report = tmp_path / "reduction.json"
    run(
        "reduce",
        files=files,
        output=together | {"facts": report},
        slides=list(COUNTS),
        settings=SETTINGS,
        gpu=False,
    )
    said = json.loads(report.read_text())
    assert said["slides"] == COUNTS
    assert said["settings"] == SETTINGS
    assert (said["method"], said["cells"], said["columns"]) == ("pca", 15, 10)

    whole = {name: np.load(path) for name, path in together.items()}
    assert whole["umap"].shape == (15, 3)
    assert whole["plane"].shape == (15, 2)
    for slide, rows in (("A", slice(0, 6)), ("B", slice(6, 6)), ("C", slice(6, 15))):
        own = {name: tmp_path / slide / f"{name}.npy" for name in together}
        own["facts"] = tmp_path / slide / "reduction.json"
        run("share_map", files=together | {"facts": report}, output=own, slide=slide)
        assert json.loads(own.pop("facts").read_text())["slides"] == {slide: COUNTS[slide]}
        for name, path in own.items():
            np.testing.assert_array_equal(np.load(path), whole[name][rows])
