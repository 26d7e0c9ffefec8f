"""What a model's answer says, if it says something that can be used."""

from __future__ import annotations

import json
import re

_FENCED = re.compile(r"```(?:json)?\s*(\{.*\})\s*```", re.DOTALL)
_LONGEST = 2000
_ODD = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class BadAnswer(Exception):
    """An answer that cannot be used; the message says why, so that the model can be told."""


def parse(text: str, words: list[str]) -> dict:
    """Read an answer.

    Parameters
    ----------
    text
        What the model wrote: a JSON object, also in a code fence or with words around it.
    words
        Classes that it may name.

    Returns
    -------
    dict
        ``class`` (one of `words`), ``confidence`` (0 to 1), ``rationale``.

    Raises
    ------
    BadAnswer
        It is no JSON object, lacks something, or names another class.
    """
    found = _object(text)
    missing = [key for key in ("class", "confidence", "rationale") if key not in found]
    if missing:
        raise BadAnswer(f"{', '.join(missing)} is missing")
    return {
        "class": _word(found["class"], words),
        "confidence": _confidence(found["confidence"]),
        "rationale": _text(found["rationale"]),
    }


def _object(text: str) -> dict:
    fenced = _FENCED.search(text)
    inner = fenced.group(1) if fenced else text[text.find("{") : text.rfind("}") + 1]
    try:
        found = json.loads(inner)
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"it is not valid JSON ({error})") from error
    if not isinstance(found, dict):
        raise BadAnswer("it is not a JSON object")
    return found


def _word(given: object, words: list[str]) -> str:
    by_word = {word.casefold(): word for word in words}
    if not isinstance(given, str) or given.strip().casefold() not in by_word:
        told = json.dumps(given[:100]) if isinstance(given, str) else "that is no text"
        raise BadAnswer(f"class {told} is not one of {', '.join(words)}")
    return by_word[given.strip().casefold()]


def _confidence(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
        raise BadAnswer("confidence is not a number from 0 to 1")
    return round(float(given), 4)


def _text(given: object) -> str:
    if not isinstance(given, str):
        raise BadAnswer("rationale is not text")
    return harmless(" ".join(given.split())[:_LONGEST])


def harmless(text: str) -> str:
    """Return a text without what terminals obey, what turns lines around, and what no file can hold."""
    return _ODD.sub("?", text)
