"""What all routes ask of a request: who is it, of which group or slide, what does it want; and how they answer."""

from __future__ import annotations

import json
import re
from typing import Literal
from urllib.parse import unquote

from fastapi import Request
from fastapi.exceptions import HTTPException
from fastapi.responses import Response
from pydantic import BaseModel, Field

from ..cells.results import SlideInfo
from .session import Session
from .workspace import Workspace

WHO = "clusterfirst_who"
"""The cookie that says who somebody is."""

NAME = re.compile(r"[^\x00-\x1f\x7f]{1,60}")
ID = r"^[A-Za-z0-9-]{8,64}$"
"""Of a request: asked twice, it is done once."""


class ActionRequest(BaseModel):
    """An action that a browser asks for."""

    base: int = Field(ge=0)
    id: str = Field(pattern=ID)
    action: dict
    overrules: int = Field(default=0, ge=0)
    fingerprint: str | None = None


class WhoRequest(BaseModel):
    """How somebody wants to be called."""

    who: str


class CarryRequest(BaseModel):
    """Which earlier clustering's labels are to be taken over."""

    id: str = Field(pattern=ID)
    fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$")


class ExportRequest(BaseModel):
    """What is to be written: labels for the workflow, or GeoJSON for QuPath."""

    format: Literal["labels", "qupath"] = "labels"


def workspace_of(request: Request) -> Workspace:
    """Return what the server has open."""
    return request.app.state.workspace


def person(request: Request) -> str | None:
    """Return how somebody is called, None if nobody knows."""
    name = unquote(request.cookies.get(WHO, ""))
    return name if NAME.fullmatch(name) else workspace_of(request).name


def known_person(request: Request) -> str:
    """Return how somebody is called; labels of nobody are refused."""
    if not (who := person(request)):
        raise HTTPException(403, "Say who you are first: labels are kept with a name")
    return who


def session_of(request: Request, group: str) -> Session:
    """Return a group's session, or answer 404."""
    if group not in workspace_of(request).results.groups:
        raise HTTPException(404, "There is no such group of cells")
    return workspace_of(request).session(group)


def slide_of(request: Request, slide: str) -> SlideInfo:
    """Return what is known of a slide, or answer 404."""
    try:
        return workspace_of(request).results.slides[slide]
    except KeyError:
        raise HTTPException(404, "There is no such slide") from None


def answer(data: dict) -> Response:
    """Answer with JSON. Not through FastAPI's encoder, which walks over every number of every list."""
    return Response(
        json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")),
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
