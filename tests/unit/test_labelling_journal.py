"""The journal: what was acknowledged is there, what was torn is cut off, anything else is said."""

import json
import os
import subprocess
import sys

import pytest

from clusterfirst.io import ClusterfirstError
from clusterfirst.labelling.record import journal
from clusterfirst.labelling.record.journal import Ended, Held, Journal, Lock

HEADER = {"group": "a", "fingerprint": "f" * 64, "cells": "c" * 64}


def some_actions(count: int) -> list[dict]:
    return [{"do": "name", "leaves": [number], "class": "Tümör → 'x'\u2028"} for number in range(count)]


@pytest.fixture
def written(tmp_path):
    book = Journal.open(tmp_path / "labels/journal.jsonl", HEADER)
    ends = [os.path.getsize(book.path)]
    for number, action in enumerate(some_actions(4)):
        book.append("Ada", f"request-{number}", action)
        ends.append(os.path.getsize(book.path))
    book.close()
    return book.path, ends


def test_what_was_written_is_read(written):
    book = Journal.open(written[0], HEADER)
    assert [entry.action for entry in book.entries] == some_actions(4)
    assert [entry.seq for entry in book.entries] == [1, 2, 3, 4]
    assert {entry.who for entry in book.entries} == {"Ada"}
    book.close()


def test_torn_at_any_byte_only_the_unacknowledged_line_is_lost(written, monkeypatch):
    path, ends = written
    monkeypatch.setattr(journal.os, "fsync", lambda _file: None)  # 1,500 of them take half a minute on a busy disk
    data = path.read_bytes()
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        book = Journal.open(path, HEADER)
        whole = sum(end <= cut for end in ends)
        assert [entry.action for entry in book.entries] == some_actions(max(whole - 1, 0)), cut
        book.append("Ada", "after", {"do": "undo"})
        book.close()
        again = Journal.open(path, HEADER)
        assert [entry.id for entry in again.entries][-1] == "after"
        assert len(again.entries) == max(whole - 1, 0) + 1
        again.close()


def test_any_other_damage_is_an_error_that_says_where(written):
    path, ends = written
    data = bytearray(path.read_bytes())
    for at in range(0, len(data) - 1, 7):
        line = sum(end <= at for end in ends) + 1
        hurt = data.copy()
        hurt[at] ^= 1
        path.write_bytes(hurt)
        with pytest.raises(ClusterfirstError, match=f"line {line}: damaged"):
            Journal.open(path, HEADER)
        assert path.read_bytes() == hurt, "a damaged journal is left as it is"


@pytest.mark.parametrize("lost", [1, 2])
def test_a_missing_or_doubled_line_is_an_error(written, lost):
    path, _ = written
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:lost] + lines[lost + 1 :]))
    with pytest.raises(ClusterfirstError, match=f"line {lost + 1}: damaged"):
        Journal.open(path, HEADER)
    path.write_bytes(b"".join(lines[: lost + 1] + lines[lost:]))
    with pytest.raises(ClusterfirstError, match=f"line {lost + 2}: damaged"):
        Journal.open(path, HEADER)


def test_a_journal_of_other_cells_is_not_continued(written):
    before = written[0].read_bytes()
    with pytest.raises(ClusterfirstError, match="about other cells"):
        Journal.open(written[0], {**HEADER, "cells": "d" * 64})
    assert written[0].read_bytes() == before


