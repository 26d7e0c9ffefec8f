"""Damaged journals: what is whole is kept, what is lost is said, and nothing that rests on it is guessed."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clusterfirst.io import ClusterfirstError
from clusterfirst.labelling import cli
from clusterfirst.labelling.cells.results import open_results
from clusterfirst.labelling.record import journal
from clusterfirst.labelling.record.journal import Damaged, Journal, Lock
from clusterfirst.labelling.server.repair import _certain, repair_all
from clusterfirst.labelling.server.session import Session

from ..labelling_results import make

CLASSES = [{"name": name, "colour": "#112233"} for name in ("tumour", "stroma")]


@pytest.fixture
def results(tmp_path):
    return make(tmp_path, slides={"a": 100}, edge=800, picture=False)


def opened(results):
    return Session(open_results(results).groups["a"])


def act(session, who, *actions):
    for action in actions:
        base = session.history.seq
        session.act(who, f"request-{base}", action, base=base)


def hole(path, *lines):
    """Zero some lines and what ends them, as a lost page of a disk does."""
    parts = path.read_bytes().splitlines(keepends=True)
    for number in lines:
        parts[number - 1] = bytes(len(parts[number - 1]))
    path.write_bytes(b"".join(parts))


def named(*leaves, word="tumour"):
    return {"do": "name", "leaves": list(leaves), "class": word}


@pytest.fixture
def book(results):
    """Ten actions of two people."""
    session = opened(results)
    act(session, "Ada", {"do": "classes", "classes": CLASSES}, named(0), named(1))
    act(session, "Ben", named(2), named(3))  # 4 and 5: lost
    act(session, "Ben", {"do": "undo"}, named(4, word="stroma"), named(5), {"do": "undo"})
    act(session, "Ada", named(6))
    session.close()
    return session.journal_path


def test_the_error_says_what_is_whole_and_what_to_do_and_nothing_is_changed(results, book):
    hole(book, 5, 6)
    before = book.read_bytes()
    with pytest.raises(Damaged) as error:
        opened(results)
    found = re.search(
        r"line 5: damaged .* 3 actions before it are whole, the last by Ada at \S+Z; so are 4 of 4 lines after it\. .*"
        "--repair",
        str(error.value),
    )
    assert found, error.value
    assert book.read_bytes() == before


def test_all_that_is_whole_is_kept_and_what_rests_on_the_lost_is_left_out(results, book, capsys):
    hole(book, 5, 6)
    damaged = book.read_bytes()
    assert cli.main([str(results), "--repair"]) == 0
    said = capsys.readouterr().out
    assert "7 actions are whole" in said
    assert "Lost: actions 4 to 5." in said
    assert "Left out, as they rest on what is lost: actions 6 (undo, Ben)." in said
    (aside,) = book.parent.glob("*.damaged-*")
    assert aside.read_bytes() == damaged
    assert aside.name in said
    session = opened(results)
    state = session.history.state
    words = {leaf: state.words[code] for leaf, code in enumerate(state.name.tolist()) if code > 0}
    # Ben's last undo took back what he did after the hole; what the first one took back, nobody knows.
    assert words == {0: "tumour", 1: "tumour", 4: "stroma", 6: "tumour"}
    assert session.history.seq == 7
    act(session, "Ada", named(7))
    session.close()
    assert opened(results).history.seq == 8


def test_lines_that_are_cut_are_named(results, book):
    data = book.read_bytes()
    start, end = (data.index(b'"seq":%d' % seq) for seq in (4, 7))  # as pages of a disk, not as lines
    book.write_bytes(data[:start] + bytes(end - start) + data[end:])
    (said,) = repair_all(open_results(results))
    assert "6 actions are whole" in said
    assert "Lost: actions 4 to 7. Lines that cannot be read: 5." in said


def test_whole_journals_are_left_alone(results, book, capsys):
    before = book.read_bytes()
    assert cli.main([str(results), "--repair"]) == 0
    assert "no journal of labels is damaged" in capsys.readouterr().out
    assert book.read_bytes() == before
    assert not [*book.parent.glob("*.damaged-*")]


def test_a_journal_that_a_server_holds_is_not_touched(results, book, capsys):
    hole(book, 5)
    lock = Lock(book.parent)
    assert cli.main([str(results), "--repair"]) == 1
    assert "held by another server" in capsys.readouterr().err
    lock.release()


def test_without_the_first_line_nothing_is_guessed(results, book):
    hole(book, 1)
    before = book.read_bytes()
    with pytest.raises(ClusterfirstError, match=r"first line is damaged.*backup"):
        repair_all(open_results(results))
    assert book.read_bytes() == before


def test_a_later_version_is_not_repaired(results, book):
    lines = book.read_bytes().splitlines(keepends=True)
    header = journal.unseal(lines[0][:-1]) | {"version": 2}
    book.write_bytes(b"".join([journal.seal(header), *lines[1:]]))
    with pytest.raises(ClusterfirstError, match="update clusterfirst"):
        repair_all(open_results(results))


def test_without_room_the_damaged_journal_stays_as_it_is(results, book, monkeypatch):
    hole(book, 5)
    before = book.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("clusterfirst.labelling.server.repair.shutil.copyfile", full)
    with pytest.raises(ClusterfirstError, match=r"cannot be repaired \(No space left"):
        repair_all(open_results(results))
    assert book.read_bytes() == before
    assert not [*book.parent.glob("*.damaged-*")]


def test_blind_answers_are_repaired_and_the_batch_must_be_finished_again(results):
    header = {"about": "blind", "group": "a", "cells": "c" * 64, "who": "Ada"}
    book = Journal.open(results / "a/labels/blind-cccccccccccc-ada-00000000.jsonl", header)
    for number, do in enumerate(["label", "label", "class", "undo", "label", "undo", "finish"]):
        book.append("Ada", f"request-{number}", {"do": do, "batch": [10, 0, 0]})
    book.close()
    hole(book.path, 3)
    (said,) = repair_all(open_results(results))
    assert [entry.action["do"] for entry in journal.read(book.path)[1]] == ["label", "class", "label", "undo"]
    assert "actions 4 (undo, Ada), 7 (finish, Ada)" in said


people = st.sampled_from(("Ada", "Ben"))
doings = st.lists(st.tuples(people, st.sampled_from(("name", "undo", "redo"))), max_size=40)


def accepted(sequence) -> list[dict]:
    """Leave out what the app refuses: undo and redo of nothing."""
    records, done, undone = [], Counter(), Counter()
    for who, do in sequence:
        if do == "name":
            done[who], undone[who] = done[who] + 1, 0
        elif (done if do == "undo" else undone)[who]:
            done[who] += 1 if do == "redo" else -1
            undone[who] += 1 if do == "undo" else -1
        else:
            continue
        records.append({"seq": len(records) + 1, "who": who, "action": {"do": do}})
    return records


def in_force(records) -> set[int]:
    """Numbers of the actions that are not undone, by the plainest of means."""
    done, undone = {"Ada": [], "Ben": []}, {"Ada": [], "Ben": []}
    for record in records:
        who, do = record["who"], record["action"]["do"]
        source, to = (done, undone) if do == "undo" else (undone, done)
        if do == "name":
            done[who].append(record["seq"])
            undone[who].clear()
        elif source[who]:
            to[who].append(source[who].pop())
    return {seq for stack in done.values() for seq in stack}


@hypothesis_settings(max_examples=300, deadline=None)
@given(doings, st.integers(1, 40), st.integers(1, 10))
def test_no_whole_action_that_was_in_force_is_lost(sequence, first, length):
    """Wherever the hole is: what stood is standing, and nothing behind it that was taken back comes to life."""
    records = accepted(sequence)
    whole = [record for record in records if not first <= record["seq"] < first + length]
    before, after = in_force(records), in_force(_certain(whole))
    known = in_force(records[: first - 1]) | {record["seq"] for record in whole if record["seq"] >= first}
    names = {record["seq"] for record in whole if record["action"]["do"] == "name"} & known
    assert before & names <= after
    assert not {seq for seq in names - before if seq >= first + length} & after
