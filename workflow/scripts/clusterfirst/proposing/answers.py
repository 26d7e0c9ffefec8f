"""What a model's answer says, if it says something that can be used."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ..io import log

_KEYS = ("class", "confidence", "rationale")
_THOUGHT = re.compile(r"</think(?:ing)?>|\[/THINK\]", re.IGNORECASE)
_THINKS = re.compile(r"<think(?:ing)?>|\[THINK\]", re.IGNORECASE)
"""Servers that do not part a model's thoughts from its answer leave these in; the first may be missing."""
_NUMBER = re.compile(r"\s*(?P<number>\d*[.,]?\d+)\s*(?P<percent>%?)\s*", re.ASCII)
_SURELY_PERCENT = 10
_LONGEST = 2000
_ODD = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class BadAnswer(Exception):
    """An answer that cannot be used; the message says why, so that the model can be told."""


def parse(text: str, words: list[str]) -> dict:
    """Read an answer.

    Parameters
    ----------
    text
        What the model wrote: a JSON object, also in a code fence, with words around it, or after thoughts.
    words
        Classes that it may name.

    Returns
    -------
    dict
        ``class`` (one of `words`), ``confidence`` (0 to 1), ``rationale``.

    Raises
    ------
    BadAnswer
        It is no JSON object, or several, lacks something, or names another class.
    """
    found = _object(text)
    missing = [key for key in _KEYS if key not in found]
    if missing:
        raise BadAnswer(f"{', '.join(missing)} is missing")
    return {
        "class": _word(found["class"], words),
        "confidence": _confidence(found["confidence"]),
        "rationale": _text(found["rationale"]),
    }


def _object(text: str) -> dict:
    """Return the one object of the text that is an answer, whatever stands around it, braces included."""
    spoken = _spoken(text)
    found = list(_objects(spoken))
    if not found:
        try:
            json.loads(spoken[spoken.find("{") : spoken.rfind("}") + 1])
        except (ValueError, RecursionError) as error:
            raise BadAnswer(f"it is not valid JSON ({error})") from error
        raise BadAnswer("it is not a JSON object")
    # What holds none of the keys is something that the model says of the cells.
    answers = [one for one in found if any(key in one for key in _KEYS)] or found[-1:]
    if any(one != answers[0] for one in answers):
        raise BadAnswer(f"it holds {len(answers)} different answers: give one")
    return answers[0]


def _spoken(text: str) -> str:
    """Return what follows a model's thoughts, if it tells them; they are drafts, and no answer."""
    try:
        if isinstance(json.loads(text), dict):
            return text
    except (ValueError, RecursionError):
        pass
    *_, spoken = _THOUGHT.split(text)
    if _THINKS.search(spoken):
        raise BadAnswer("it ends among thoughts: give the answer after them")
    return spoken


def _objects(text: str) -> Iterator[dict]:
    """Yield the JSON objects of a text, none of which lies inside another."""
    decoder, at = json.JSONDecoder(object_pairs_hook=_once), text.find("{")
    while at >= 0:
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            yield found
        at = text.find("{", end)


def _once(pairs: list[tuple[str, Any]]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadAnswer("it says something twice")
    return found


def _word(given: object, words: list[str]) -> str:
    by_word = {word.casefold(): word for word in words}
    if not isinstance(given, str) or given.strip().casefold() not in by_word:
        told = json.dumps(given[:100]) if isinstance(given, str) else "that is no text"
        raise BadAnswer(f"class {told} is not one of {', '.join(words)}")
    return by_word[given.strip().casefold()]


def _confidence(given: object) -> float:
    """Return a number from 0 to 1, also of a text, and of percents where that is beyond doubt: 8 may be of 10."""
    number = None if isinstance(given, bool) else given
    percent = False
    if isinstance(given, str) and (written := _NUMBER.fullmatch(given)):
        number, percent = float(written["number"].replace(",", ".")), bool(written["percent"])
    if not isinstance(number, int | float) or not 0 <= number <= 100:
        raise BadAnswer("confidence is not a number from 0 to 1")
    if number <= 1 and not percent:
        return round(float(number), 4)
    if number <= (1 if percent else _SURELY_PERCENT):
        raise BadAnswer("confidence is not a number from 0 to 1")
    log.info("the model's confidence of %s was taken for %g %%", json.dumps(given), number)
    return round(number / 100, 4)


def _text(given: object) -> str:
    if not isinstance(given, str):
        raise BadAnswer("rationale is not text")
    return harmless(" ".join(given.split())[:_LONGEST])


def harmless(text: str) -> str:
    """Return a text without what terminals obey, what turns lines around, and what no file can hold."""
    return _ODD.sub("?", text)