def test_a_journal_of_a_later_version_is_not_touched(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(journal.seal({"clusterfirst": "labels", "version": 2, **HEADER}))
    with pytest.raises(ClusterfirstError, match="update clusterfirst"):
        Journal.open(path, HEADER)


def test_it_is_on_disk_before_it_is_acknowledged(tmp_path, monkeypatch):
    book = Journal.open(tmp_path / "journal.jsonl", HEADER)
    synced = []
    monkeypatch.setattr(journal.os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
    book.append("Ada", "request", {"do": "undo"})
    assert synced == [os.path.getsize(book.path)]


def test_a_full_disk_leaves_no_half_line_and_work_goes_on_when_there_is_room(tmp_path, monkeypatch):
    book = Journal.open(tmp_path / "journal.jsonl", HEADER)
    real, calls = os.pwrite, []

    def full(file, data, at):
        calls.append(len(data))
        if len(calls) == 1:
            return real(file, data[:10], at)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal.os, "pwrite", full)
    before = book.path.read_bytes()
    with pytest.raises(ClusterfirstError, match="No space left"):
        book.append("Ada", "lost", {"do": "undo"})
    assert book.path.read_bytes() == before
    monkeypatch.setattr(journal.os, "pwrite", real)
    book.append("Ada", "kept", {"do": "undo"})
    book.close()
    assert [entry.id for entry in Journal.open(book.path, HEADER).entries] == ["kept"]


def test_after_a_failed_fsync_nothing_more_is_acknowledged(tmp_path, monkeypatch):
    book = Journal.open(tmp_path / "journal.jsonl", HEADER)
    real = os.fsync

    def broken(_file):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(journal.os, "fsync", broken)
    with pytest.raises(ClusterfirstError, match="the disk failed"):
        book.append("Ada", "lost", {"do": "undo"})
    monkeypatch.setattr(journal.os, "fsync", real)
    with pytest.raises(ClusterfirstError, match="start again"):
        book.append("Ada", "lost", {"do": "undo"})
    book.close()
    assert Journal.open(book.path, HEADER).entries == []


@pytest.mark.parametrize("replaced", [False, True])
def test_a_journal_that_was_taken_away_is_not_written_to(tmp_path, replaced):
    book = Journal.open(tmp_path / "journal.jsonl", HEADER)
    data = book.path.read_bytes()
    book.path.unlink()
    if replaced:
        book.path.write_bytes(data)
    with pytest.raises(ClusterfirstError, match="moved, replaced or deleted"):
        book.append("Ada", "lost", {"do": "undo"})


def test_what_was_closed_stays_closed(tmp_path):
    book, lock = Journal.open(tmp_path / "journal.jsonl", HEADER), Lock(tmp_path)
    before = book.path.read_bytes()
    for one in (book.close, lock.release):
        one()
        another = os.open(tmp_path / "another", os.O_CREAT | os.O_RDWR)  # it gets the number of the file just closed
        one()
        os.fstat(another)
    with pytest.raises(Ended):
        book.append("Ada", "late", {"do": "undo"})
    assert book.path.read_bytes() == before
    assert (tmp_path / "another").stat().st_size == 0


def test_two_servers_that_no_lock_kept_apart_write_over_nothing(tmp_path):
    one = Journal.open(tmp_path / "journal.jsonl", HEADER)
    other = Journal.open(tmp_path / "journal.jsonl", HEADER)
    one.append("Ada", "first", {"do": "undo"})
    with pytest.raises(ClusterfirstError, match="changed by somebody else"):
        other.append("Grace", "second", {"do": "undo"})
    one.append("Ada", "third", {"do": "undo"})
    assert [entry.id for entry in Journal.open(one.path, HEADER).entries] == ["first", "third"]


def test_a_new_journal_is_on_disk_with_the_folders_it_lies_in(tmp_path, monkeypatch):
    synced, real = [], os.fsync
    monkeypatch.setattr(journal.os, "fsync", lambda file: (synced.append(os.fstat(file).st_ino), real(file)))
    book = Journal.open(tmp_path / "group/labels/journal.jsonl", HEADER)
    assert synced == [place.stat().st_ino for place in (book.path, book.path.parent, book.path.parent.parent)]


def test_on_a_full_disk_the_lock_is_held_all_the_same_and_let_go(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal.os, "pwrite", full)
    lock = Lock(tmp_path)
    with pytest.raises(Held):
        Lock(tmp_path)
    lock.release()
    Lock(tmp_path).release()


def test_a_journal_is_not_written_through_a_link(tmp_path):
    (tmp_path / "outside").write_bytes(b"")
    (tmp_path / "journal.jsonl").symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match="symbolic"):
        Journal.open(tmp_path / "journal.jsonl", HEADER)


def test_labels_are_not_kept_behind_a_link(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "labels").symlink_to(tmp_path / "outside")
    with pytest.raises(ClusterfirstError, match="is a link"):
        Lock(tmp_path / "labels")
    assert list((tmp_path / "outside").iterdir()) == []


def test_where_labels_cannot_be_kept_is_said(tmp_path):
    (tmp_path / "labels").write_text("a file")
    with pytest.raises(ClusterfirstError, match="labels cannot be kept there"):
        Lock(tmp_path / "labels")


HOLD = """
import sys, time
from pathlib import Path
from clusterfirst.labelling.record.journal import Lock
lock = Lock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_server_is_told_who_holds_the_labels_until_that_one_is_killed(tmp_path, repo):
    environment = os.environ | {"PYTHONPATH": str(repo / "workflow/scripts")}
    first = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, env=environment)
    try:
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(Held, match=f"process {first.pid} on"):
            Lock(tmp_path)
    finally:
        first.kill()
        first.wait()
    lock = Lock(tmp_path)
    assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
    lock.release()
