"""The routes of the labelling app: what can be asked over HTTP of groups, cells and slides.

Ids of groups and slides are looked up among those that were found when the server started, never joined to paths.
Besides what the routes' docstrings say:

- Who somebody is lies in a cookie that ``POST /api/who`` sets; else it is ``--name``; else ``/api/project`` says
  ``"who": null``, the page asks, and actions are refused (403) until it has told.
- Whatever changes something is a POST with JSON and the header ``X-Clusterfirst: 1`` (see `security`).
- What goes wrong is answered by `errors`.
"""

from __future__ import annotations

import asyncio
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.exceptions import HTTPException
from fastapi.responses import JSONResponse, Response

import clusterfirst

from ..cells.outlines import BLOCK_PX
from ..cells.packed import pack
from . import exports, imports
from .requests import (
    NAME,
    WHO,
    ActionRequest,
    CarryRequest,
    ExportRequest,
    WhoRequest,
    answer,
    known_person,
    person,
    session_of,
    slide_of,
    workspace_of,
)
from .view import DEFAULT_CLASSES

_IMMUTABLE = {"Cache-Control": "private, max-age=31536000, immutable"}
_HOURLY = {"Cache-Control": "private, max-age=3600"}
_HOW = {"base", "overrules", "fingerprint"}

router = APIRouter()


@router.get("/api/project")
def project(request: Request) -> dict:
    """What can be labelled. ``left_out`` says of folders why they are not offered."""
    results = workspace_of(request).results
    return {
        "version": clusterfirst.__version__,
        "who": person(request),
        "classes_default": list(DEFAULT_CLASSES),
        "left_out": results.left_out,
        "groups": [
            {
                "id": group.id,
                "name": group.name,
                "cells": group.cells,
                "clusters": group.clusters,
                "slides": [
                    {
                        "id": slide.id,
                        "width": slide.facts.width,
                        "height": slide.facts.height,
                        "mpp": slide.facts.mpp,
                        "start": rows.start,
                        "cells": slide.cells,
                    }
                    for slide, rows in group.spans()
                ],
            }
            for group in results.groups.values()
        ],
    }


@router.post("/api/who")
def who(request: Request, asked: WhoRequest) -> Response:
    """Say how one wants to be called: ``{"who": "Ada"}``."""
    name = asked.who.strip()
    if not NAME.fullmatch(name):
        raise HTTPException(400, "A name has 1 to 60 characters")
    response = JSONResponse({"who": name})
    response.set_cookie(WHO, quote(name), max_age=31_536_000, httponly=True, samesite="strict")
    return response


@router.get("/api/groups/{group:path}/cells.bin")
def cells(request: Request, group: str) -> Response:
    """All cells, see `packed.pack`. Ask with ``?v=<fingerprint>``: the answer is kept by browsers for good."""
    opened = session_of(request, group).group
    tag = f'"{opened.fingerprint}"'
    headers = {"ETag": tag, **(_IMMUTABLE if "v" in request.query_params else {"Cache-Control": "no-cache"})}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(pack(opened), media_type="application/octet-stream", headers=headers)


@router.get("/api/groups/{group:path}/state")
def state(request: Request, group: str) -> Response:
    """See `BrowserState.of`; and ``can_undo``, ``can_redo``, ``holders``, ``older`` (`earlier.others`), ``recomputed``.

    ``recomputed`` says that cells were clustered anew since the server started: it must be started again.
    """
    return answer(session_of(request, group).state(person(request) or ""))


@router.get("/api/groups/{group:path}/review")
def review(request: Request, group: str, cluster: int, count: int = 24) -> dict:
    """Cells of a cluster to look at, see `review.choose`."""
    return session_of(request, group).review(cluster, min(max(count, 1), 500))


