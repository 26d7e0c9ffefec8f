"""How errors become answers: ``{"error": "what is wrong and what to do"}``, and a status that the page understands."""

from __future__ import annotations

from fastapi import Request
from fastapi.exceptions import HTTPException, RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException

from ...io import ClusterfirstError
from ..record.journal import Ended, Held
from .session import Conflict, Stale
from .view import brief

_STATUS = {Ended: 503, Held: 423, Stale: 412}


def _mendable(_request: Request, error: ClusterfirstError) -> Response:
    if isinstance(error, Conflict):
        entry = error.entry
        conflict = {"seq": entry.seq, "who": entry.who, "time": entry.time, "action": brief(entry.action)}
        return JSONResponse({"error": str(error), "conflict": {**conflict, "said": error.said}}, 409)
    return JSONResponse({"error": str(error)}, _STATUS.get(type(error), 400))


def _malformed(_request: Request, error: RequestValidationError) -> Response:
    where = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()[:3])
    return JSONResponse({"error": f"The request is malformed: {where}"}, 400)


def _refused(_request: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


def _unexpected(_request: Request, _error: Exception) -> Response:
    return JSONResponse({"error": "Something went wrong in the server: see its terminal"}, 500)


HANDLERS = {
    ClusterfirstError: _mendable,
    RequestValidationError: _malformed,
    StarletteHTTPException: _refused,
    Exception: _unexpected,
}
"""By kind of error, what answers."""
