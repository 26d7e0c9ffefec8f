"""What CONTRIBUTING says it takes to add a thing is true: a slide goes through toys that are added as it says."""

import re
import shutil
from fnmatch import fnmatch

import geopandas
import numpy as np
import pytest

from clusterfirst.io import read_json, read_metadata

from .conftest import SMALL, Project
from .toys import LIBRARY, TOYS

GOALS = {"A segmenter": 3, "An embedder": 3, "An export format": 3, "A stage": 9, "A label source": 3}


def recipe(repo, what):
    """The files that a recipe names, as patterns."""
    text = (repo / "CONTRIBUTING.md").read_text().split(f"**{what}**", 1)[1].split("\n**", 1)[0]
    return [re.sub(r"<\w+>", "*", name) for name in re.findall(r"^\d+\. (?:A module\b|`([^`]+)`)", text, flags=re.M)]


@pytest.mark.parametrize("what", TOYS)
def test_a_recipe_names_the_places_that_a_toy_touches(repo, what):
    places = [one.path.removeprefix(f"{LIBRARY}/") for one in TOYS[what]]
    assert len(places) == GOALS[what]
    named = recipe(repo, what)
    assert len(named) == len(places)
    for place, pattern in zip(places, named, strict=True):
        assert fnmatch(place, pattern or "*"), f"{place} is not {pattern}"


@pytest.fixture(scope="module")
def toys(repo, tissue, tmp_path_factory):
    """A finished run of a copy of the workflow with all toys."""
    copy, folder = (tmp_path_factory.mktemp(name) for name in ("copy", "toys"))
    for name in ("workflow", "profiles", "config"):
        shutil.copytree(repo / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for places in TOYS.values():
        for place in places:
            place.add(copy)
    shutil.copytree(copy / "config", folder / "config")
    project = Project(folder, copy)
    config = {
        "segmentation": {"model": "dark", "shards": 2},
        "embedding": {"models": ["morphology", "bulk"]},
        "export": {"formats": ["names"]},
        "density": {"least_um2": 10},
        "annotation": {"colour": "label"},
    }
    project.write([{"slide": "a", "path": tissue / "a.png", "mpp": 0.499}], SMALL | config)
    with pytest.MonkeyPatch.context() as patch:
        # Jobs find the library that is installed, which is that of this checkout, before the one beside their script.
        patch.setenv("PYTHONPATH", str(copy / "workflow/scripts"))
        done = project.run()
        assert done.returncode == 0, done.stdout
        yield project


def test_a_slide_goes_through_all_toys(toys):
    folder = toys.results("a")
    cells = geopandas.read_parquet(folder / "cells.parquet")
    assert len(cells) > 100
    assert read_metadata(folder / "masks.parquet")["settings"]["model"] == "dark"
    assert [model["model"] for model in read_json(folder / "embeddings.json")["models"]] == ["morphology", "bulk"]
    bulk = np.load(folder / "embeddings.npy")[:, -2]
    np.testing.assert_allclose(bulk, cells["area_um2"], rtol=0.01)
    assert set(cells["label"]) == {"large", "small"}
    assert set(cells["label_source"]) == {"measured"}
    assert (folder / "names.txt").read_text().split() == cells["label"].tolist()
    assert read_json(folder / "density.json")["per_mm2"] > 100


def test_a_setting_of_a_toy_concerns_its_stage_and_the_record_of_all_settings(toys):
    toys.change({"density": {"least_um2": 20}})
    assert toys.jobs() == {("density", "a"), ("annotate", "a")}
    status = toys.run("status")
    assert "density" in status.stdout
