"""How far a run has come, as a table for people, and what they can do."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence

from ..text import counted, span
from .lock import Run
from .states import WORDS, State
from .survey import Progress

MARKS = {"failed": "FAIL", "stopped": "STOP", "incomplete": "part", "outdated": "old", "waiting": "-", "done": "ok"}
LISTED = 30
"""Of more slides than these, those that are done are counted only."""

_REASONS = 20


def page(units: Sequence[Progress], *, results: str, run: Run, now: float | None = None, listed: int = LISTED) -> str:
    """Return the table, and what else there is to say.

    Parameters
    ----------
    units
        See `survey.survey`.
    results
        Name of the results folder.
    run
        See `lock.run_at_work`.
    now
        Seconds since the epoch.
    listed
        Of more units than these, only those that are not done get a line, and at most so many.
    """
    now = time.time() if now is None else now
    parts = [_headline(results, run, now), _totals(units), _table(units, listed), *_troubles(units, listed)]
    parts += [_running(units, now), _waiting(units), _advice(units, run)]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _headline(results: str, run: Run, now: float) -> list[str]:
    since = f" since {_moment(run.since, now)}" if run.since else ""
    if run.at_work:
        work = f"A run is at work{since}" + (f" ({run.where})" if run.where else "") + "."
    elif run.at_work is None:
        work = f"A run began{since} ({run.where}); it is at work or was killed: that cannot be told from this machine."
    else:
        work = "No run is at work."
    return [f"{results}/ at {time.strftime('%Y-%m-%d %H:%M', time.localtime(now))}. {work}"]


def _columns(units: Sequence[Progress]) -> list[str]:
    """In the order of the stages, with those that only some units have in their place."""
    columns: list[str] = []
    for progress in units:
        at = 0
        for task in progress.unit.tasks:
            if not task.column or task.name not in progress.states:
                continue
            if task.column in columns:
                at = columns.index(task.column) + 1
            else:
                columns.insert(at, task.column)
                at += 1
    return columns


def _totals(units: Sequence[Progress]) -> list[str]:
    """Per stage: how many units are in which state, and the time of those that are done."""
    words, seconds = {}, Counter()
    for progress in units:
        for task in progress.unit.tasks:
            if task.column and (state := progress.states.get(task.name)):
                words.setdefault(task.column, Counter())[state.word] += 1
                seconds[task.column] += state.seconds
    shown = [word for word in reversed(WORDS) if word == "done" or any(count[word] for count in words.values())]
    names = _columns(units)
    rows = [["stage", *shown, "time"]]
    rows += [[name, *(str(words[name][word] or "-") for word in shown), span(seconds[name])] for name in names]
    return _aligned(rows)


def _table(units: Sequence[Progress], listed: int) -> list[str]:
    """A row per unit and a column per stage."""
    columns = _columns(units)
    units = [progress for progress in units if any(task.column for task in progress.unit.tasks)]
    shown = units
    if len(units) > listed:
        rest = [progress for progress in units if progress.worst != "done"]
        shown = sorted(rest, key=lambda progress: WORDS.index(progress.worst))[:listed]
    rows = [["", *columns, "tiles", "cells", "clusters", "time"]]
    for progress in shown:
        states = {task.column: progress.states.get(task.name) for task in progress.unit.tasks}
        marks = [_mark(states[name]) if states.get(name) else "" for name in columns]
        rows.append([progress.unit.name, *marks, *_counts(progress), span(progress.seconds)])
    rows.append(["all" if len(units) == len(shown) else f"all {len(units):,}", *([""] * len(columns)), *_sums(units)])
    lines = _aligned(rows)
    if len(shown) < len(units):
        done = sum(progress.worst == "done" for progress in units)
        more = len(units) - done - len(shown)
        lines.append(f"({done:,} are done and not listed" + (f"; {more:,} more are not)" if more else ")"))
    return lines


def _mark(state: State) -> str:
    if state.word == "running":
        return "run" if state.percent is None else f"{state.percent}%"
    return MARKS[state.word]


def _counts(progress: Progress) -> list[str]:
    counts = (progress.tiles[0] if progress.tiles else None, progress.cells, progress.clusters)
    return ["" if count is None else f"{count:,}" for count in counts]


def _sums(units: Sequence[Progress]) -> list[str]:
    tiles = sum(progress.tiles[0] for progress in units if progress.tiles)
    cells = sum(progress.cells or 0 for progress in units)
    return [f"{tiles:,}", f"{cells:,}", "", span(sum(progress.seconds for progress in units))]


def _in_state(units: Sequence[Progress], *words: str) -> list[tuple[str, State]]:
    return [
        (f"{progress.unit.name}  {name}", state)
        for progress in units
        for name, state in progress.states.items()
        if state.word in words
    ]


def _troubles(units: Sequence[Progress], listed: int) -> Iterator[list[str]]:
    """What failed, why, and where to read on."""
    titles = {
        "failed": "Failed",
        "stopped": "Stopped",
        "incomplete": "Incomplete",
        "outdated": "Out of date, and what follows",
    }
    most = min(listed, _REASONS)
    for word, title in titles.items():
        those = _in_state(units, word)
        lines = [f"{title}: {len(those):,}"] if those else []
        those = [(name, state) for name, state in those if state.why]
        for name, state in those[:most]:
            lines.append(f"  {name}: {state.why}")
            if state.log:
                lines.append(f"    log: {state.log}")
        if len(those) > most:
            lines.append(f"  … and {len(those) - most:,} more")
        yield lines


def _running(units: Sequence[Progress], now: float) -> list[str]:
    those = _in_state(units, "running")
    lines = [f"Running: {len(those):,}"] if those else []
    for name, state in those[:LISTED]:
        facts = [f"since {_moment(state.begun, now)}"] if state.begun else []
        facts += [f"{state.percent}%"] if state.percent is not None else []
        lines.append(f"  {name}: {', '.join(filter(None, [*facts, state.why]))}")
    return lines


def _waiting(units: Sequence[Progress]) -> list[str]:
    """What could begin, and what is held up by a failure elsewhere: in its own row everybody sees it."""
    held, turns = Counter(), 0
    for progress in units:
        for state in progress.states.values():
            if state.word == "waiting":
                turns += state.why == "its turn"
                failed = "(failed)" in state.why or "(stopped)" in state.why
                held[state.why] += failed and not state.why.startswith(f"for {progress.unit.name}/")
    lines = [
        f"Held up: {counted(count, 'stage')} {'waits' if count == 1 else 'wait'} {why}"
        for why, count in held.most_common(5)
        if count
    ]
    return lines + ([f"Ready to start: {turns:,}"] if turns else [])


def _advice(units: Sequence[Progress], run: Run) -> list[str]:
    words = Counter(state.word for progress in units for state in progress.states.values())
    bad, open_ = words["failed"] + words["stopped"], sum(words.values()) - words["done"]
    if not open_:
        return ["Everything is there. (Whether settings were changed since is not looked at: `snakemake -n` tells.)"]
    if run.at_work:
        return ["The run goes on, and may try again what failed. When it has ended:", *_MEND] if bad else []
    if bad:
        return _MEND
    return ["Start the same command again: only what is missing or out of date is done (`snakemake -n` lists it)."]


_MEND = [
    "Read the logs, mend the cause (README, 'When something is wrong'), and start the same command again:",
    "only what is missing is done.",
]


def _aligned(rows: list[list[str]]) -> list[str]:
    """Columns of equal width; numbers and marks to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if not i else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _moment(when: float, now: float) -> str:
    """The hour, and the day if it is not today's."""
    then = time.localtime(when)
    same = then[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M" if same else "%Y-%m-%d %H:%M", then)
