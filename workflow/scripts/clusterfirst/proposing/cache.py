"""Answers by what was asked, so that nothing is asked twice."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

from ..io import read_json, write_json
from .server import Reply


class Cache:
    """A folder of answers, one file each, written the moment they come. Safe to use from several threads.

    Parameters
    ----------
    folder
        Made when the first answer comes.
    """

    def __init__(self, folder: str | os.PathLike):
        self._folder = Path(folder)

    def get(self, digest: str) -> Reply | None:
        """Return an answer, None if this was not asked yet."""
        try:
            return Reply(**read_json(self._folder / f"{digest}.json")["reply"])
        except (OSError, ValueError, KeyError, TypeError):
            # Missing, or from another version: ask.
            return None

    def put(self, digest: str, request: dict, reply: Reply, *, host: str) -> None:
        """Keep an answer; of what was asked only the model, for pictures lie beside the results already."""
        document = {"model": request["model"], "server": host, "reply": asdict(reply)}
        write_json(document, self._folder / f"{digest}.json")


def digest(address: str, request: dict) -> str:
    """Return the sha256 of all that an answer depends on: server, model, words, picture, schema, parameters."""
    text = json.dumps({"address": address, **request}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
