"""Damaged journals: what is whole in them is kept, and said; the damaged file stays beside.

A disk may give back zeros in the middle of a journal. Actions before that are as they were. Those behind it hold, too,
as each says what is called what; but an undo takes back the last action of a person, and a redo brings one back: these
two are kept only where that action is known, standing behind the hole itself. And a blind batch has to be finished
again: answers to it may be lost.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from ...io import ClusterfirstError, atomic, sync_folder
from ...labels.people import stem
from ..cells.results import Results
from ..record import journal


def repair_all(results: Results) -> list[str]:
    """Repair the damaged journals of all groups; return what is to be told of each.

    Raises
    ------
    ClusterfirstError
        One cannot be repaired, or a server is at work on it.
    """
    reports = []
    for group in results.groups.values():
        folder = group.folder.labels
        if not folder.is_dir():
            continue
        held = journal.Lock(folder)
        try:
            reports += [_repair(path) for path in sorted(folder.glob("*.jsonl")) if _is_damaged(path)]
        finally:
            held.release()
    return reports


def _is_damaged(path: Path) -> bool:
    try:
        journal.read(path)
    except journal.Damaged:
        return True
    return False


def _repair(path: Path) -> str:
    lines = path.read_bytes().split(b"\n")[:-1]
    try:
        header = journal.unseal(lines[0])
    except ValueError:
        raise ClusterfirstError(
            f"{path}: its first line is damaged, so that nobody knows what it is about: restore it from a backup"
        ) from None
    whole, spoilt = _whole(lines)
    kept = _certain(whole)
    aside = path.with_name(f"{path.name}.damaged-{stem(datetime.now(UTC))}")
    try:
        with atomic(aside) as part:
            shutil.copyfile(path, part)
        with atomic(path) as part, part.open("wb") as file:
            records = (record | {"seq": seq} for seq, record in enumerate(kept, start=1))
            file.writelines(journal.seal(record) for record in (header, *records))
        sync_folder(path.parent)
    except OSError as error:
        raise ClusterfirstError(f"{path}: cannot be repaired ({error.strerror or error})") from error
    return _report(path, aside, whole, kept, spoilt)


def _whole(lines: list[bytes]) -> tuple[list[dict], list[int]]:
    """Return the actions that can be read, in order and once each, and the numbers of the lines that cannot."""
    whole, spoilt = [], []
    for number, line in enumerate(lines[1:], start=2):
        try:
            record = journal.unseal(line.lstrip(b"\0"))  # a hole has no line ends: the line after it is part of it
            if record["seq"] > (whole[-1]["seq"] if whole else 0):
                whole.append(record)
        except (ValueError, KeyError, TypeError):
            spoilt.append(number)
    return whole, spoilt


def _certain(whole: list[dict]) -> list[dict]:
    """Leave out what rests on actions that are lost."""
    kept, before, behind = [], 0, False
    for record in whole:
        if record["seq"] != before + 1:
            behind = True
            stacks = defaultdict(list), defaultdict(list)
        before = record["seq"]
        if not behind or _stands(record, *stacks):
            kept.append(record)
    return kept


def _stands(record: dict, done: dict[tuple, list[bool]], undone: dict[tuple, list[bool]]) -> bool:
    """Say whether an action behind a hole means what it meant; stacks say of what can be undone if it is known."""
    do, key = record["action"]["do"], (record["who"], str(record["action"].get("batch")))
    match do:
        case "undo" | "redo":
            source, to = (done[key], undone[key]) if do == "undo" else (undone[key], done[key])
            to.append(source.pop() if source else False)
            return to[-1]
        case "finish":
            return False
        case "class":  # added to a blind batch: no undo takes it back
            return True
    done[key].append(True)
    undone[key].clear()
    return True


def _report(path: Path, aside: Path, whole: list[dict], kept: list[dict], spoilt: list[int]) -> str:
    numbers = [0, *(record["seq"] for record in whole)]
    gaps = [(a + 1, b - 1) for a, b in pairwise(numbers) if b > a + 1]
    parts = [f"{path}: {len(kept)} actions are whole and were kept."]
    parts += [f"Lost: actions {a} to {b}." if b > a else f"Lost: action {a}." for a, b in gaps]
    if spoilt and not gaps:
        parts.append("Lost: what stood at its end.")
    if spoilt:
        parts.append(f"Lines that cannot be read: {', '.join(map(str, spoilt))}.")
    if left := [
        f"{record['seq']} ({record['action']['do']}, {record['who']})" for record in whole if record not in kept
    ]:
        parts.append(f"Left out, as they rest on what is lost: actions {', '.join(left)}. Look those labels over.")
    parts.append(f"The damaged file is kept as {aside.name}")
    return " ".join(parts)
