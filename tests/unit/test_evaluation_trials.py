"""The trials of a sweep side by side."""

import dataclasses
import json

import numpy as np
import pytest
import yaml

from clusterfirst.evaluation import trials
from clusterfirst.evaluation.clusters import count
from clusterfirst.evaluation.truth import Truth

CELLS = 60


def counts(right: float, seed: int):
    """A slide of two classes, whose two clusters are right for that share of the cells."""
    names = np.array(["epithelial", "stroma"] * (CELLS // 2), dtype=object)
    cluster_id = np.tile([0, 1], CELLS // 2)
    wrong = np.random.default_rng(seed).choice(CELLS, round((1 - right) * CELLS), replace=False)
    cluster_id[wrong] = 1 - cluster_id[wrong]
    return count(cluster_id, Truth("outlines", names, {}), np.zeros(CELLS))


def outcome(eps, right=None, *, silhouette=0.1, stability=0.5, noise=0.0):
    """A trial of two slides of tissue skin and one without."""
    slides = {"a": "skin", "b": "skin", "c": None}
    known = {} if right is None else {slide: counts(right[slide], 0) for slide in slides}
    figures = {"silhouette": silhouette, "stability": stability, "noise_fraction": noise, "mixing": None}
    figures["mixing_reason"] = "one slide"
    return trials.Outcome(
        {"clustering.eps": eps, "embedding.models": ["morphology"]},
        slides,
        {slide: slide for slide in slides},
        known,
        dict.fromkeys(slides, figures),
    )


def test_the_best_of_each_tissue_is_the_one_that_labels_most_cells(tmp_path):
    outcomes = [
        outcome(0.3, {"a": 0.9, "b": 0.8, "c": 0.6}),
        outcome(None, {"a": 0.7, "b": 0.9, "c": 0.95}),
    ]
    table = trials.compare(outcomes)
    assert table["tissue"].tolist() == ["skin", "", "all slides"] * 2
    assert table["efficiency_25"].tolist() == pytest.approx([0.85, 0.6, 2.3 / 3, 0.8, 0.95, 2.55 / 3])
    assert {tissue: number for tissue, (number, _) in trials.best(table).items()} == {
        "skin": 0,
        "": 1,
        "all slides": 1,
    }
    trials.write_best(table, outcomes, tmp_path / "best.yaml")
    assert yaml.safe_load((tmp_path / "best.yaml").read_text()) == {
        "tissues": {"skin": {"clustering": {"eps": 0.3}, "embedding": {"models": ["morphology"]}}},
        "clustering": {"eps": None},
        "embedding": {"models": ["morphology"]},
    }


def test_without_truth_compact_and_stable_clusters_win_but_not_by_leaving_cells_out(tmp_path):
    outcomes = [
        outcome(0.1, silhouette=0.9, stability=0.9, noise=0.5),
        outcome(0.2, silhouette=0.2, stability=0.4),
        outcome(0.3, silhouette=0.3, stability=0.6),
    ]
    table = trials.compare(outcomes)
    assert "efficiency_25" not in table
    assert table["mixing"].isna().all()
    number, reason = trials.best(table)["skin"]
    assert number == 2
    assert "no truth was known" in reason
    trials.write_best(table, outcomes, tmp_path / "best.yaml")
    assert "no truth was known" in (tmp_path / "best.yaml").read_text()


def test_clusters_that_cannot_be_judged_come_last():
    table = trials.compare([outcome(0.1, silhouette=None, stability=None), outcome(0.2)])
    assert trials.best(table)["skin"][0] == 1


def test_a_truth_that_some_trials_lack_decides_nothing():
    right = {"a": 0.9, "b": 0.9, "c": 0.9}
    lacking = outcome(0.2, {**right, "a": 1.0}, stability=0.9)
    table = trials.compare([outcome(0.1), lacking])
    assert trials.best(table)["skin"] == trials.best(table)["all slides"]
    assert "no truth" in trials.best(table)["skin"][1]


def test_values_stand_in_the_table_as_json_and_the_page_escapes_them(tmp_path):
    outcomes = [outcome("<b>"), outcome(0.2)]
    table = trials.compare(outcomes)
    assert [json.loads(value) for value in table["clustering.eps"].unique()] == ["<b>", 0.2]
    trials.write_page(table, outcomes, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<b>" not in page
    assert page.count('<tr class="best">') == 3
    trials.plot(table, outcomes, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000


def test_trials_of_one_tissue_only_leave_the_other_out():
    only_skin = outcome(0.3)
    values = {"reduction.n_neighbors": 10}
    other = trials.Outcome(values, {"c": None}, {"c": "c"}, {}, {"c": {"silhouette": 0.1, "stability": 0.1}})
    table = trials.compare([only_skin, other])
    assert table["tissue"].tolist() == ["skin", "", "all slides", ""]
    assert table.loc[table["trial"] == 1, "clustering.eps"].isna().all()


def test_tissues_that_are_clustered_together_get_the_same_values(tmp_path):
    """Each with its own, the workflow would refuse what was written."""
    outcomes = [outcome(0.3, {"a": 0.9, "b": 0.9, "c": 0.6}), outcome(0.2, {"a": 0.7, "b": 0.7, "c": 0.7})]
    groups = dict.fromkeys("abc", "cohort")
    together = [dataclasses.replace(one, groups=groups, validity={"cohort": one.validity["a"]}) for one in outcomes]
    for some, eps in ((outcomes, (0.3, 0.2)), (together, (0.3, 0.3))):
        trials.write_best(trials.compare(some), some, tmp_path / "best.yaml")
        written = yaml.safe_load((tmp_path / "best.yaml").read_text())
        assert (written["tissues"]["skin"]["clustering"]["eps"], written["clustering"]["eps"]) == eps


def test_no_figure_is_told_of_a_tissue_without_truth(tmp_path):
    outcomes = [outcome(0.3, {"a": 0.9, "b": 0.9, "c": 0.6}), outcome(0.2, {"a": 0.7, "b": 0.7, "c": 0.7})]
    known = [dataclasses.replace(one, counts={slide: one.counts[slide] for slide in "ab"}) for one in outcomes]
    trials.write_best(trials.compare(known), known, tmp_path / "best.yaml")
    lines = (tmp_path / "best.yaml").read_text().splitlines()
    (bare,) = (line for line in lines if line.startswith("# slides without a tissue"))
    assert bare.endswith("a hint, no more)")


def test_the_line_through_means_runs_along_the_axis(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(trials, "save_figure", lambda figure, _: drawn.append(figure))
    outcomes = [outcome(eps) for eps in (5, 10, 25)]
    trials.plot(trials.compare(outcomes), outcomes, tmp_path / "plot.png")
    lines = [line for line in drawn[0].axes[0].lines if line.get_linestyle() == "-"]
    assert lines
    assert all(list(line.get_xdata()) == [0, 1, 2] for line in lines)
