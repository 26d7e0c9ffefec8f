"""What a model proposed for clusters: the file, the votes, and what follows for cells."""

import copy
import json

import numpy as np
import pytest

from clusterfirst.clustering.numbering import fingerprint
from clusterfirst.io import ClusterfirstError, write_json
from clusterfirst.labels import model

CLUSTER_ID = np.array([0, 1, -1, 1, 0, 2])
VOTE = {"confidence": 0.8, "rationale": "round, dark", "cells": [0], "cached": False}


def vote(word):
    return VOTE | {"class": word}


DOCUMENT = {
    "clusterfirst": "classes",
    "version": 1,
    "time": "2026-11-21T19:45:30Z",
    "model": "seer-1",
    "server": "localhost:1234",
    "prompt": {"name": "colon", "sha256": "0"},
    "clustering_sha256": fingerprint(CLUSTER_ID),
    "classes": [{"name": "lymphocyte", "colour": "#0072b2", "description": "small"}],
    "clusters": [
        {"id": 0, "class": None, "share": 0.0, "views": 2, "votes": [vote("unsure")]},
        {"id": 1, "class": "lymphocyte", "share": 1.0, "views": 1, "votes": [vote("lymphocyte")]},
    ],
    "cost": {"requests": 2, "prompt_tokens": 900, "completion_tokens": 60, "cached": 0},
    "stopped": None,
}


@pytest.mark.parametrize(
    ("words", "views", "wanted"),
    [
        (["a", "a", "b"], 3, ("a", 0.6667)),
        (["a", "a"], 3, ("a", 0.6667)),
        (["a"], 3, (None, 0)),
        (["a"], 2, (None, 0)),
        (["a", "b"], 2, (None, 0)),
        (["a", "b", "unsure"], 3, (None, 0)),
        (["unsure", "unsure", "a"], 3, (None, 0)),
        (["a", "unsure", "a", "unsure"], 4, (None, 0)),
        (["a"], 1, ("a", 1)),
        (["unsure"], 1, (None, 0)),
        ([], 2, (None, 0)),
        ([], 0, (None, 0)),
    ],
)
def test_most_votes_win_and_a_tie_or_unsure_wins_nothing(words, views, wanted):
    assert model.verdict([vote(word) for word in words], views) == wanted


def test_the_name_goes_to_all_cells_of_the_cluster_with_the_share(tmp_path):
    write_json(DOCUMENT, tmp_path / "classes.json")
    found = model.read(tmp_path / "classes.json")
    assert (found.model, found.facts["server"], found.facts["stopped"]) == ("seer-1", "localhost:1234", None)
    assert found.clusters[1].name == "lymphocyte"
    assert found.clusters[1].votes[0]["rationale"] == "round, dark"
    label, share = found.of_cells(CLUSTER_ID)
    assert label.tolist() == [None, "lymphocyte", None, "lymphocyte", None, None]
    assert share.dtype == np.float32
    np.testing.assert_array_equal(share, [np.nan, 1, np.nan, 1, np.nan, np.nan])
    assert found.are_of(CLUSTER_ID)
    assert not found.are_of(CLUSTER_ID[::-1])


def changed(change):
    document = copy.deepcopy(DOCUMENT)
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "Expecting property name"),
        ("[]", "is not of type 'object'"),
        (changed(lambda found: found.pop("clustering_sha256")), "'clustering_sha256' is a required property"),
        (changed(lambda found: found.update(version=2)), "1 was expected"),
        (changed(lambda found: found["clusters"][1].update({"class": "spleen"})), "there is no class 'spleen'"),
        (changed(lambda found: found["clusters"][1].update(share=1.5)), "1.5 is greater than the maximum"),
        (changed(lambda found: found["clusters"].append(found["clusters"][0])), "cluster 0 stands there twice"),
    ],
)
def test_a_damaged_file_is_an_error_that_says_what_to_do(tmp_path, text, why):
    path = tmp_path / "classes.json"
    path.write_text(text)
    with pytest.raises(ClusterfirstError, match=why) as caught:
        model.read(path)
    assert str(path) in str(caught.value)
    assert "snakemake classify" in str(caught.value)


def test_a_missing_file_is_the_same_error(tmp_path):
    with pytest.raises(ClusterfirstError, match="No such file"):
        model.read(tmp_path / "classes.json")
