"""What a model's answer says, if it says something that can be used."""

from __future__ import annotations

import json
import math
import re

_FENCED = re.compile(r"```(?:json)?\s*(\{.*\})\s*```", re.DOTALL)
_LONGEST = 2000


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
    except ValueError as error:
        raise BadAnswer(f"it is not valid JSON ({error})") from error
    if not isinstance(found, dict):
        raise BadAnswer("it is not a JSON object")
    return found


def _word(given: object, words: list[str]) -> str:
    by_word = {word.casefold(): word for word in words}
    if not isinstance(given, str) or given.strip().casefold() not in by_word:
        raise BadAnswer(f"class {json.dumps(given, ensure_ascii=False)[:100]} is not one of {', '.join(words)}")
    return by_word[given.strip().casefold()]


def _confidence(given: object) -> float:
    number = float(given) if isinstance(given, int | float) and not isinstance(given, bool) else math.nan
    if not 0 <= number <= 1:
        raise BadAnswer("confidence is not a number from 0 to 1")
    return round(number, 4)


def _text(given: object) -> str:
    if not isinstance(given, str):
        raise BadAnswer("rationale is not text")
    return " ".join(given.split())[:_LONGEST]
