"""The routes of the labelling app: what can be asked over HTTP, and nothing else.

Errors are ``{"error": "what is wrong and what to do"}``. Ids of groups and slides are looked up among those that were
found when the server started, never joined to paths. Besides what the routes' docstrings say:

- Who somebody is lies in a cookie that ``POST /api/who`` sets; else it is ``--name``; else ``/api/project`` says
  ``"who": null``, the page asks, and actions are refused (403) until it has told.
- Whatever changes something is a POST with JSON and the header ``X-Clusterfirst: 1`` (see `security`).
- Blind evaluation is a router of its own, listed in `ROUTERS`; it finds what is open as ``request.app.state.desk`` (a
  `Desk`), and who asks with `asking`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import HTTPException, RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

import clusterfirst

from ...io import ClusterfirstError
from ..blind import routes as blind
from ..cells import results
from ..cells.outlines import BLOCK_PX
from ..record.journal import Ended, Held
from . import exchange
from .requests import NAME, WHO, answer, known_person, person, session_of, slide_of
from .security import Guard
from .session import Conflict, Stale, brief
from .view import DEFAULT_CLASSES
from .workspace import Desk

log = logging.getLogger(__name__)

STATIC = Path(__file__).parent.parent / "static"
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".json": "application/json",
}
_IMMUTABLE = {"Cache-Control": "private, max-age=31536000, immutable"}
_HOURLY = {"Cache-Control": "private, max-age=3600"}
_HEARTBEAT_S = 15
_HOW = {"base", "overrules", "fingerprint"}

router = APIRouter()


class ActionRequest(BaseModel):
    """An action that a browser asks for."""

    base: int = Field(ge=0)
    id: str = Field(pattern=r"^[A-Za-z0-9-]{8,64}$")
    action: dict
    overrules: int = Field(default=0, ge=0)
    fingerprint: str | None = None


class WhoRequest(BaseModel):
    """How somebody wants to be called."""

    who: str


class CarryRequest(BaseModel):
    """Which older clustering's labels are to be taken over."""

    id: str = Field(pattern=r"^[A-Za-z0-9-]{8,64}$")
    fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$")


class ExportRequest(BaseModel):
    """What is to be written: labels for the workflow, or GeoJSON for QuPath."""

    format: Literal["labels", "qupath"] = "labels"


