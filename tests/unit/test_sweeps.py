"""Trials of a sweep."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterfirst.plan import trials as sweeps

SWEEP = {
    "clustering.eps": [0.3, None],
    "reduction.n_neighbors": [10, 15, 30],
    "clustering.scope": ["slide", "cohort"],
    "embedding.models": [["morphology"], ["morphology", "resnet50"]],
}


def test_examples_in_docstrings_hold():
    assert doctest.testmod(sweeps).failed == 0


def test_every_combination_once_in_the_order_of_the_stages():
    trials = sweeps.trials(SWEEP)
    assert len(trials) == len({str(trial) for trial in trials}) == 2 * 3 * 2 * 2
    assert [key for key, _ in trials[0].values] == [
        "embedding.models",
        "reduction.n_neighbors",
        "clustering.scope",
        "clustering.eps",
    ]


@pytest.mark.parametrize(
    ("section", "different"),
    [("tiling", 1), ("segmentation", 1), ("embedding", 2), ("reduction", 2 * 3 * 2), ("clustering", 24)],
)
def test_stages_before_the_first_swept_key_are_shared(section, different):
    assert len({str(trial.until(section)) for trial in sweeps.trials(SWEEP)}) == different


def test_what_is_clustered_together_is_reduced_together():
    trial = sweeps.trials({"clustering.scope": ["cohort"]})[0]
    assert trial.until("reduction") == trial
    assert trial.until("embedding").values == ()


def test_settings_are_sections_of_a_config():
    first = sweeps.trials(SWEEP)[0]
    assert first.settings == {
        "embedding": {"models": ["morphology"]},
        "reduction": {"n_neighbors": 10},
        "clustering": {"scope": "slide", "eps": 0.3},
    }
    assert first.words["embedding_models"] == "morphology"


def test_no_sweep_no_trials():
    assert sweeps.trials({}) == []


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_words_can_be_names_of_folders(value):
    assert "/" not in sweeps.word(value)
    assert "\0" not in sweeps.word(value)
