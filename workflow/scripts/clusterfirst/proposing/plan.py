"""What classification would send, where, and what it may cost: nothing is sent."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from . import prompts
from .asking import answer_tokens, prompt_tokens, request_of
from .cache import Cache, digest
from .prompts import Prompt
from .views import Montage

_USUAL_ANSWER = 120
"""Tokens of a short rationale."""


@dataclass(frozen=True)
class Plan:
    """What a group comes to.

    Attributes
    ----------
    views, known : int
        Pictures, and those whose answer is known from before.
    bytes : int
        Of the pictures that would be sent.
    pixels : tuple of int
        The largest of them.
    prompt_tokens, completion_tokens : int
        Upper estimates of all requests, if no answer has to be asked for twice.
    usual_completion_tokens : int
        For short answers.
    """

    views: int
    known: int
    bytes: int
    pixels: tuple[int, int]
    prompt_tokens: int
    completion_tokens: int
    usual_completion_tokens: int


def reckon(
    views: Sequence[Montage],
    folder: str | os.PathLike,
    prompt: Prompt,
    settings: Mapping,
    *,
    address: str,
    cache: Cache,
) -> Plan:
    """Reckon what asking about views would come to; see `asking.Asker`."""
    known, sent, tokens, pixels = 0, 0, 0, (0, 0)
    for view in views:
        path = Path(folder, view.file)
        request = request_of(prompts.messages(prompt, view, path.read_bytes()), prompt, settings)
        if cache.get(digest(address, request)):
            known += 1
            continue
        sent += path.stat().st_size
        tokens += prompt_tokens(request, settings)
        with Image.open(path) as picture:
            pixels = max(pixels, picture.size)
    asked = len(views) - known
    most = answer_tokens(settings)
    return Plan(len(views), known, sent, pixels, tokens, asked * most, asked * min(most, _USUAL_ANSWER))


def price(settings: Mapping, prompt_tokens: float, completion_tokens: float) -> float | None:
    """Return what tokens cost, None where no price is set."""
    each = settings["price_in"], settings["price_out"]
    if None in each:
        return None
    return (prompt_tokens * each[0] + completion_tokens * each[1]) / 1e6


def told(group: str, plan: Plan, settings: Mapping, *, receivers: str, prompt: Prompt, folder: str) -> str:
    """Say it in words."""
    asked = plan.views - plan.known
    asks = f"model {settings['model']}, prompt {prompt.name}"
    lines = [f"{group}: {asked} pictures to {receivers}, {asks}; they lie in {folder}"]
    if plan.known:
        lines.append(f"  {plan.known} more are not sent: their answers are known")
    if asked:
        wide, high = plan.pixels
        lines.append(
            f"  {plan.bytes / 1e6:.1f} MB, up to {wide} × {high} px each; {asked} requests, twice as many at most"
        )
        lines.append(
            f"  about {plan.prompt_tokens:,} tokens in and {plan.usual_completion_tokens:,} out "
            f"(at most {plan.completion_tokens:,})"
        )
        usual = price(settings, plan.prompt_tokens, plan.usual_completion_tokens)
        most = price(settings, 2 * plan.prompt_tokens, 2 * plan.completion_tokens)
        lines.append(
            "  set classify.price_in and price_out for the cost"
            if usual is None
            else f"  cost: about {usual:.2f}, at most about {most:.2f} (in the currency of classify.price_in)"
        )
    return "\n".join(lines)
