"""Nobody gets in: a real server is asked, byte by byte, for what it must refuse."""

import contextlib
import json
import queue
import re
import socket
import stat
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvicorn

from clusterfirst.labelling import cli
from clusterfirst.labelling.cells.results import open_results
from clusterfirst.labelling.server import security
from clusterfirst.labelling.server.app import create_app
from clusterfirst.labelling.server.security import Guard
from clusterfirst.labelling.server.workspace import Workspace

from ..labelling_results import make

ACT = "/api/groups/a/actions"
CLASSES = {"do": "classes", "classes": [{"name": "tumour", "colour": "#d55e00"}]}
BODY = json.dumps({"base": 0, "id": "12345678", "action": CLASSES}).encode()
JSON = {"Content-Type": "application/json", "X-Clusterfirst": "1", "Cookie": "clusterfirst_who=Ada"}


class Server:
    """A running server, and what it is asked."""

    def __init__(self, port: int, guard: Guard):
        self.port, self.guard = port, guard
        self.lets_in = True
        self.host = f"127.0.0.1:{port}"

    def ask(self, method: str, target: str, headers: dict | None = None, body: bytes = b"", **more):
        """Send a request as it is written here, with nothing made tidy."""
        headers = {"Host": self.host, **(headers or {}), **more}
        if self.lets_in:
            told = [headers.get("Cookie"), self.cookie(headers["Host"])]
            headers["Cookie"] = "; ".join(filter(None, told))
        if body and "Transfer-Encoding" not in headers:
            headers = {"Content-Length": str(len(body)), **headers}
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items() if value)]
        return self.send("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body)

    def cookie(self, host: str | None = None) -> str:
        """Return what a browser sends that has opened the printed address."""
        return f"{security.cookie_name(host or self.host)}={self.guard.token}"

    def send(self, data: bytes):
        """Return status, headers and body of the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as line:
            got = b""
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                line.sendall(data)  # it may be refused before all of it is sent
            with contextlib.suppress(ConnectionResetError):
                while part := line.recv(1 << 16):
                    got += part
        head, _, rest = got.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        told = [entry.split(": ", 1) for entry in lines]
        return int(first.split()[1]), {name.lower(): value for name, value in told}, rest

    def seq(self) -> int:
        """Return how many actions were done."""
        return json.loads(self.ask("GET", "/api/groups/a/state")[2])["seq"]


@contextmanager
def running(results, guard: Guard):
    workspace = Workspace(open_results(results))
    listening = socket.create_server(("127.0.0.1", 0))
    settings = uvicorn.Config(
        create_app(workspace, guard), log_level="error", timeout_graceful_shutdown=1, **cli.PROTOCOL
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield Server(listening.getsockname()[1], guard)
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    (folder / "secret.txt").write_text("hidden")
    return make(folder, slides={"a": 200}, edge=1200)


@pytest.fixture(scope="module")
def server(results):
    with running(results, Guard("127.0.0.1")) as found:
        yield found


def test_what_is_allowed_is_answered(server):
    status, headers, body = server.ask("GET", "/api/project")
    assert status == 200
    assert json.loads(body)["groups"][0]["id"] == "a"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers
    assert server.ask("GET", "/api/project", Host="localhost:1234")[0] == 200, "an SSH tunnel has another port"
    assert server.ask("GET", "/api/project", Host=f"[::1]:{server.port}")[0] == 200
    assert server.ask("POST", ACT, JSON, BODY, Origin=f"http://{server.host}")[0] == 200
    assert server.seq() == 1


@pytest.mark.parametrize(
    "target",
    [
        "/../secret.txt",
        "/static/../secret.txt",
        "/static/../../../pyproject.toml",
        "/static/..%2fserver%2fapp.py",
        "/static/%2e%2e/server/app.py",
        "/static/viewer/..%2f..%2fcli.py",
        "/static/viewer/%2e%2e/index.html",
        "/static/%252e%252e%252fcli.py",
        "/static/..\\cli.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/index.html%00.png",
        "/api/groups/..%2f..%2fsecret.txt/state",
        "/api/groups/a%2f..%2fa/state",
        "/api/groups/a/../a/state",
        "/api/groups/%2e%2e/cells.bin",
        "/api/groups/a%00/state",
        "/api/slides/..%2fa",
        "/api/slides/../slides/a/tiles/0/0_0.jpg",
        "/api/slides/a/tiles/../../../secret.txt",
        "/api/slides/a/tiles/0/..%2f0_0.jpg",
        "/api/slides/secret.txt/tiles/0/0_0.jpg",
        "/results/a/clusters.json",
        "/labels/",
        "//",
        "/api/",
    ],
)
def test_paths_lead_nowhere(server, target):
    status, _, body = server.ask("GET", target)
    assert status in (400, 404), body[:200]
    assert b"hidden" not in body
    assert b"clusters" not in body


@pytest.mark.parametrize(
    "target",
    [
        "/api/slides/a/tiles/0/99999999999999999999_0.jpg",
        "/api/slides/a/tiles/-1/0_0.jpg",
        "/api/slides/a/tiles/1e9/0_0.jpg",
        "/api/slides/a/tiles/99999999999999/0_0.jpg",
        "/api/slides/a/outlines/99999999999999999999_0.bin",
        "/api/groups/a/crops/99999999999999999999.jpg",
        "/api/groups/a/crops/1.jpg?um=nan",
        "/api/groups/a/crops/1.jpg?um=1e308",
        "/api/groups/a/crops/1.jpg?px=99999999999999999999999",
        "/api/groups/a/review?cluster=99999999999999999999999&count=99999999999999999",
    ],
)
def test_absurd_numbers_do_no_harm(server, target):
    status, _, body = server.ask("GET", target)
    assert status in (200, 400, 404)
    assert len(body) < 200_000


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "127.0.0.1.evil.example",
        "localhost@evil.example",
        "127.0.0.1:x",
        "",
        "0.0.0.0",
    ],
)
def test_foreign_hosts_are_refused(server, host):
    request = f"GET /api/project HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    status, _, body = server.send(request)
    assert status in (400, 421)
    assert b"groups" not in body


def test_two_hosts_are_refused(server):
    request = f"GET /api/project HTTP/1.1\r\nHost: {server.host}\r\nHost: evil.example\r\n\r\n".encode()
    assert server.send(request)[0] == 400


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "origin", ["http://evil.example", "https://127.0.0.1.evil.example", "null", "http://localhost:1", "file://", "x"]
)
def test_foreign_origins_are_refused(server, origin, method):
    before = server.seq()
    status, _, _ = server.ask(method, ACT if method == "POST" else "/api/project", JSON, BODY, Origin=origin)
    assert status == 403
    assert server.seq() == before


def test_other_sites_are_refused_even_without_an_origin(server):
    tile = "/api/slides/a/tiles/0/0_0.jpg"
    for site in ("cross-site", "same-site"):
        assert server.ask("GET", tile, {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"})[0] == 403
        assert server.ask("GET", "/api/project", {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"})[0] == 403
    assert server.ask("GET", tile, {"Sec-Fetch-Site": "same-origin"})[0] == 200
    assert server.ask("GET", "/", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})[0] != 403


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": None}, 415),
        ({"X-Clusterfirst": None}, 403),
        ({"X-Clusterfirst": "0"}, 403),
    ],
)
def test_what_a_form_of_another_site_can_send_is_refused(server, change, status):
    before = server.seq()
    assert server.ask("POST", ACT, {**JSON, **change}, BODY)[0] == status
    assert server.seq() == before


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(server, method):
    status, headers, _ = server.ask(method, ACT, JSON)
    assert status in (403, 405)
    assert not any(name.startswith("access-control") for name in headers)


def test_bodies_that_say_they_are_huge_are_refused_unread(server):
    status, _, body = server.ask("POST", ACT, {**JSON, "Content-Length": str(security.MOST_BYTES + 1)}, b"{")
    assert (status, "larger than 4 MB" in json.loads(body)["error"]) == (413, True)


def test_bodies_that_turn_out_huge_are_refused_while_they_are_read(server):
    part = b"%x\r\n%s\r\n" % (1 << 16, b"x" * (1 << 16))
    count = security.MOST_BYTES // (1 << 16) + 2
    status, _, _ = server.ask("POST", ACT, {**JSON, "Transfer-Encoding": "chunked"}, part * count)
    assert status == 413
    status, _, body = server.ask("POST", ACT, {**JSON, "Transfer-Encoding": "chunked"}, part + b"0\r\n\r\n")
    assert (status, b"malformed" in body) == (400, True), "a small one is read"


def test_a_body_may_not_break_off(server):
    before = server.seq()
    with socket.create_connection(("127.0.0.1", server.port)) as line:
        headers = JSON | {"Cookie": f"{JSON['Cookie']}; {server.cookie()}"}
        lines = [f"POST {ACT} HTTP/1.1", f"Host: {server.host}", *(f"{k}: {v}" for k, v in headers.items())]
        line.sendall("\r\n".join([*lines, f"Content-Length: {len(BODY)}", "", ""]).encode() + BODY[:-1])
    time.sleep(0.1)
    assert server.seq() == before


def test_only_imports_may_be_larger():
    assert security._limit("/api/groups/a/import") == security.MOST_IMPORTED
    assert security._limit("/api/groups/a/actions") == security._limit("/import") == security.MOST_BYTES


def test_events_arrive(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as line, line.makefile("rb") as stream:
        cookie = f"Cookie: clusterfirst_who=Grace; {server.cookie()}\r\n"
        line.sendall(f"GET /api/groups/a/events?slide=a HTTP/1.1\r\nHost: {server.host}\r\n{cookie}\r\n".encode())
        events = (json.loads(text[6:]) for text in stream if text.startswith(b"data: "))
        (holder,) = next(events)["holders"]
        assert (holder["who"], holder["slide"]) == ("Grace", "a")
        seq = server.seq()
        body = json.dumps({"base": seq, "id": "an-event", "action": CLASSES}).encode()
        assert server.ask("POST", ACT, JSON, body)[0] == 200
        event = next(events)
        assert (event["seq"], event["who"], event["action"]) == (seq + 1, "Ada", CLASSES)
    for _ in range(200):
        if not json.loads(server.ask("GET", "/api/groups/a/state")[2])["holders"]:
            return
        time.sleep(0.05)
    pytest.fail("who went away is still said to be there")


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
def test_nobody_comes_in_without_the_token(results, server, bound):
    with server_for_others(results, bound) as other:
        token = other.guard.token
        for target in (
            "/",
            "/api/project",
            "/static/naming/main.js",
            "/static/blind.html",
            "/api/slides/a/tiles/0/0_0.jpg",
            "/api/groups/a/events",
            "/?token=",
            "/?token=x",
            f"/static/naming/main.js?token={token}",
        ):
            assert other.ask("GET", target)[0] == 401, target
        assert other.ask("POST", ACT, JSON, BODY)[0] == 401
        name = security.cookie_name(other.host)
        for wrong in ("", "x", token[:-1], token + "x", f"{token}é"):
            assert other.ask("GET", "/api/project", Cookie=f"{name}={wrong}")[0] == 401
        assert other.ask("GET", f"/api/project?token={token}")[0] == 401, "only the page takes it from the address"
        status, headers, body = other.ask("GET", f"/?token={token}")
        assert (status, b'url=/"' in body, token.encode() in body) == (200, True, False)
        assert "HttpOnly" in headers["set-cookie"]
        assert "SameSite=Strict" in headers["set-cookie"]
        cookie = headers["set-cookie"].split(";")[0]
        assert other.ask("GET", "/api/project", Cookie=cookie)[0] == 200
        among = f'username-localhost-8888="2|1:0|x"; theirs={{"a": 1}}; {cookie}; =; x'
        assert other.ask("GET", "/api/project", Cookie=among)[0] == 200, "cookies of other apps come, too"
        assert other.ask("GET", "/api/project", Cookie=cookie, Host="evil.example")[0] == 421
        assert other.ask("GET", "/api/project", Cookie=cookie, Origin="http://evil.example")[0] == 403
        address = other.ask("GET", "/api/project", Cookie=cookie, Host=f"192.0.2.7:{other.port}")
        assert address[0] == (200 if bound == "0.0.0.0" else 421)


@contextmanager
def server_for_others(results, bound):
    # Bound to loopback as tests must be, but guarded as if it were open to others; the other server holds the labels.
    with running(results, Guard(bound)) as found:
        found.lets_in = False
        yield found


def test_a_person_who_opens_a_page_without_token_reads_what_to_do(server):
    navigates = f"GET / HTTP/1.1\r\nHost: {server.host}\r\nSec-Fetch-Mode: navigate\r\n\r\n".encode()
    status, headers, body = server.send(navigates)
    assert (status, headers["content-type"]) == (401, "text/plain; charset=utf-8")
    assert b"open the address that clusterfirst-label printed" in body


def test_two_apps_on_one_host_do_not_take_each_others_cookie(server):
    assert security.cookie_name("localhost:8765") != security.cookie_name("localhost:8766")
    assert security.cookie_name("localhost") == security.cookie_name("localhost:80")
    tunnel = f"localhost:{server.port + 1}"
    first = server.ask("GET", f"/?token={server.guard.token}", Host=tunnel)[1]["set-cookie"]
    assert first.startswith(server.cookie(tunnel)), "the browser's port counts, not the server's"


def test_tokens_differ_and_can_be_done_without():
    assert Guard("0.0.0.0").token != Guard("0.0.0.0").token
    assert min(len(Guard(host).token) for host in ("10.0.0.1", "127.0.0.1", "localhost", "::1")) >= 32
    assert Guard("127.0.0.1", wants_token=False).token is None


@pytest.fixture
def command(results, monkeypatch):
    """Run the command up to where it would answer; return its status."""
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: [one.close() for one in sockets])
    return lambda *arguments: cli.main([str(argument) for argument in arguments])


def test_the_command_says_where_to_look(tmp_path, command, capsys):
    made = make(tmp_path, slides={"b": 30}, edge=600)
    assert command(made, "--port", 0, "--no-browser") == 0
    assert re.match(r"open http://localhost:\d+/\?token=[\w-]{32,} ", capsys.readouterr().out)
    other = make(tmp_path / "other", slides={"b": 30}, edge=600)
    assert command(other, "--port", 0, "--no-browser", "--no-token") == 0
    assert re.match(r"open http://localhost:\d+/ ", capsys.readouterr().out)
    with pytest.raises(SystemExit):
        command(made, "--port", 0, "--no-browser", "--no-token", "--host", "0.0.0.0")
    assert "can be reached from other machines" in capsys.readouterr().err


def test_the_browser_is_sent_to_the_token_by_a_file_that_only_its_owner_can_read(tmp_path, monkeypatch, capsys):
    made = make(tmp_path, slides={"b": 30}, edge=600)
    opened = queue.Queue()

    def look(url: str) -> None:
        path = Path(urlsplit(url).path)
        opened.put((url, path, stat.S_IMODE(path.stat().st_mode), path.read_text()))

    def run(self, sockets) -> None:
        kept.append(opened.get(timeout=10))
        sockets[0].close()

    kept = []
    monkeypatch.setattr(cli.webbrowser, "open", look)
    monkeypatch.setattr(uvicorn.Server, "run", run)
    assert cli.main([str(made), "--port", "0"]) == 0
    ((url, path, mode, text),) = kept
    address = capsys.readouterr().out.split()[1]
    assert url.startswith("file://")
    assert "token" not in url
    assert mode == 0o600
    assert f'url={address}"' in text
    assert not path.exists()


def test_without_room_for_that_file_the_app_runs_all_the_same(tmp_path, command, monkeypatch, capsys, caplog):
    made = make(tmp_path, slides={"b": 30}, edge=600)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cli.tempfile, "NamedTemporaryFile", full)
    monkeypatch.setattr(cli.webbrowser, "open", pytest.fail)
    assert command(made, "--port", 0) == 0
    assert "open http://localhost:" in capsys.readouterr().out
    assert "No space left" in caplog.text


def test_the_command_says_what_is_wrong(tmp_path, command, capsys, server, results):
    (tmp_path / "empty").mkdir()
    assert command(tmp_path / "empty", "--no-browser") == 1
    assert "ready to be labelled: run the workflow" in capsys.readouterr().err
    assert command(results, "--no-browser", "--port", server.port) == 1
    assert f"port {server.port} of 127.0.0.1 cannot be used" in capsys.readouterr().err
    server.seq()
    assert command(results, "--no-browser", "--port", 0) == 1
    assert "held by another server" in capsys.readouterr().err
