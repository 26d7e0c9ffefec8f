"""Trials of a sweep."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterfirst.io import ClusterfirstError
from clusterfirst.plan import trials

SWEEP = {
    "clustering.eps": [0.3, None],
    "reduction.n_neighbors": [10, 15, 30],
    "clustering.scope": ["slide", "cohort"],
    "embedding.models": [["morphology"], ["morphology", "resnet50"]],
}


def test_examples_in_docstrings_hold():
    assert doctest.testmod(trials).failed == 0


def test_every_combination_once_in_the_order_of_the_stages():
    made = trials.trials(SWEEP)
    assert len(made) == len({str(trial) for trial in made}) == 2 * 3 * 2 * 2
    assert [key for key, _ in made[0].values] == [
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
    assert len({str(trial.until(section)) for trial in trials.trials(SWEEP)}) == different


def test_what_is_clustered_together_is_reduced_together():
    trial = trials.trials({"clustering.scope": ["cohort"]})[0]
    assert trial.until("reduction") == trial
    assert trial.until("embedding").values == ()


def test_settings_are_sections_of_a_config():
    first = trials.trials(SWEEP)[0]
    assert first.settings == {
        "embedding": {"models": ["morphology"]},
        "reduction": {"n_neighbors": 10},
        "clustering": {"scope": "slide", "eps": 0.3},
    }
    assert first.folder.startswith("sweep/embedding_models~morphology__reduction_n_neighbors~10__")


def test_no_sweep_no_trials():
    assert trials.trials({}) == []


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_words_can_be_names_of_folders(value):
    assert "/" not in trials.word(value)
    assert "\0" not in trials.word(value)


def test_folders_are_named_as_snakemakes_paramspace_names_files():
    import pandas as pd
    from snakemake.utils import Paramspace

    for trial in trials.trials(SWEEP):
        words = {key.replace(".", "_"): trials.word(value) for key, value in trial.values}
        space = Paramspace(pd.DataFrame([words]), filename_params="*", filename_sep="__")
        assert [trial.folder] == [f"sweep/{name}/" for name in space.instance_patterns]


def test_values_of_one_name_and_names_that_no_file_system_takes_are_refused():
    with pytest.raises(ClusterfirstError, match="two values are both written sweep/clustering_eps~a-b/"):
        trials.Trials.of({None: {"clustering.eps": ["a/b", "a:b"]}})
    with pytest.raises(ClusterfirstError, match="too long for the name of a folder"):
        trials.Trials.of({None: {"clustering.eps": ["x" * 250]}})


def test_a_tissue_takes_part_in_its_own_trials_only():
    made = trials.Trials.of({"skin": {"clustering.groups": [5]}, None: {"reduction.components": [3]}, "lung": {}})
    assert set(made.parts) == {"", "sweep/clustering_groups~5/", "sweep/reduction_components~3/"}
    assert made.of_tissue == {
        "skin": {"", "sweep/clustering_groups~5/"},
        None: {"", "sweep/reduction_components~3/"},
        "lung": set(),
    }
    assert made.tissues_of["sweep/clustering_groups~5/"] == {"skin"}