def create_app(desk: Desk, guard: Guard) -> Guard:
    """Put the app together.

    Parameters
    ----------
    desk
        What is open.
    guard
        Who may ask.

    Returns
    -------
    Guard
        The ASGI application, guarded.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.loop = asyncio.get_running_loop()
        yield
        desk.close()

    # The generated pages of documentation load scripts from elsewhere: they stay off.
    app = FastAPI(title="clusterfirst", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.state.desk = desk
    app.add_exception_handler(ClusterfirstError, _mendable)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(Exception, _unexpected)
    for part in ROUTERS:
        app.include_router(part)
    return guard.around(app)


@router.get("/")
def index() -> Response:
    """The page."""
    return _static("index.html")


@router.get("/static/{name:path}")
def static(name: str) -> Response:
    """Files of the page."""
    return _static(name)


def _static(name: str) -> Response:
    # Looked up among the files that there are: no path is made of what was asked for.
    path = _files(STATIC).get(name)
    if path is None:
        raise HTTPException(404, "There is no such page")
    return FileResponse(path, media_type=_KINDS[path.suffix], headers={"Cache-Control": "no-cache"})


@cache
def _files(folder: Path) -> dict[str, Path]:
    """Return the files of the page by name; looked up once."""
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.suffix in _KINDS}


@router.get("/api/project")
def project(request: Request) -> dict:
    """What can be labelled. ``left_out`` says of folders why they are not offered."""
    desk: Desk = request.app.state.desk
    return {
        "version": clusterfirst.__version__,
        "who": person(request),
        "classes_default": list(DEFAULT_CLASSES),
        "left_out": desk.results.left_out,
        "groups": [
            {
                "id": group.id,
                "name": group.name,
                "cells": group.cells,
                "clusters": group.clusters,
                "slides": [
                    {
                        "id": slide.id,
                        "width": slide.width,
                        "height": slide.height,
                        "mpp": slide.mpp,
                        "start": start,
                        "cells": slide.cells,
                    }
                    for slide, start in zip(group.slides, group.starts, strict=False)
                ],
            }
            for group in desk.results.groups.values()
        ],
    }


@router.post("/api/who")
def who(request: Request, asked: WhoRequest) -> Response:
    """Say how one wants to be called: ``{"who": "Ada"}``."""
    name = asked.who.strip()
    if not NAME.fullmatch(name):
        raise HTTPException(400, "A name has 1 to 60 characters")
    told = JSONResponse({"who": name})
    told.set_cookie(WHO, quote(name), max_age=31_536_000, httponly=True, samesite="strict")
    return told


@router.get("/api/groups/{group:path}/cells.bin")
def cells(request: Request, group: str) -> Response:
    """All cells, see `results.pack`. Ask with ``?v=<fingerprint>``: the answer is kept by browsers for good."""
    found = session_of(request, group).group
    tag = f'"{found.fingerprint}"'
    headers = {"ETag": tag, **(_IMMUTABLE if "v" in request.query_params else {"Cache-Control": "no-cache"})}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(results.pack(found), media_type="application/octet-stream", headers=headers)


@router.get("/api/groups/{group:path}/state")
def state(request: Request, group: str) -> Response:
    """See `BrowserState.of`; and ``can_undo``, ``can_redo``, ``holders``, ``older`` (`earlier.found`), ``recomputed``.

    ``recomputed`` says that cells were clustered anew since the server started: it must be started again.
    """
    return answer(session_of(request, group).state(person(request) or ""))


@router.get("/api/groups/{group:path}/review")
def review(request: Request, group: str, cluster: int, count: int = 24) -> dict:
    """Cells of a cluster to look at, see `Session.review`."""
    return session_of(request, group).review(cluster, min(max(count, 1), 500))


@router.get("/api/groups/{group:path}/crops/{row}.jpg")
def crop(request: Request, group: str, row: int, um: float = 32, px: int = 96) -> Response:
    """A square picture of a cell: `um` µm wide, `px` pixels."""
    found = session_of(request, group).group
    if not 0 <= row < len(found):
        raise HTTPException(404, "There is no such cell")
    if not 4 <= um <= 500:
        raise HTTPException(400, "um is 4 to 500")
    slide, own = found.place(row)
    desk: Desk = request.app.state.desk
    ring = desk.outlines.of(slide).ring(own)
    data = desk.pixels.crop(slide.id, float(found.x[row]), float(found.y[row]), ring, um=um, px=px)
    # White paper that stands in for a slide must not outlast the slide's return.
    shown = desk.pixels.facts(slide.id)["problem"] is None
    return Response(data, media_type="image/jpeg", headers=_by_row(request) if shown else {"Cache-Control": "no-store"})


def _by_row(request: Request) -> dict[str, str]:
    """Rows are other cells after segmenting anew: browsers keep what they ask for with ``?v=<fingerprint>``."""
    return _HOURLY if "v" in request.query_params else {"Cache-Control": "no-cache"}


@router.get("/api/groups/{group:path}/events")
async def events(request: Request, group: str, slide: str | None = None) -> Response:
    """Server-sent events of what people do: ``{"seq", "who", "action", "said"}``, the last being the action in words.

    ``{"holders"}`` tells that somebody came or went. Who listens is present, on `slide` if given.
    """
    session = await asyncio.to_thread(session_of, request, group)
    slides = {member.id for member in session.group.info.slides}
    return StreamingResponse(
        _events(request, session, slide if slide in slides else None),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(request: Request, session, slide: str | None) -> AsyncIterator[str]:
    loop, queue, token = asyncio.get_running_loop(), asyncio.Queue(1000), secrets.token_hex(8)

    def listener(event: dict) -> None:
        loop.call_soon_threadsafe(_put, queue, event)

    # In threads: both wait for whoever is at work on the session.
    joined = loop.run_in_executor(None, session.join, listener, token, person(request) or "somebody", slide)
    try:
        await asyncio.shield(joined)
        while True:
            try:
                event = await asyncio.wait_for(queue.get(), _HEARTBEAT_S)
                yield f"data: {json.dumps(event, ensure_ascii=False)}\n\n"
            except TimeoutError:
                yield ": still here\n\n"
    finally:
        # Nothing can be awaited here once the client has gone; and who goes while joining leaves after that.
        joined.add_done_callback(lambda _: loop.run_in_executor(None, session.leave, listener, token))


def _put(queue: asyncio.Queue, event: dict) -> None:
    # A browser that has slept through a thousand events asks for the state when it wakes: the last says so too.
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(event)


@router.post("/api/groups/{group:path}/actions")
def act(request: Request, group: str, asked: ActionRequest) -> Response:
    """Do an action, see `Session.act` and `state`. It is on disk when the answer comes.

    Asked with the same ``id`` again it is done once. 409 with ``conflict`` if somebody else has changed the same since
    ``base``, unless the request ``overrules`` it (the ``seq`` of the conflict that was shown); 412 if ``fingerprint``
    (which should be sent) is not that of the clustering served.
    """
    session = session_of(request, group)
    done = session.act(known_person(request), asked.id, asked.action, **asked.model_dump(include=_HOW))
    return answer(done)


@router.post("/api/groups/{group:path}/carry")
def carry(request: Request, group: str, asked: CarryRequest) -> Response:
    """Take over labels of an older clustering, see `Session.carry`."""
    return answer(session_of(request, group).carry(known_person(request), asked.id, asked.fingerprint))


@router.post("/api/groups/{group:path}/export")
def export(request: Request, group: str, asked: ExportRequest) -> dict:
    """Write labels to files, see `labels.export` and `labels.export_qupath`: ``{"files": […]}``.

    Files are told relative to the folder that the results are in.
    """
    session, who = session_of(request, group), known_person(request)
    written = exchange.export_qupath(session) if asked.format == "qupath" else exchange.export(session, who)
    above = request.app.state.desk.results.folder.parent
    return {"files": [path.relative_to(above).as_posix() for path in written]}


@router.post("/api/groups/{group:path}/import")
async def import_labels(request: Request, group: str, slide: str) -> dict:
    """Take labels of a slide from GeoJSON or from an export, the body; see `labels.take_in`."""
    who, data = known_person(request), await request.body()

    def work() -> dict:
        session = session_of(request, group)
        if slide not in {member.id for member in session.group.info.slides}:
            raise HTTPException(404, "There is no such slide in this group")
        return exchange.take_in(session, who, slide_of(request, slide), data)

    return await asyncio.to_thread(work)


@router.get("/api/slides/{slide}")
def slide_facts(request: Request, slide: str) -> dict:
    """How a slide is cut into tiles, see `Pyramids.facts`; and the edge of blocks of outlines."""
    return {**request.app.state.desk.pixels.facts(slide_of(request, slide).id), "block": BLOCK_PX}


@router.get("/api/slides/{slide}/tiles/{level}/{column}_{row}.jpg")
def tile(request: Request, slide: str, level: int, column: int, row: int) -> Response:
    """A tile of the slide."""
    data = request.app.state.desk.pixels.tile(slide_of(request, slide).id, level, column, row)
    if data is None:
        raise HTTPException(404, "There is no such tile")
    return Response(data, media_type="image/jpeg", headers=_HOURLY)


@router.get("/api/slides/{slide}/outlines/{column}_{row}.bin")
def outlines(request: Request, slide: str, column: int, row: int) -> Response:
    """Outlines of a block, see `Outlines.pack`."""
    data = request.app.state.desk.outlines.of(slide_of(request, slide)).pack(column, row)
    return Response(data, media_type="application/octet-stream", headers=_by_row(request))


ROUTERS = [blind.router, router]
"""What the app is made of."""


def _mendable(_request: Request, error: ClusterfirstError) -> Response:
    if isinstance(error, Conflict):
        entry = error.entry
        told = {"seq": entry.seq, "who": entry.who, "time": entry.time, "action": brief(entry.action)}
        return JSONResponse({"error": str(error), "conflict": {**told, "said": error.said}}, 409)
    status = {Ended: 503, Held: 423, Stale: 412}.get(type(error), 400)
    return JSONResponse({"error": str(error)}, status)


def _malformed(_request: Request, error: RequestValidationError) -> Response:
    where = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()[:3])
    return JSONResponse({"error": f"The request is malformed: {where}"}, 400)


def _refused(_request: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


def _unexpected(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "Something went wrong in the server: see its terminal"}, 500)
