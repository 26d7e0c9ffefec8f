"""Blind labels of a group: what everybody answered, the journals that keep it, and what came of it."""

from __future__ import annotations

import hashlib
import re
import threading
from pathlib import Path

import numpy as np

from ...io import ClusterfirstError
from ..cells.outlines import Shelf
from ..record import journal, ranges
from ..record.history import Entry
from ..record.journal import Ended, Journal
from ..record.leaves import SHORT
from ..server.session import Session, Stale
from ..server.view import DEFAULT_CLASSES
from . import scores, tiles, truth
from .answers import OPEN, UNTOLD, Answers, Batch, check
from .samples import Key, Samples


class Study:
    """Blind labels of one group. Safe for threads.

    Nothing that is told before a batch is finished depends on clusters or on what others answered. Nothing is written
    before a person's first action; then their journal is ``labels/blind-<cells>-<name>.jsonl`` of the group.

    Parameters
    ----------
    session
        The group, held for us by its lock.
    root
        The results folder.

    Raises
    ------
    ClusterfirstError
        Tiles or journals are missing or damaged.
    """

    def __init__(self, session: Session, root: Path):
        self.session, self.group, self.root = session, session.group, root
        self.cells = session.group.leaves.cells
        self.tiles = tiles.read(session.group, root)
        self.samples = Samples(session.group, self.tiles)
        self._mutex = threading.RLock()
        self._ended = False
        self._journals: dict[str, Journal] = {}
        self._asked: dict[str, set[str]] = {}
        self._answers: dict[str, Answers] = {}
        for path in sorted(session.folder.glob(f"blind-{self.cells[:SHORT]}-*.jsonl")):
            header, entries = journal.read(path)
            if header is not None:
                self._read(path, header, entries)

    def _read(self, path: Path, header: dict, entries: list[Entry]) -> None:
        who, answers = header["who"], Answers()
        if header != self._header(who):
            raise ClusterfirstError(f"{path} is about other cells than these: move it away")
        for entry in entries:
            try:
                key = self.samples.key(*entry.action["batch"])
                answers.apply(key, self.samples.rows(key), entry.action)
            except (ClusterfirstError, LookupError, TypeError) as error:
                raise ClusterfirstError(f"{path}: action {entry.seq} makes no sense: {error}") from error
        self._answers[who], self._asked[who] = answers, {entry.id for entry in entries}

    def _header(self, who: str) -> dict:
        return {"about": "blind", "group": self.group.info.id, "cells": self.cells, "who": who}

    def _path(self, who: str) -> Path:
        plain = re.sub(r"[^a-z0-9]+", "-", who.lower()).strip("-")[:24]
        digest = hashlib.sha256(who.encode()).hexdigest()[:8]  # two names may look alike once they are plain
        return self.session.folder / f"blind-{self.cells[:SHORT]}-{plain or 'x'}-{digest}.jsonl"

    # ---- who answered what

    def of(self, who: str | None) -> Answers:
        """Return what somebody answered so far."""
        return self._answers.get(who) or Answers()

    def finished(self, key: Key) -> dict[str, Batch]:
        """Return everybody's answers to a batch who has finished it."""
        batches = {who: answers.batches.get(key) for who, answers in self._answers.items()}
        return {who: batch for who, batch in batches.items() if batch and batch.finished}

    def classes(self) -> list[dict]:
        """Return the classes to choose from: those of the labelling app, and those that people added here."""
        classes = {entry["name"]: entry for entry in self.session.classes() or DEFAULT_CLASSES}
        for answers in self._answers.values():
            for entry in answers.added:
                classes.setdefault(entry["name"], entry)
        return [{"name": entry["name"], "colour": entry["colour"]} for entry in classes.values()]

    # ---- what a browser is told

    def overview(self, who: str | None, size: int, seed: int) -> dict:
        """Say what there is to label.

        Returns
        -------
        dict
            ``study`` (which cells these are), ``sample``, ``cells`` and ``tiles`` in all, ``begun``: the samples that
            this person has begun, the latest first; ``batches``: ``number``, ``cells``, ``tiles``, ``slides``,
            ``answered``, ``finished``, ``others`` (how many others have finished it).
        """
        with self._mutex:
            batches = [self._summary(who, key) for key in self.samples.batches(size, seed)]
            begun = dict.fromkeys((key.size, key.seed) for key in reversed(self.of(who).batches))
            return {
                "study": self.cells[:SHORT],
                "sample": {"cells": size, "seed": seed},
                "cells": len(self.group),
                "tiles": self.samples.tiles,
                "begun": [{"cells": size, "seed": seed} for size, seed in begun],
                "batches": batches,
            }

    def _summary(self, who: str | None, key: Key) -> dict:
        answered = self.of(who).batches.get(key)
        return {
            "number": key.number,
            **self.samples.counts(key),
            "answered": int((answered.code != OPEN).sum()) if answered else 0,
            "finished": bool(answered and answered.finished),
            "others": len(self.finished(key).keys() - {who}),
        }

    def batch(self, who: str | None, key: Key, shelf: Shelf) -> dict:
        """Tell all of a batch: what `progress` says, and ``tiles``, see `Samples.pictures`."""
        key = self.samples.key(*key)
        pictures = [*self.samples.pictures(key, shelf)]  # from disk the first time: nobody else has to wait for it
        with self._mutex:
            return {"tiles": pictures, **self.progress(who, key)}

    def progress(self, who: str | None, key: Key) -> dict:
        """Tell what somebody answered in a batch.

        Returns
        -------
        dict
            ``classes``; ``labels``: rows by place of their class in ``classes``, under ``-1`` those that cannot be
            told; ``can_undo``, ``can_redo``, ``finished``.
        """
        answers, classes = self.of(who), self.classes()
        batch = answers.batch(key, self.samples.rows(key))
        place = {entry["name"]: str(number) for number, entry in enumerate(classes)}
        labels = {}
        for code in np.unique(batch.code[batch.code != OPEN]).tolist():
            word = answers.words[code]
            if code != UNTOLD and word not in place:  # taken off the list since
                place[word] = str(len(classes))
                classes.append({"name": word, "colour": "#6b7684"})
            labels["-1" if code == UNTOLD else place[word]] = ranges.encode(batch.rows[batch.code == code])
        return {
            "classes": classes,
            "labels": labels,
            "can_undo": bool(batch.done) and not batch.finished,
            "can_redo": bool(batch.undone) and not batch.finished,
            "finished": batch.finished,
        }

    # ---- what people do

    def act(self, who: str, id: str, study: str, key: Key, action: object) -> dict:
        """Do an action, once it is on disk; see `answers`.

        Parameters
        ----------
        who
            Name of the person.
        id
            Of the request: asked twice, an action is done once.
        study
            Which cells the browser shows.
        key
            The batch.
        action
            See `answers`.

        Returns
        -------
        dict
            See `progress`.

        Raises
        ------
        ClusterfirstError
            It makes no sense, or (`Stale`) the page shows cells of another segmentation.
        """
        if study != self.cells[:SHORT]:
            raise Stale("this page shows older outlines of the cells: nothing was done. Reload the page")
        key = self.samples.key(*key)
        with self._mutex:
            if id not in self._asked.get(who, ()):
                rows, answers = self.samples.rows(key), self.of(who)
                done = check(action, answers.batch(key, rows), self.classes()) | {"batch": list(key)}
                self._journal(who).append(who, id, done)
                self._asked.setdefault(who, set()).add(id)
                answers.apply(key, rows, done)
                self._answers[who] = answers
            return self.progress(who, key)

    def _journal(self, who: str) -> Journal:
        if self._ended:
            raise Ended
        if who not in self._journals:
            self._journals[who] = Journal.open(self._path(who), self._header(who))
        return self._journals[who]

    # ---- what came of it

    def names(self, who: str, keys: list[Key]) -> np.ndarray:
        """Return the class that somebody gave each cell of the group in some finished batches, None for others."""
        name = np.full(len(self.group), None)
        for key in keys:
            answers, batch = self.of(who), self._answers[who].batches[key]
            name[batch.rows] = [answers.words[code] if code > UNTOLD else None for code in batch.code]
        return name

    def _finished_by(self, who: str, size: int, seed: int) -> list[Key]:
        batches = self.of(who).batches
        return [key for key in self.samples.batches(size, seed) if key in batches and batches[key].finished]

    def score(self, who: str, size: int, seed: int, number: int | None, shelf: Shelf) -> dict | None:
        """Say how well clusters agree with what somebody answered.

        Parameters
        ----------
        who
            The person.
        size, seed
            The sample.
        number
            The batch; None for all that this person has finished.
        shelf
            Outlines.

        Returns
        -------
        dict or None
            See `scores.score`; besides ``batches`` (numbers), ``untold`` (cells that could not be told), ``named`` (see
            `scores.names`), ``others``: ``who`` else finished some of these batches, see `scores.agreement`; ``tiles``
            as in `batch`, each cell with ``label`` and ``called``, places in ``classes`` (−1: none). None as long as
            nothing is finished.
        """
        with self._mutex:
            keys = self._finished_by(who, size, seed)
            keys = [key for key in keys if number in (None, key.number)]
            if not keys:
                return None
            name = self.names(who, keys)
            others = {
                other: [key for key in keys if other in self.finished(key)] for other in self._answers if other != who
            }
            theirs = {other: (self.names(who, both), self.names(other, both)) for other, both in others.items() if both}
            untold = sum(int((self._answers[who].batches[key].code == UNTOLD).sum()) for key in keys)
        tiles = [tile for key in keys for tile in self.samples.pictures(key, shelf)]
        score = scores.score(self.group, self.tiles, name)
        _mark(tiles, name, score["classes"], score.pop("called"))
        return {
            **score,
            "batches": [key.number for key in keys],
            "untold": untold,
            "named": scores.names(name, *self.session.labels_now()),
            "others": [{"who": other, **scores.agreement(*both)} for other, both in sorted(theirs.items())],
            "tiles": tiles,
        }

    def write_truth(self, who: str, size: int, seed: int) -> list[str]:
        """Write somebody's finished batches of a sample, see `truth.write`.

        Returns
        -------
        list of str
            The files, from the folder that the results are in.
        """
        with self._mutex:
            keys = self._finished_by(who, size, seed)
            name = self.names(who, keys)
        sample = {"cells": size, "seed": seed, "batches": [key.number for key in keys]}
        written = truth.write(self.group, who, name, sample, self.root)
        return [path.relative_to(self.root.parent).as_posix() for path in written]

    def close(self) -> None:
        """Let go of the files, for good."""
        with self._mutex:
            self._ended = True
            for one in self._journals.values():
                one.close()
            self._journals.clear()


def _mark(tiles: list[dict], name: np.ndarray, classes: list[str], called: list[int]) -> None:
    """Write beside each cell what the person said and what its cluster is called."""
    labelled = np.flatnonzero([word is not None for word in name]).tolist()
    by_row = dict(zip(labelled, called, strict=True))
    place = {word: number for number, word in enumerate(classes)}
    for cell in (cell for tile in tiles for cell in tile["cells"]):
        cell["label"] = place.get(name[cell["row"]], -1)
        cell["called"] = by_row.get(cell["row"], -1)
