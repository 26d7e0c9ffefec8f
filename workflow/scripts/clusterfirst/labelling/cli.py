"""`clusterfirst-label results/`: open the labelling app."""

from __future__ import annotations

import argparse
import logging
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..io import ClusterfirstError, print_anything
from ..paths import written_out
from .server.security import Guard, is_loopback

log = logging.getLogger("clusterfirst")

PORT = 8765
PROTOCOL = {"http": "h11", "ws": "none", "lifespan": "on", "proxy_headers": False, "server_header": False}
"""How uvicorn is to speak, whatever else happens to be installed."""


def main(arguments: list[str] | None = None) -> int:
    """Start the server and open the page; return the exit status."""
    print_anything()
    given = _arguments(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        given.results = Path(written_out(given.results))
        given.slides = [Path(written_out(folder)) for folder in given.slides]
        repair(given) if given.repair else serve(given)
    except ClusterfirstError as error:
        print(f"clusterfirst-label: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ended: everything is on disk", file=sys.stderr)
    return 0


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("clusterfirst-label", description="Name clusters of cells in the browser.")
    parser.add_argument("results", help="the results folder of a run")
    parser.add_argument("--port", type=int, default=PORT, help=f"port to listen on (default {PORT}; 0: any free one)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default 127.0.0.1: this machine only; with anything else, the traffic is not "
        "encrypted: an SSH tunnel is better)",
    )
    parser.add_argument(
        "--no-token",
        action="store_true",
        help="let in every user of this machine without the token of the printed address",
    )
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="a further name of the server"
    )
    parser.add_argument("--name", help="your name, kept with your labels (default: the page asks)")
    parser.add_argument(
        "--slides",
        action="append",
        default=[],
        metavar="FOLDER",
        help="where slides are, if they moved",
    )
    parser.add_argument(
        "--repair",
        action="store_true",
        help="do not open the app, but mend journals that the disk has damaged: what is whole is kept, what is lost is "
        "said, and the damaged file stays beside",
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    given = parser.parse_args(arguments)
    if not 0 <= given.port <= 65535:
        parser.error("--port is 0 to 65535")
    if given.no_token and not is_loopback(given.host):
        parser.error(f"--no-token: {given.host} can be reached from other machines. Leave one of the two out")
    return given


def repair(given: argparse.Namespace) -> None:
    """Mend damaged journals, and say what became of them.

    Raises
    ------
    ClusterfirstError
        See `repair.repair_all`.
    """
    from .cells.results import open_results
    from .server.repair import repair_all

    print("\n".join(repair_all(open_results(given.results)) or ["no journal of labels is damaged"]))


def serve(given: argparse.Namespace) -> None:
    """Open the results and answer until told to end.

    Raises
    ------
    ClusterfirstError
        Packages are missing, the results cannot be opened, or the port is taken.
    """
    try:
        import uvicorn

        from .server.app import create_app
    except ImportError as error:
        raise ClusterfirstError(f"{error}: install what requirements/base.txt lists (`make label` does)") from error
    from .cells.results import open_results
    from .server.workspace import Workspace

    results = open_results(given.results)
    for name, why in results.left_out.items():
        print(f"left out: {name}: {why}", file=sys.stderr)
    workspace = Workspace(results, places=given.slides, name=given.name)
    guard = Guard(given.host, names=tuple(given.allow_host), wants_token=not given.no_token)
    listening = _bind(given.host, given.port)
    # What is wrong with the first group is said here, and not in the browser.
    first = next(iter(results.groups))
    try:
        workspace.session(first)
    except BaseException:
        listening.close()
        raise
    address = _address(given.host, listening.getsockname()[1]) + (f"/?token={guard.token}" if guard.token else "/")
    threading.Thread(target=workspace.warm, args=(first,), daemon=True).start()
    print(f"open {address}   (Ctrl-C ends it; nothing needs saving)", flush=True)
    settings = uvicorn.Config(
        create_app(workspace, guard),
        log_level="warning",
        access_log=False,
        **PROTOCOL,
        timeout_graceful_shutdown=1,  # pages that listen for events never hang up
    )
    with ExitStack() as stack:
        if not given.no_browser:
            _open(address, stack)
        uvicorn.Server(settings).run([listening])


def _open(address: str, stack: ExitStack) -> None:
    try:
        page = stack.enter_context(entrance(address))
    except OSError as error:
        log.warning("no browser is opened (%s): open the address yourself", error)
    else:
        threading.Timer(0.5, webbrowser.open, [page.as_uri()]).start()


@contextmanager
def entrance(address: str) -> Iterator[Path]:
    """Yield a file that only its owner can read, and that leads a browser to an address.

    Everybody on a machine sees the arguments that programs are started with: an address with a token must be none.
    """
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="clusterfirst-", suffix=".html") as file:
        file.write(f'<!doctype html><meta http-equiv="refresh" content="0; url={address}">')
        file.flush()
        yield Path(file.name)


def _bind(host: str, port: int) -> socket.socket:
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(kind, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise ClusterfirstError(
            f"port {port} of {host} cannot be used ({error.strerror}). Perhaps a server runs there already: open the "
            "address that it printed, or give another --port"
        ) from error
    return listening


def _address(host: str, port: int) -> str:
    shown = (
        "localhost"
        if is_loopback(host) and host != "::1"
        else socket.gethostname()
        if host in ("0.0.0.0", "::")
        else host
    )
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"


if __name__ == "__main__":
    sys.exit(main())
