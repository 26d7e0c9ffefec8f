"""Ask about every view: what is known from before, what may be asked again, what may be spent, and when to give up."""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ..clustering.document import Clustering
from ..io import log, progress
from ..labels.model import KIND, UNSURE, VERSION, verdict
from . import answers, prompts
from .budget import Budget, Spent
from .cache import Cache, digest
from .prompts import Prompt
from .server import Passing, Reply, Server, ServerError
from .views import Montage

_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 60.0
_LONGEST_ASKED_WAIT_S = 300.0
"""Who asks for more time than this is away for longer than a job should sit there."""
_BYTES_PER_TOKEN = 3
"""Of text: about four in English, so that this many is an upper estimate."""


@dataclass
class Cost:
    """What was sent and spent in this run."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached: int = 0
    bytes: int = 0


@dataclass
class _Shared:
    """What the threads share."""

    cost: Cost = field(default_factory=Cost)
    dearest: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    guard: threading.Lock = field(default_factory=threading.Lock)


class _GaveUp(Exception):
    """Another thread met an error that ends everything."""


class Asker:
    """Asks one server with one prompt.

    Parameters
    ----------
    prompt
        What to ask.
    settings
        The section ``classify`` of the configuration.
    server, cache, budget
        Whom to ask; what was answered before; what may be spent. The budget is open.
    """

    def __init__(self, prompt: Prompt, settings: Mapping, server: Server, cache: Cache, budget: Budget):
        self._prompt = prompt
        self._settings = settings
        self._server = server
        self._cache = cache
        self._budget = budget
        self._shared = _Shared()

    @property
    def cost(self) -> Cost:
        """What was spent until now."""
        return self._shared.cost

    def ask(self, views: Sequence[Montage], folder: str | os.PathLike) -> tuple[dict[str, dict], str | None]:
        """Ask about views, several at a time.

        Parameters
        ----------
        views
            In the order in which the budget is to be spent.
        folder
            Of their pictures.

        Returns
        -------
        votes : dict of str to dict
            By file of the view, as in ``classes.json``. Those that the budget did not reach are missing.
        stopped : str or None
            Why some are missing.

        Raises
        ------
        ServerError
            The server will not answer. What it answered before is kept.
        """
        votes, stopped = {}, None
        with ThreadPoolExecutor(self._settings["concurrency"]) as pool:
            try:
                for file, done in progress(self._submit(pool, views, folder), total=len(views), what="classify"):
                    try:
                        votes[file] = done.result()
                    except Spent as error:
                        stopped = str(error)
                    except _GaveUp:
                        continue  # the error of another thread is among those still to come
            except BaseException:
                self._shared.stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return votes, stopped

    def _submit(
        self, pool: Executor, views: Sequence[Montage], folder: str | os.PathLike
    ) -> Iterator[tuple[str, Future]]:
        """Yield the file of each view with its vote, as they come.

        The first is asked about alone: what the server counts for it is what is reckoned with for the others. Those are
        begun one after the other: all views of a cluster before those of the next, when the budget is short.
        """
        for some in (views[:1], views[1:]):
            waiting = {pool.submit(self._vote_or_stop, view, Path(folder, view.file)): view.file for view in some}
            for done in as_completed(waiting):
                yield waiting[done], done

    def _vote_or_stop(self, view: Montage, picture: Path) -> dict:
        """Ask about a view; an error keeps all threads from sending more, before anybody looks at it."""
        if self._shared.stop.is_set():
            raise _GaveUp
        try:
            return self._vote(view, picture)
        except Spent:
            raise
        except BaseException:
            self._shared.stop.set()
            raise

    def _vote(self, view: Montage, picture: Path) -> dict:
        """Ask about a view, and once more if the answer cannot be used; then it is unsure, and says why."""
        conversation = prompts.messages(self._prompt, view, picture.read_bytes())
        known, why = True, ""
        for _ in range(2):
            reply, cached = self._reply(conversation)
            known &= cached
            if reply.refusal:
                why = f"the model refused: {reply.refusal}"
                break
            try:
                if reply.finish == "length":
                    raise answers.BadAnswer("it was cut off (classify.max_tokens): be shorter")
                return self._counted(view, answers.parse(reply.text, self._prompt.words), known)
            except answers.BadAnswer as error:
                why = f"no usable answer, also when asked again: {error}"
                conversation = prompts.again(conversation, reply.text, str(error))
        log.warning("%s: counted as %s: %s", view.file, UNSURE, why)
        return self._counted(view, {"class": UNSURE, "confidence": 0.0, "rationale": why}, known)

    @staticmethod
    def _counted(view: Montage, answer: dict, cached: bool) -> dict:
        return {**answer, "cells": view.cells, "cached": cached}

    def _reply(self, conversation: list[dict]) -> tuple[Reply, bool]:
        """Return an answer, and whether it was known."""
        request = request_of(conversation, self._prompt, self._settings)
        name = digest(self._server.address, request)
        if found := self._cache.get(name):
            with self._shared.guard:
                self.cost.cached += 1
                self._shared.dearest = max(self._shared.dearest, found.prompt_tokens or 0)
            return found, True
        reply = self._sent(request)
        self._cache.put(name, request, reply, host=self._server.host)
        return reply, False

    def _sent(self, request: dict) -> Reply:
        """Send a request, again if need be, as often as the settings and the budget allow."""
        retries = self._settings["retries"]
        for attempt in range(retries + 1):
            if self._shared.stop.is_set():
                raise _GaveUp
            most = max(prompt_tokens(request, self._settings), self._shared.dearest) + answer_tokens(self._settings)
            number = self._budget.reserve(most)
            self._count_request(request)
            try:
                reply = self._server.ask(request)
            except Passing as error:
                self._budget.settle(number, most if error.charged else 0)
                self._wait(error, attempt, retries)
            except ServerError:
                self._budget.settle(number, 0)
                raise
            else:
                self._budget.settle(number, self._count_tokens(reply, most))
                return reply
        raise AssertionError("the last attempt returns or raises")

    def _wait(self, error: Passing, attempt: int, retries: int) -> None:
        """Wait before another attempt, as long as the server wishes, or longer each time; or give up."""
        if attempt == retries or (error.after or 0) > _LONGEST_ASKED_WAIT_S:
            asks = f", and asks to wait {error.after:.0f} s" if error.after else ""
            raise ServerError(
                f"{error}{asks}. Given up after {attempt + 1} attempts; what was answered is kept: run `snakemake "
                "classify` again later"
            ) from None
        longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**attempt)
        # At random, so that requests that failed together do not come back together.
        seconds = random.uniform(longest / 2, longest) if error.after is None else error.after + random.uniform(0, 0.5)
        log.warning("%s; attempt %d of %d in %.1f s", error, attempt + 2, retries + 1, seconds)
        if self._shared.stop.wait(seconds):
            raise _GaveUp

    def _count_request(self, request: dict) -> None:
        with self._shared.guard:
            self.cost.requests += 1
            self.cost.bytes += len(json.dumps(request))

    def _count_tokens(self, reply: Reply, most: int) -> int:
        """Add up what the server counted; where it counts nothing, the upper estimate is what was spent."""
        if reply.prompt_tokens is None or reply.completion_tokens is None:
            return most
        spent = reply.prompt_tokens + reply.completion_tokens
        with self._shared.guard:
            self.cost.prompt_tokens += reply.prompt_tokens
            self.cost.completion_tokens += reply.completion_tokens
            self._shared.dearest = max(self._shared.dearest, reply.prompt_tokens)
        if spent > most:
            log.warning(
                "a request took %d tokens, more than was reckoned with (%d): raise classify.image_tokens", spent, most
            )
        return spent


def request_of(conversation: list[dict], prompt: Prompt, settings: Mapping) -> dict:
    """Return all that is sent, but the key."""
    schema = {"name": "cluster", "strict": True, "schema": prompts.answer_schema(prompt)}
    form = {
        "schema": {"response_format": {"type": "json_schema", "json_schema": schema}},
        "json": {"response_format": {"type": "json_object"}},
        "text": {},
    }[settings["structured"]]
    own = settings["parameters"]
    if not {"max_tokens", "max_completion_tokens"} & set(own):
        # Others than OpenAI and Azure know the older name only.
        old = settings["base_url"] and not settings["azure_api_version"]
        form["max_tokens" if old else "max_completion_tokens"] = settings["max_tokens"]
    return {"model": settings["model"], "messages": conversation, **form, **own}


def prompt_tokens(request: dict, settings: Mapping) -> int:
    """Return an upper estimate of the tokens that a request takes, without those of the answer."""
    text, pictures = 0, 0
    for message in request["messages"]:
        parts = message["content"] if isinstance(message["content"], list) else [{"text": message["content"]}]
        text += sum(len(part["text"].encode()) for part in parts if "text" in part)
        pictures += sum("image_url" in part for part in parts)
    text += len(json.dumps(request.get("response_format", {})))
    return text // _BYTES_PER_TOKEN + pictures * settings["image_tokens"]


def answer_tokens(settings: Mapping) -> int:
    """Return the most tokens that an answer can have."""
    own = settings["parameters"]
    return int(own.get("max_completion_tokens") or own.get("max_tokens") or settings["max_tokens"])


def document(
    clustering: Clustering,
    views: Sequence[Montage],
    votes: Mapping[str, dict],
    *,
    prompt: Prompt,
    model: str,
    host: str,
    cost: Cost,
) -> dict:
    """Return the content of ``classes.json`` (see `labels.model`), ``stopped`` not yet said.

    Parameters
    ----------
    clustering
        The clusters of the group.
    views
        All that there are to be asked about.
    votes
        By file of the view.
    prompt, model, host, cost
        What was asked, whom, where, and what it took.
    """
    clusters = []
    for entry in clustering.entries:
        own = [view for view in views if view.cluster == entry.id]
        told = [votes[view.file] for view in own if view.file in votes]
        word, share = verdict(told, len(own))
        clusters.append({"id": entry.id, "class": word, "share": share, "views": len(own), "votes": told})
    return {
        "clusterfirst": KIND,
        "version": VERSION,
        "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "model": model,
        "server": host,
        "prompt": {"name": prompt.name, "sha256": prompt.sha256},
        "clustering_sha256": clustering.fingerprint,
        "classes": prompt.classes,
        "clusters": clusters,
        "cost": {name: getattr(cost, name) for name in ("requests", "prompt_tokens", "completion_tokens", "cached")},
        "stopped": None,
    }
