"""What an atlas is worth on slides that taught nothing."""

from dataclasses import replace

import numpy as np
import pytest

from clusterfirst.evaluation import transfer
from clusterfirst.evaluation.transfer import ALL, ASKED, BOTH, COMMONEST, NAMES, NEAREST, REVIEWED, Known, Transfer
from clusterfirst.io import ClusterfirstError
from clusterfirst.reduction.inputs import Block, SlideEmbedding

MODELS = [{"model": "m", "columns": [0, 6], "standardise": True, "weights_sha256": None}]
SETTINGS = {
    "reduction": {"standardise": "auto", "clip": 5, "pca": None, "balance": {}},
    "learning": {
        "neighbours": [3],
        "context_weight": 0.5,
        "random_features": 60,
        "reviewed": [20],
        "seeds": 2,
        "person": {"page_cells": 12, "page_seconds": 4, "correction_seconds": 1},
    },
}


def slide(name, seed, *, wrong=0.2, count=200):
    """Cells around a point for each class, a cluster for each, which holds some of the other; the last are unknown."""
    rng = np.random.default_rng(seed)
    number = rng.integers(2, size=count)
    values = (4 * np.eye(2, 6)[number] + rng.normal(size=(count, 6))).astype(np.float32)
    truth = np.array(["one", "two"], object)[number]
    truth[-10:] = None
    cluster = np.where(rng.random(count) < wrong, 1 - number, number)
    embedding = SlideEmbedding(name, values, rng.uniform(0, 200, (count, 2)), (Block("m", 0, 6, True),))
    return Known(embedding, truth, cluster, {"settings": {}, "models": MODELS}, 0.5, name)


def carried(teach=("a", "b"), test=("c", "d"), **options):
    sides = [[slide(name, ord(name), **options) for name in side] for side in (teach, test)]
    return Transfer(*sides, threads=1, **SETTINGS)


def test_all_ways_are_counted_on_the_same_cells():
    one = carried()
    found = one.run()
    table = transfer.table(one, found).groupby("method")["right"].mean()
    assert set(table.index) == {COMMONEST, NEAREST, NAMES, REVIEWED, BOTH, ASKED, ALL}
    assert one.cells.tolist() == [190, 190]
    assert all((each.right <= one.cells).all() for each in found)
    assert table[COMMONEST] < 0.6
    assert table[[ALL, BOTH, ASKED, NAMES]].min() > 0.9
    assert {each.reviewed for each in found if each.method in (REVIEWED, BOTH, ASKED)} == {20}
    assert {each.reviewed for each in found if each.method == ALL} == {380}


def test_the_same_is_counted_again(tmp_path):
    one, other = carried(), carried()
    tables = [transfer.table(each, each.run()) for each in (one, other)]
    assert tables[0].equals(tables[1])
    transfer.write_page(one, one.run(), tmp_path / "page.html")
    assert "380 known cells taught; 380 known cells of 2 other slides" in (tmp_path / "page.html").read_text()


def test_classes_that_only_test_are_wrong_and_count():
    one = carried()
    test = [replace(each, truth=np.where(each.truth == "two", "three", each.truth)) for each in one.test]
    found = Transfer(one.teach, test, threads=1, **SETTINGS).run()
    (best,) = {each.right.sum() for each in found if each.method == ALL and each.priors == "taught"}
    assert best <= sum((each.truth == "one").sum() for each in test)
    assert max(each.macro_f1 for each in found) < 0.6


def test_a_side_without_known_cells_is_refused():
    nobody = slide("c", 1)
    nobody = replace(nobody, truth=np.full(200, None))
    with pytest.raises(ClusterfirstError, match="no cell of the slides with split test has a class"):
        Transfer([slide("a", 0)], [nobody], threads=1, **SETTINGS)
