"""What all routes ask of a request: who is it, of which group or slide; and how they answer."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

from fastapi import Request
from fastapi.exceptions import HTTPException
from fastapi.responses import Response

from ..cells import results

WHO = "clusterfirst_who"
"""The cookie that says who somebody is."""

NAME = re.compile(r"[^\x00-\x1f\x7f]{1,60}")


def person(request: Request) -> str | None:
    """Return how somebody is called, None if nobody knows."""
    told = unquote(request.cookies.get(WHO, ""))
    return told if NAME.fullmatch(told) else request.app.state.desk.name


def known_person(request: Request) -> str:
    """Return how somebody is called; labels of nobody are refused."""
    if not (who := person(request)):
        raise HTTPException(403, "Say who you are first: labels are kept with a name")
    return who


def session_of(request: Request, group: str):
    """Return a group's session, or answer 404."""
    if group not in request.app.state.desk.results.groups:
        raise HTTPException(404, "There is no such group of cells")
    return request.app.state.desk.session(group)


def slide_of(request: Request, slide: str) -> results.SlideInfo:
    """Return what is known of a slide, or answer 404."""
    try:
        return request.app.state.desk.results.slides[slide]
    except KeyError:
        raise HTTPException(404, "There is no such slide") from None


def answer(data: dict) -> Response:
    """Answer with JSON. Not through FastAPI's encoder, which walks over every number of every list."""
    return Response(
        json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")),
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
