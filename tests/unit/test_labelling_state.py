"""What people said: the fold of actions, undo and redo, conflicts, the estimate of the efficiency."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clusterfirst.clustering.tree import grow
from clusterfirst.io import ClusterfirstError
from clusterfirst.labelling.record import ranges
from clusterfirst.labelling.record.actions import check
from clusterfirst.labelling.record.estimate import estimate, lots, reviewed
from clusterfirst.labelling.record.history import Entry, History
from clusterfirst.labelling.record.leaves import Leaves
from clusterfirst.labelling.record.state import NONE, State

CELLS, LEAVES, GROUPS = 60, 8, 3
WORDS = ("tumour", "stroma", "lymphocyte")
CLASSES = {"do": "classes", "classes": [{"name": word, "colour": "#112233"} for word in WORDS]}
PEOPLE = ("Ada", "Grace")


def some_leaves(seed: int = 0, cells: int = CELLS) -> Leaves:
    rng = np.random.default_rng(seed)
    of_cell = np.append(np.arange(LEAVES), rng.integers(-1, LEAVES, cells - LEAVES)).astype(np.int32)
    tree = grow(rng.normal(size=(LEAVES, 2)), np.bincount(of_cell[of_cell >= 0]))
    group = tree.cut(GROUPS)
    start = np.array([np.flatnonzero(group == number)[0] for number in group], np.int32)
    return Leaves(of_cell, start, tree.merges[:, :2].astype(np.int32), "cells")


THE_LEAVES = some_leaves()

rows = st.sets(st.integers(0, CELLS - 1), min_size=1).map(lambda chosen: ranges.encode(np.array(sorted(chosen))))
keys = st.integers(0, LEAVES - 1)
actions = st.one_of(
    st.just(CLASSES),
    st.builds(
        lambda leaves, word: {"do": "name", "leaves": sorted(leaves), "class": word},
        st.sets(keys, min_size=1),
        st.sampled_from([*WORDS, None]),
    ),
    st.builds(
        lambda text, word: {"do": "cells", "rows": text, "class": word}, rows, st.sampled_from([*WORDS, None, ""])
    ),
    st.builds(lambda text: {"do": "confirm", "rows": text}, rows),
    st.builds(lambda key: {"do": "open", "cluster": key}, keys),
    st.builds(lambda chosen: {"do": "merge", "clusters": sorted(chosen)}, st.sets(keys, min_size=2)),
    st.sampled_from([{"do": "undo"}, {"do": "redo"}]),
)
sequences = st.lists(st.tuples(st.sampled_from(PEOPLE), actions), max_size=120)


def entry(seq: int, who: str, action: dict) -> Entry:
    return Entry(seq, "2026-11-21T12:00:00Z", who, f"request-{seq}", action)


def history_of(sequence, leaves: Leaves = THE_LEAVES) -> History:
    history = History(leaves)
    for seq, (who, action) in enumerate(sequence, start=1):
        history.add(entry(seq, who, action))
    return history


def remaining(sequence) -> list[dict]:
    """The actions that are not undone, by the plainest of means."""
    undone: set[int] = set()
    done: dict[str, list[int]] = {who: [] for who in PEOPLE}
    taken_back: dict[str, list[int]] = {who: [] for who in PEOPLE}
    for at, (who, action) in enumerate(sequence):
        if action["do"] == "undo":
            if done[who]:
                taken_back[who].append(done[who].pop())
                undone.add(taken_back[who][-1])
        elif action["do"] == "redo":
            if taken_back[who]:
                done[who].append(taken_back[who].pop())
                undone.discard(done[who][-1])
        else:
            done[who].append(at)
            taken_back[who] = []
    return [
        action for at, (_, action) in enumerate(sequence) if at not in undone and action["do"] not in ("undo", "redo")
    ]


def same(one: State, other: State) -> bool:
    def told(state: State):
        words = np.array([*state.words, None], object)  # −1 is None
        said = [words[codes].tolist() for codes in (state.name, state.exception, state.confirmed)]
        return state.classes, said, state.cluster.tolist()

    return told(one) == told(other)


@hypothesis_settings(max_examples=150, deadline=None)
@given(sequences)
def test_the_state_is_that_of_the_actions_not_undone(sequence):
    plain = State.empty(THE_LEAVES)
    for action in remaining(sequence):
        plain.apply(action, THE_LEAVES)
    assert same(history_of(sequence).state, plain)


@hypothesis_settings(max_examples=80, deadline=None)
@given(sequences)
def test_undoing_everything_leads_back_to_the_start_and_redoing_to_the_end(sequence):
    sequence = [(who, action) for who, action in sequence if action["do"] not in ("undo", "redo")]
    history = history_of(sequence)
    end = history.state.copy()
    for do, where in (("undo", State.empty(THE_LEAVES)), ("redo", end)):
        for who in PEOPLE:
            while history.can_undo(who) if do == "undo" else history.can_redo(who):
                history.add(entry(history.seq + 1, who, {"do": do}))
        assert same(history.state, where)


@hypothesis_settings(max_examples=100, deadline=None)
@given(sequences, st.lists(st.sampled_from([*WORDS, "x", "y"]), min_size=len(WORDS), max_size=len(WORDS), unique=True))
def test_classes_are_renamed_all_at_once(sequence, names):
    """Two that swap their names, or a ring of three, stay as many classes as they were."""

    def told(state: State) -> list[list]:
        words = np.array([*state.words, None], object)
        return [words[codes].tolist() for codes in (state.name, state.exception, state.confirmed)]

    history = history_of([("Ada", CLASSES), *sequence, ("Ada", CLASSES)])
    before, becomes = told(history.state), dict(zip(WORDS, names, strict=True))
    classes = [{"name": new, "colour": "#112233", "was": old} for old, new in becomes.items()]
    action = check({"do": "classes", "classes": classes}, history.state, THE_LEAVES)
    history.add(entry(history.seq + 1, "Ada", action))
    assert told(history.state) == [[becomes.get(word, word) for word in words] for words in before]
    history.add(entry(history.seq + 1, "Ada", {"do": "undo"}))
    assert told(history.state) == before


@hypothesis_settings(max_examples=80, deadline=None)
@given(sequences)
def test_clusters_are_always_a_partition_known_by_smallest_leaves(sequence):
    cluster = history_of(sequence).state.cluster
    for key in np.unique(cluster):
        assert np.flatnonzero(cluster == key)[0] == key


def test_undo_is_ones_own():
    history = history_of(
        [
            ("Ada", CLASSES),
            ("Ada", {"do": "name", "leaves": [0], "class": "tumour"}),
            ("Grace", {"do": "name", "leaves": [1], "class": "stroma"}),
            ("Ada", {"do": "undo"}),
        ]
    )
    assert history.state.name[:2].tolist() == [NONE, history.state.words.index("stroma")]
    assert history.can_redo("Ada")
    assert not history.can_redo("Grace")


def test_copies_of_the_state_stay_few():
    sequence = [("Ada", CLASSES)] + [("Ada", {"do": "name", "leaves": [i % 8], "class": "stroma"}) for i in range(3000)]
    history = history_of(sequence)
    assert len(history._copies) < 20
    for _ in range(10):
        history.add(entry(history.seq + 1, "Ada", {"do": "undo"}))
    assert same(history.state, history_of(sequence[:-10]).state)


def test_exceptions_win_over_names_and_outlive_them():
    state = State.empty(THE_LEAVES)
    row = int(THE_LEAVES.rows([3])[0])
    for action in (
        CLASSES,
        {"do": "cells", "rows": str(row), "class": "stroma"},
        {"do": "name", "leaves": [3], "class": "tumour"},
    ):
        state.apply(action, THE_LEAVES)
    labels = [state.words[code] for code in state.labels(THE_LEAVES, THE_LEAVES.rows([3]))]
    assert labels[0] == "stroma"
    assert set(labels[1:]) == {"tumour"}
    state.apply({"do": "cells", "rows": str(row), "class": None}, THE_LEAVES)
    assert state.words[state.labels(THE_LEAVES)[row]] == "tumour"


def test_noise_has_no_label_but_its_own():
    state = State.empty(THE_LEAVES)
    row = int(np.flatnonzero(THE_LEAVES.of_cell == -1)[0])
    state.apply(CLASSES, THE_LEAVES)
    state.apply({"do": "name", "leaves": list(range(LEAVES)), "class": "tumour"}, THE_LEAVES)
    assert state.labels(THE_LEAVES)[row] == NONE
    state.apply({"do": "cells", "rows": str(row), "class": "stroma"}, THE_LEAVES)
    assert state.words[state.labels(THE_LEAVES)[row]] == "stroma"


def test_a_renamed_class_takes_its_cells_along():
    history = history_of(
        [
            ("Ada", CLASSES),
            ("Ada", {"do": "name", "leaves": [0], "class": "stroma"}),
            ("Ada", {"do": "classes", "classes": [{"name": "connective", "colour": "#000000", "was": "stroma"}]}),
        ]
    )
    assert history.state.words[history.state.name[0]] == "connective"
    assert [entry["name"] for entry in history.state.all_classes()] == ["connective"]


def test_opening_parts_a_cluster_as_the_tree_does_until_single_leaves_are_left():
    state, leaves = State.empty(THE_LEAVES), THE_LEAVES
    state.cluster[:] = 0
    below = {number: {number} for number in range(LEAVES)}
    for row, (one, other) in enumerate(leaves.merges.tolist()):
        below[LEAVES + row] = below[one] | below[other]
    nodes = {frozenset(members) for members in below.values()}
    while (np.bincount(state.cluster) > 1).any():
        key = int(np.argmax(np.bincount(state.cluster)))
        before = set(np.unique(state.cluster).tolist())
        state.apply(check({"do": "open", "cluster": key}, state, leaves), leaves)
        assert len(np.unique(state.cluster)) == len(before) + 1
        for own in np.unique(state.cluster):
            assert frozenset(state.members(own).tolist()) in nodes
    with pytest.raises(ClusterfirstError, match="cannot be opened"):
        check({"do": "open", "cluster": 0}, state, leaves)


def test_merged_leaves_of_far_places_part_at_the_last_merge_that_joined_them():
    one, other = THE_LEAVES.split([0, 3, 5])
    assert sorted(one + other) == [0, 3, 5]
    assert one
    assert other


@pytest.mark.parametrize(
    ("action", "why"),
    [
        ("name", "an action says"),
        ({"do": "_name"}, "an action says"),
        ({"do": ["name"]}, "an action says"),
        ({"do": "name", "leaves": [], "class": None}, "at least one"),
        ({"do": "name", "leaves": [LEAVES], "class": None}, f"no {LEAVES}"),
        ({"do": "name", "leaves": [-1], "class": None}, "no -1"),
        ({"do": "name", "leaves": [True], "class": None}, "whole numbers"),
        ({"do": "name", "leaves": [0], "class": "fibroblast"}, "no class 'fibroblast'"),
        ({"do": "name", "leaves": [0], "class": ""}, "no class"),
        ({"do": "name", "leaves": [0], "class": ["x"]}, "no class"),
        ({"do": "cells", "rows": "", "class": None}, "rows are ranges"),
        ({"do": "cells", "rows": [1], "class": None}, "rows are ranges"),
        ({"do": "cells", "rows": "5-3", "class": None}, "ascend"),
        ({"do": "cells", "rows": "0-5,5", "class": None}, "ascend"),
        ({"do": "cells", "rows": f"0-{CELLS}", "class": None}, "does not exist"),
        ({"do": "cells", "rows": "1e3", "class": None}, "ranges"),
        ({"do": "confirm", "rows": "-1"}, "ranges"),
        ({"do": "open", "cluster": 99}, "no 99"),
        ({"do": "merge", "clusters": [0]}, "two"),
        ({"do": "classes", "classes": [{"name": "x", "colour": "red"}]}, "#1f77b4"),
        ({"do": "classes", "classes": [{"name": "x" * 81, "colour": "#000000"}]}, "80"),
        ({"do": "classes", "classes": [{"name": "x\n", "colour": "#000000"}]}, "80"),
        ({"do": "classes", "classes": [{"name": "x", "colour": "#000000"}] * 2}, "same name"),
        ({"do": "classes", "classes": []}, "in use"),
        ({"do": "labels", "names": [{"class": "new", "leaves": [0]}]}, "not in the list"),
        ({"do": "labels", "names": [{"class": ["new"], "leaves": [0]}]}, "not in the list"),
    ],
)
def test_what_makes_no_sense_is_refused(action, why):
    state = State.empty(THE_LEAVES)
    state.apply(CLASSES, THE_LEAVES)
    state.apply({"do": "name", "leaves": [1], "class": "stroma"}, THE_LEAVES)
    with pytest.raises(ClusterfirstError, match=why):
        check(action, state, THE_LEAVES)


@given(st.sets(st.integers(0, 999)))
def test_ranges_say_the_same_rows(chosen):
    text = ranges.encode(np.array(sorted(chosen), int))
    assert set(ranges.decode(text, 1000).tolist()) == chosen
    assert ranges.encode(ranges.decode(text, 1000)) == text


@pytest.mark.parametrize(
    ("first", "second", "meets"),
    [
        ({"do": "name", "leaves": [0, 1], "class": "stroma"}, {"do": "name", "leaves": [1], "class": "tumour"}, True),
        ({"do": "name", "leaves": [0], "class": "stroma"}, {"do": "name", "leaves": [1], "class": "tumour"}, False),
        ({"do": "cells", "rows": "0-9", "class": ""}, {"do": "cells", "rows": "9", "class": "tumour"}, True),
        ({"do": "cells", "rows": "0-9", "class": ""}, {"do": "confirm", "rows": "3"}, True),
        ({"do": "cells", "rows": "0-9", "class": ""}, {"do": "cells", "rows": "10", "class": "tumour"}, False),
        ({"do": "cells", "rows": "0-59", "class": ""}, {"do": "name", "leaves": [0], "class": "tumour"}, False),
        ({"do": "open", "cluster": 0}, {"do": "name", "leaves": [0], "class": "tumour"}, True),
        (CLASSES, CLASSES, True),
        ({"do": "labels", "classes": CLASSES["classes"], "names": [], "cells": []}, CLASSES, True),
        ({"do": "labels", "classes": [], "names": [], "cells": []}, CLASSES, False),
    ],
)
def test_two_people_conflict_where_they_change_the_same(first, second, meets):
    history = history_of([("Ada", CLASSES), ("Ada", first)])
    assert (history.conflict(second, "Grace", 1) is not None) == meets
    assert history.conflict(second, "Ada", 1) is None, "nobody is in one's own way"
    assert history.conflict(second, "Grace", 2) is None, "who has seen it may change it"
    history.add(entry(3, "Ada", {"do": "undo"}))
    assert history.conflict(second, "Grace", 1) is None, "what was undone is in nobody's way"


def test_undoing_an_opening_that_another_has_built_upon_is_a_conflict():
    state = State.empty(THE_LEAVES)
    key = int(np.argmax(np.bincount(state.cluster)))
    history = history_of([("Ada", {"do": "open", "cluster": key})])
    child = next(k for k in np.unique(history.state.cluster).tolist() if k not in np.unique(THE_LEAVES.start))
    other = next(k for k in np.unique(history.state.cluster).tolist() if k not in (child, key))
    history.add(entry(2, "Grace", {"do": "merge", "clusters": sorted([child, other])}))
    assert history.conflict({"do": "undo"}, "Ada", 2).seq == 2
    assert history.conflict({"do": "undo"}, "Grace", 2) is None


def test_the_estimate_is_of_a_random_sample_even_if_the_doubtful_were_looked_at_first():
    leaves = some_leaves(cells=6000)
    state = State.empty(leaves)
    state.apply(CLASSES, leaves)
    named = np.flatnonzero(leaves.start == leaves.start[0])
    state.apply({"do": "name", "leaves": named.tolist(), "class": "tumour"}, leaves)
    own = leaves.rows(named)
    wrong = np.zeros(6000, bool)
    wrong[own] = np.random.default_rng(1).random(len(own)) < 0.2
    # All the wrong ones are found and corrected at once, which says nothing; then a random sample is looked at.
    sample = own[np.argsort(lots(6000)[own])][:200]
    for looked_at in (own[wrong[own]][:150], sample):
        bad, good = looked_at[wrong[looked_at]], looked_at[~wrong[looked_at]]
        if len(bad):
            state.apply({"do": "cells", "rows": ranges.encode(bad), "class": "stroma"}, leaves)
        if len(good):
            state.apply({"do": "confirm", "rows": ranges.encode(good)}, leaves)
    found = estimate(state, leaves, np.flatnonzero(reviewed(state)))
    truth = (len(own) - wrong[own].sum()) / 6000
    assert found.low < truth < found.high
    assert found.value == pytest.approx(truth, abs=0.06)
    assert 200 <= found.cells < 230
    assert found.high - found.low < 0.15


def test_without_a_sample_there_is_no_estimate_and_unknown_clusters_widen_it():
    state = State.empty(THE_LEAVES)
    state.apply(CLASSES, THE_LEAVES)
    state.apply({"do": "name", "leaves": list(range(LEAVES)), "class": "tumour"}, THE_LEAVES)
    assert estimate(state, THE_LEAVES, np.empty(0, int)) is None
    key = int(THE_LEAVES.start[0])
    own = THE_LEAVES.rows(np.flatnonzero(THE_LEAVES.start == key))
    state.apply({"do": "confirm", "rows": ranges.encode(own)}, THE_LEAVES)
    found = estimate(state, THE_LEAVES, np.flatnonzero(reviewed(state)))
    inside = int((THE_LEAVES.of_cell >= 0).sum())
    assert found.value == pytest.approx(inside / CELLS), "the others are taken to be as good"
    assert found.low == pytest.approx(len(own) / CELLS), "every cell of this cluster was looked at: no error"
    assert found.high == pytest.approx(inside / CELLS)
    assert (found.clusters, found.named) == (1, GROUPS)
