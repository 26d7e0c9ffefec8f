"""Who may ask what: every request passes here first, and is refused unless all is well."""

from __future__ import annotations

import hmac
import ipaddress
import json
import secrets
import socket
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

TOKEN = "clusterfirst_token"
MOST_BYTES = 4 << 20
"""Of a body: a lasso around 500,000 scattered cells takes some 3 MB."""

MOST_IMPORTED = 50 << 20
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; object-src 'none'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Refused(Exception):
    """A request is not answered."""

    def __init__(self, status: int, why: str):
        super().__init__(why)
        self.status = status


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach what is bound to a host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware.

    - Host must be this machine's name for itself: another page's name that was made to point here is refused
      (DNS rebinding). On loopback any port passes, as it differs behind an SSH tunnel.
    - A request that a page of another origin makes is refused, by Origin and Sec-Fetch-Site.
    - POST carries JSON and ``X-Clusterfirst: 1``, which no form and no simple request of another site can.
    - A body is read up to a limit, whatever it says of its length.
    - Bound to anything but loopback, a token is wanted: ``/?token=…`` puts it into a cookie that scripts cannot read.

    Parameters
    ----------
    host
        What the server is bound to.
    names
        Further names that it is reached by.
    """

    def __init__(self, host: str, *, names: tuple[str, ...] = ()):
        self.open_to_others = not is_loopback(host)
        self.token = secrets.token_urlsafe(24) if self.open_to_others else None
        self._any_address = host in ("0.0.0.0", "::")
        self._names = {host.lower(), *(name.lower() for name in names)}
        if self.open_to_others:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        self._names |= _LOOPBACK
        self._app = None

    def around(self, app) -> Guard:
        """Guard an application."""
        self._app = app
        return self

    async def __call__(self, scope, receive, send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no web sockets here: the server closes what is not accepted
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            self._check_source(scope, headers)
            if self._is_first_visit(scope):
                await _answer(send, 303, b"", [("Location", "/"), ("Set-Cookie", self._cookie())])
                return
            self._check_token(scope, headers)
            self._check_kind(scope, headers)
            body = await _read(receive, headers, _limit(scope["path"]))
        except Refused as refusal:
            text = json.dumps({"error": str(refusal)}).encode()
            # The rest of a body that was not read would be taken for the next request.
            await _answer(send, refusal.status, text, [("Content-Type", "application/json"), ("Connection", "close")])
            return
        await self._app(scope, _replay(body, receive), _with_headers(send))

    def _check_source(self, scope, headers: dict[str, str]) -> None:
        if sum(name.lower() == b"host" for name, _ in scope["headers"]) != 1:
            raise Refused(400, "A request names its host once")
        host = _host_of(headers["host"])
        if host is None or not (host in self._names or (self._any_address and _is_address(host))):
            raise Refused(421, f"This server is not {headers['host']!r}. Open the address that it printed")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != headers["host"].lower():
            raise Refused(403, "Requests from other sites are refused")
        site = headers.get("sec-fetch-site", "same-origin")
        # Typed addresses and bookmarks have 'none'; links from elsewhere may open the page, nothing else.
        if site not in ("same-origin", "none") and not _opens_page(scope, headers):
            raise Refused(403, "Requests from other sites are refused")

    def _is_first_visit(self, scope) -> bool:
        if not self.token or scope["method"] != "GET" or scope["path"] != "/":
            return False
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return bool(given) and hmac.compare_digest(given.encode(), self.token.encode())

    def _cookie(self) -> str:
        return f"{TOKEN}={self.token}; HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000"

    def _check_token(self, _scope, headers: dict[str, str]) -> None:
        if not self.token:
            return
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(TOKEN)
        except CookieError:
            cookie = None
        if cookie is None or not hmac.compare_digest(cookie.value.encode(), self.token.encode()):
            raise Refused(401, "A token is needed: open the address that the server printed in its terminal")

    @staticmethod
    def _check_kind(scope, headers: dict[str, str]) -> None:
        if scope["method"] in ("GET", "HEAD"):
            return
        if scope["method"] != "POST":
            raise Refused(405, "Only GET and POST are answered")
        if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            raise Refused(415, "Only JSON is taken")
        if headers.get("x-clusterfirst") != "1":
            raise Refused(403, "The header X-Clusterfirst is missing")


def _host_of(header: str) -> str | None:
    try:
        parts = urlsplit(f"//{header}")
        parts.port  # noqa: B018  an absurd port raises
    except ValueError:
        return None
    bare = not (parts.path or parts.query or parts.fragment or parts.username is not None)
    return (parts.hostname or "").lower() or None if bare else None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _opens_page(scope, headers: dict[str, str]) -> bool:
    return scope["method"] == "GET" and scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"


def _limit(path: str) -> int:
    return MOST_IMPORTED if path.startswith("/api/groups/") and path.endswith("/import") else MOST_BYTES


async def _read(receive, headers: dict[str, str], limit: int) -> bytes:
    """Read a body, and no more of it than the limit, however long it says it is."""
    too_large = Refused(413, f"The request is larger than {limit >> 20} MB")
    try:
        if int(headers.get("content-length", 0)) > limit:
            raise too_large
    except ValueError:
        raise Refused(400, "Content-Length is no number") from None
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refused(400, "The request broke off")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise too_large
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes, receive):
    """Hand on a body that was read already; after it, what the server has to say."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message():
        return waiting.pop() if waiting else await receive()

    return next_message


def _with_headers(send):
    async def send_on(message):
        if message["type"] == "http.response.start":
            own = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", []), *own]}
        await send(message)

    return send_on


async def _answer(send, status: int, body: bytes, headers: list[tuple[str, str]]) -> None:
    every = [*headers, ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    raw = [(name.lower().encode(), value.encode()) for name, value in every]
    await _with_headers(send)({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
