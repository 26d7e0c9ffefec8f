"""What people do, told to all others as it happens."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from .requests import person, session_of
from .session import Session

_HEARTBEAT_S = 15
_MOST_WAITING = 1000

router = APIRouter()


@router.get("/api/groups/{group:path}/events")
async def events(request: Request, group: str, slide: str | None = None) -> Response:
    """Server-sent events of what people do: ``{"seq", "who", "action", "said"}``, the last being the action in words.

    ``{"holders"}`` tells that somebody came or went. Who listens is present, on `slide` if given.
    """
    session = await asyncio.to_thread(session_of, request, group)
    slides = {member.id for member in session.group.info.slides}
    return StreamingResponse(
        stream(request, session, slide if slide in slides else None),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def stream(request: Request, session: Session, slide: str | None) -> AsyncIterator[str]:
    """Yield events as they are sent, until the client goes."""
    loop, queue, token = asyncio.get_running_loop(), asyncio.Queue(_MOST_WAITING), secrets.token_hex(8)

    def listener(event: dict) -> None:
        loop.call_soon_threadsafe(_put, queue, event)

    # In threads: both wait for whoever is at work on the session.
    joined = loop.run_in_executor(None, session.presence.join, listener, token, person(request) or "somebody", slide)
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
        joined.add_done_callback(lambda _: loop.run_in_executor(None, session.presence.leave, listener, token))


def _put(queue: asyncio.Queue, event: dict) -> None:
    # A browser that has slept through a thousand events asks for the state when it wakes: the last says so too.
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(event)
