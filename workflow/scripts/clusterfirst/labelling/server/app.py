"""The app, put together of its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from ..blind import routes as blind
from . import events, pages, routes
from .errors import HANDLERS
from .security import Guard
from .workspace import Workspace

ROUTERS = [blind.router, events.router, routes.router, pages.router]
"""What the app is made of. Each finds what is open as `requests.workspace_of`, and who asks as `requests.person`."""


def create_app(workspace: Workspace, guard: Guard) -> Guard:
    """Put the app together.

    Parameters
    ----------
    workspace
        What is open.
    guard
        Who may ask.

    Returns
    -------
    Guard
        The ASGI application, guarded.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        workspace.close()

    # The generated pages of documentation load scripts from elsewhere: they stay off.
    app = FastAPI(title="clusterfirst", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.state.workspace = workspace
    for error, answer in HANDLERS.items():
        app.add_exception_handler(error, answer)
    for router in ROUTERS:
        app.include_router(router)
    return guard.around(app)
