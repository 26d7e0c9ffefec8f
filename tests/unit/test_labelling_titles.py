"""What clusters are called once they were opened and merged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterfirst.labelling.record import titles
from clusterfirst.labelling.record.leaves import Leaves

MERGES = np.array([[0, 1], [2, 3], [6, 7], [4, 5], [8, 9]], np.int32)
"""((0, 1), (2, 3)), (4, 5)"""
IDS = {0: 3, 4: 0}


def some_leaves(start) -> Leaves:
    return Leaves(np.arange(6, dtype=np.int32), np.array(start, np.int32), MERGES, "cells")


TWO = some_leaves([0, 0, 0, 0, 4, 4])


@pytest.mark.parametrize(
    ("members", "title"),
    [
        ([0, 1, 2, 3], "3"),
        ([4, 5], "0"),
        ([0, 1], "3a"),
        ([2, 3], "3b"),
        ([2], "3b1"),
        ([3], "3b2"),
        ([5], "0b"),
        ([0, 1, 2, 3, 4, 5], "0 + 3"),
        ([0, 1, 4, 5], "0 + 3a"),
        ([1, 2, 3], "3a2 + 3b"),
    ],
)
def test_a_title_follows_from_the_leaves(members, title):
    assert titles.joined(titles.pieces(members, TWO, IDS)) == title


def test_many_pieces_are_counted():
    assert titles.joined(["0", "3", "5", "7"]) == "0 + 3 + 5 + 7"
    assert titles.joined(["0", "3", "5", "7", "9a"]) == "0 + 3 + 5 + 2 more"


@given(st.lists(st.sets(st.integers(0, 5), min_size=1), min_size=2, max_size=2, unique_by=frozenset))
def test_other_leaves_have_another_title(both):
    one, other = (titles.pieces(sorted(members), TWO, IDS) for members in both)
    assert one != other