@router.get("/api/groups/{group:path}/crops/{row}.jpg")
def crop(request: Request, group: str, row: int, um: float = 32, px: int = 96) -> Response:
    """A square picture of a cell: `um` µm wide, `px` pixels."""
    opened = session_of(request, group).group
    if not 0 <= row < len(opened):
        raise HTTPException(404, "There is no such cell")
    if not 4 <= um <= 500:
        raise HTTPException(400, "um is 4 to 500")
    slide, number = opened.place(row)
    workspace = workspace_of(request)
    ring = workspace.outlines.of(slide).ring(number)
    data = workspace.pixels.crop(slide.id, float(opened.x[row]), float(opened.y[row]), ring, um=um, px=px)
    # White paper that stands in for a slide must not outlast the slide's return.
    shown = workspace.pixels.facts(slide.id)["problem"] is None
    return Response(data, media_type="image/jpeg", headers=_by_row(request) if shown else {"Cache-Control": "no-store"})


def _by_row(request: Request) -> dict[str, str]:
    """Rows are other cells after segmenting anew: browsers keep what they ask for with ``?v=<fingerprint>``."""
    return _HOURLY if "v" in request.query_params else {"Cache-Control": "no-cache"}


@router.post("/api/groups/{group:path}/actions")
def act(request: Request, group: str, asked: ActionRequest) -> Response:
    """Do an action, see `Session.act` and `actions`. It is on disk when the answer comes.

    Asked with the same ``id`` again it is done once. 409 with ``conflict`` if somebody else has changed the same since
    ``base``, unless the request ``overrules`` it (the ``seq`` of the conflict that was shown); 412 if ``fingerprint``
    (which should be sent) is not that of the clustering served.
    """
    session = session_of(request, group)
    done = session.act(known_person(request), asked.id, asked.action, **asked.model_dump(include=_HOW))
    return answer(done)


@router.post("/api/groups/{group:path}/carry")
def carry(request: Request, group: str, asked: CarryRequest) -> Response:
    """Take over labels of an earlier clustering, see `Session.carry`."""
    return answer(session_of(request, group).carry(known_person(request), asked.id, asked.fingerprint))


@router.post("/api/groups/{group:path}/export")
def export(request: Request, group: str, asked: ExportRequest) -> dict:
    """Write labels to files, see `exports.export_labels` and `exports.export_qupath`: ``{"files": […]}``.

    Files are told relative to the folder that the results are in.
    """
    session, who = session_of(request, group), known_person(request)
    written = exports.export_qupath(session) if asked.format == "qupath" else exports.export_labels(session, who)
    above = workspace_of(request).results.folder.parent
    return {"files": [path.relative_to(above).as_posix() for path in written]}


@router.post("/api/groups/{group:path}/import")
async def import_labels(request: Request, group: str, slide: str) -> dict:
    """Take labels of a slide from GeoJSON or from an export, the body; see `imports.take_in`."""
    who, data = known_person(request), await request.body()

    def work() -> dict:
        session = session_of(request, group)
        if slide not in {member.id for member in session.group.info.slides}:
            raise HTTPException(404, "There is no such slide in this group")
        return imports.take_in(session, who, slide_of(request, slide), data)

    return await asyncio.to_thread(work)


@router.get("/api/slides/{slide}")
def slide_facts(request: Request, slide: str) -> dict:
    """How a slide is cut into tiles, see `Pyramids.facts`; and the edge of blocks of outlines."""
    return {**workspace_of(request).pixels.facts(slide_of(request, slide).id), "block": BLOCK_PX}


@router.get("/api/slides/{slide}/tiles/{level}/{column}_{row}.jpg")
def tile(request: Request, slide: str, level: int, column: int, row: int) -> Response:
    """A tile of the slide."""
    data = workspace_of(request).pixels.tile(slide_of(request, slide).id, level, column, row)
    if data is None:
        raise HTTPException(404, "There is no such tile")
    return Response(data, media_type="image/jpeg", headers=_HOURLY)


@router.get("/api/slides/{slide}/outlines/{column}_{row}.bin")
def outlines(request: Request, slide: str, column: int, row: int) -> Response:
    """Outlines of a block, see `Outlines.pack`."""
    data = workspace_of(request).outlines.of(slide_of(request, slide)).pack(column, row)
    return Response(data, media_type="application/octet-stream", headers=_by_row(request))
