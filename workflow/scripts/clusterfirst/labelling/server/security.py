"""Who may ask what: every request passes here first, and is refused unless all is well."""

from __future__ import annotations

import hmac
import ipaddress
import json
import secrets
import socket
from urllib.parse import parse_qs, urlsplit

TOKEN = "clusterfirst_token"
"""The cookie is called so, and by the port: browsers send cookies to all ports of a host, where other apps may run."""

MOST_BYTES = 4 << 20
"""Of a body: a lasso around 500,000 scattered cells takes some 3 MB."""

MOST_IMPORTED = 50 << 20
_COOKIE = "HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000"
# Not a redirect: whoever comes from elsewhere (a file, a link) would go on without a cookie that is strict.
_WELCOME = b'<!doctype html><meta http-equiv="refresh" content="0; url=/">'
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
    - A token is wanted, on loopback, too: other users of a shared machine reach that as well. ``/?token=…`` puts it
      into a cookie that scripts cannot read.

    Parameters
    ----------
    host
        What the server is bound to.
    names
        Further names that it is reached by.
    wants_token
        False lets in everybody who reaches the host.

    Attributes
    ----------
    token : str or None
        New for every guard; None if none is wanted.
    """

    def __init__(self, host: str, *, names: tuple[str, ...] = (), wants_token: bool = True):
        self.token = secrets.token_urlsafe(24) if wants_token else None
        self._any_address = host in ("0.0.0.0", "::")
        self._names = {host.lower(), *(name.lower() for name in names)}
        if not is_loopback(host):
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
                cookie = f"{cookie_name(headers['host'])}={self.token}; {_COOKIE}"
                await _answer(send, 200, _WELCOME, ("Content-Type", "text/html; charset=utf-8"), ("Set-Cookie", cookie))
                return
            self._check_token(headers)
            self._check_kind(scope, headers)
            body = await _read(receive, headers, _limit(scope["path"]))
        except Refused as refusal:
            # The rest of a body that was not read would be taken for the next request.
            await _answer(send, refusal.status, *_refusal(refusal, headers), ("Connection", "close"))
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

    def _check_token(self, headers: dict[str, str]) -> None:
        if not self.token:
            return
        given = _cookies(headers.get("cookie", "")).get(cookie_name(headers["host"]), "")
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            raise Refused(401, "A token is needed: open the address that clusterfirst-label printed in its terminal")

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


def cookie_name(host: str) -> str:
    """Return what the cookie with the token is called, by what a request says its host is, and by which port.

    The port is the browser's, not ours: behind two SSH tunnels, two servers may have the same port.
    """
    return f"{TOKEN}_{urlsplit(f'//{host}').port or 80}"


def _cookies(header: str) -> dict[str, str]:
    """Read cookies. Those of other apps on this host come, too, and may be such as `http.cookies` gives up at."""
    pairs = (part.partition("=") for part in header.split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _opens_page(scope, headers: dict[str, str]) -> bool:
    return scope["method"] == "GET" and scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"


def _refusal(refusal: Refused, headers: dict[str, str]) -> tuple[bytes, tuple[str, str]]:
    """Say why: to a person who opened a page in plain words, else in JSON."""
    if headers.get("sec-fetch-mode") == "navigate":
        return str(refusal).encode(), ("Content-Type", "text/plain; charset=utf-8")
    return json.dumps({"error": str(refusal)}).encode(), ("Content-Type", "application/json")


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


async def _answer(send, status: int, body: bytes, *headers: tuple[str, str]) -> None:
    every = [*headers, ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    raw = [(name.lower().encode(), value.encode()) for name, value in every]
    await _with_headers(send)({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
