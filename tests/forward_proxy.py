"""A forward proxy on this machine that remembers what it gets to see."""

from __future__ import annotations

import http.client
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from .serving import serving

PASSWORD = "open%20sesame"
VARIABLES = [name for word in ("http", "https", "all") for name in (f"{word}_proxy", f"{word}_proxy".upper())]


@dataclass
class ForwardProxy:
    """What came by: method, address, headers, body."""

    seen: list[tuple[str, str, dict, bytes]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        """As variables have it, with a password."""
        return f"http://me:{PASSWORD}@127.0.0.1:{self.port}"

    @property
    def pictures(self) -> int:
        return sum(b"data:image" in body for *_, body in self.seen)

    def environment(self) -> dict[str, str]:
        """All variables by which programs are told of a proxy."""
        return dict.fromkeys(VARIABLES, self.url) | {"no_proxy": "", "NO_PROXY": ""}


@contextmanager
def running():
    """Yield a `ForwardProxy` that passes on what is not encrypted, and refuses to tunnel."""
    state = ForwardProxy()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.seen.append((self.command, self.path, headers, body))
            if self.command == "CONNECT":
                self.send_error(502)
                return
            there = urlsplit(self.path)
            connection = http.client.HTTPConnection(there.netloc, timeout=10)
            own = {name: value for name, value in headers.items() if name not in ("host", "proxy-authorization")}
            connection.request(self.command, there.path, body, own)
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            self.send_header("content-type", answer.headers.get("content-type", "text/plain"))
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        do_GET = do_HEAD = do_POST = do_CONNECT = pass_on

        def log_message(self, *_) -> None:
            pass

    with serving(Handler) as state.port:
        yield state
