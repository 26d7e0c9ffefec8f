"""The fewest tiles that show all clusters: all are shown, and no choice of fewer does."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clusterfirst.clustering import set_cover, summary
from clusterfirst.clustering.document import Entry

from ..made import clustering

SETS = st.tuples(st.integers(1, 9), st.integers(1, 8)).flatmap(
    lambda shape: st.tuples(
        arrays(bool, shape), arrays(float, shape[0], elements=st.floats(0, 10).map(lambda value: round(value, 2)))
    )
)


def covers(holds: np.ndarray, rows) -> bool:
    return bool((holds[list(rows)].any(axis=0) == holds.any(axis=0)).all())


@settings(max_examples=150, deadline=None)
@given(SETS)
def test_all_is_held_by_the_fewest_and_worthiest_sets(case):
    holds, worth = case
    found = set_cover.fewest(holds, worth)
    assert covers(holds, found.chosen)
    assert found.fewest
    # By trying every choice.
    rows = range(len(holds))
    size = next(k for k in range(len(holds) + 1) if any(covers(holds, some) for some in combinations(rows, k)))
    assert len(found.chosen) == size
    best = max(worth[list(some)].sum() for some in combinations(rows, size) if covers(holds, some))
    assert worth[found.chosen].sum() == pytest.approx(best, abs=1e-4)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(2, 60), st.floats(0.02, 0.4))
def test_never_more_sets_than_the_greedy_choice_has(seed, sets, items, density):
    rng = np.random.default_rng(seed)
    holds, worth = rng.random((sets, items)) < density, rng.random(sets)
    found = set_cover.fewest(holds, worth)
    assert covers(holds, found.chosen)
    assert found.at_least <= len(found.chosen) <= len(set_cover.greedy(holds[:, holds.any(axis=0)], worth))


def trap(items: int = 4) -> np.ndarray:
    """Two rows hold all; the greedy choice begins with a third that holds more than either."""
    half = 2**items
    holds = np.zeros((items + 2, 2 * (half - 1)), bool)
    holds[0, ::2] = holds[1, 1::2] = True
    start = 0
    for row in range(items):
        wide = 2 ** (items - row)
        holds[2 + row, start : start + wide] = True
        start += wide
    return holds


def test_where_the_greedy_choice_is_trapped_the_exact_one_is_not():
    holds = trap()
    assert len(set_cover.greedy(holds, np.ones(len(holds)))) > 2
    assert set_cover.fewest(holds, np.ones(len(holds))).chosen.tolist() == [0, 1]


def test_without_time_for_a_proof_the_greedy_choice_is_taken_and_the_bound_is_no_lie(monkeypatch):
    monkeypatch.setattr(set_cover, "_solved", lambda *_: (None, 2))
    found = set_cover.fewest(trap(), np.ones(len(trap())))
    assert covers(trap(), found.chosen)
    assert (found.fewest, found.at_least) == (False, 2)


def test_hundreds_of_tiles_are_solved_in_no_time():
    rng = np.random.default_rng(0)
    holds = np.zeros((400, 100), bool)
    for cluster in range(100):
        holds[rng.integers(0, 400, 12), cluster] = True
    found = set_cover.fewest(holds, rng.random(400), seconds=5)
    assert covers(holds, found.chosen)
    assert len(found.chosen) < len(set_cover.greedy(holds, np.ones(400))) + 1


@pytest.mark.parametrize("shape", [(0, 0), (3, 0), (0, 3), (3, 3)])
def test_nothing_to_hold_needs_no_sets(shape):
    found = set_cover.fewest(np.zeros(shape, bool), np.ones(shape[0]))
    assert (found.chosen.tolist(), found.fewest) == ([], True)


def typical(*rows) -> pd.DataFrame:
    columns = ["tile_id", "cluster_id", "cell_id", "confidence"]
    return pd.DataFrame(rows, columns=columns).astype({"cluster_id": int, "cell_id": int, "confidence": float})


def test_of_tiles_as_few_those_with_more_and_surer_cells_are_taken():
    few = summary.fewest_tiles(
        typical(
            ("a", 0, 0, 0.9), ("a", 1, 1, 0.9), ("b", 0, 2, 1.0), ("b", 1, 3, 1.0), ("c", 2, 4, 0.5), ("b", 1, 5, 0.3)
        )
    )
    assert (few.tile_id, few.at_least) == (["b", "c"], 2)


def test_without_typical_cells_no_tile_is_chosen():
    assert summary.fewest_tiles(typical()).tile_id == []


def summary_of(cluster_id, confidence, **entries):
    count = len(cluster_id)
    cells = pd.DataFrame({name: np.arange(count, dtype=float) for name in summary.MEASURES})
    first = Entry(0, 3, "#aaaaaa", None, [0], [0, 1])
    clusters = replace(
        clustering(cluster_id, confidence, settings={"representatives": {"max_items": 2, "min_confidence": 0.5}}),
        entries=[first, Entry(1, 0, "#bbbbbb", None, [1], [])],
    )
    chosen = summary.Tiles(["t"], 1)
    shown = typical(("t", 0, 0, 0.9), ("u", 0, 1, 0.8))
    return summary.summary("a slide", clusters, cells, shown, chosen, {0: "gallery/cluster_000.png"})


def test_the_summary_tells_of_every_cluster():
    told = summary_of([0, 0, 0, -1], [0.9, 0.8, 0.4, 0.0])
    first, second = told["clusters"]
    assert told["tiles"] == {"fewest": True, "at_least": 1, "chosen": [{"tile_id": "t", "clusters": [0]}]}
    assert (first["share"], first["tiles"], first["gallery"]) == (0.75, ["t"], "gallery/cluster_000.png")
    assert first["confidence"]["q50"] == 0.8
    assert first["median"] == dict.fromkeys(summary.MEASURES, 1.0)
    assert (second["share"], second["confidence"], second["median"], second["gallery"]) == (0, None, None, None)
