"""The pages and their files."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fastapi import APIRouter
from fastapi.exceptions import HTTPException
from fastapi.responses import FileResponse, Response

STATIC = Path(__file__).parent.parent / "static"
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".json": "application/json",
}

router = APIRouter()


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
