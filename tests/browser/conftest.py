"""A real browser: pages without a network, and the labelling app on a copy of finished results."""

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
from PIL import Image
from playwright.sync_api import expect

from clusterfirst.io import read_json

from ..conftest import absent
from ..workflow.conftest import Project, new_project  # noqa: F401  fixtures

CHROMIUM = "/usr/bin/chromium"
SLIDE = "CMU-1-Small-Region"
_NEEDED = ("filtered.parquet", "masks.parquet", "clusters.json", "reduction.json", "umap.npy", "umap2d.npy")


PROBES = Path(__file__).with_name("probes.js").read_text(encoding="utf-8")


def probe(page, name: str, given=None):
    """Ask a page one of the questions in ``probes.js``."""
    return page.evaluate(f"given => ({PROBES}).{name}(given)", given)


def picture(page, name: str) -> None:
    """Keep what a page shows as ``label-<name>.jpg`` in the folder `CLUSTERFIRST_PICTURES`, if that is set."""
    if folder := os.environ.get("CLUSTERFIRST_PICTURES"):
        expect(page.locator("#toasts .toast")).to_have_count(0, timeout=15000)
        page.wait_for_timeout(1500)  # pictures of cells arrive, what moves comes to rest
        shown = Image.open(io.BytesIO(page.screenshot()))
        shown.convert("RGB").save(Path(folder) / f"label-{name}.jpg", quality=75, optimize=True, progressive=True)


class Server:
    """`clusterfirst-label` in a process of its own."""

    entrances: ClassVar[dict[str, str]] = {}
    """By address of a server what it printed, the token with it."""

    def __init__(self, results: Path, slides: Path, log: Path):
        self.results, self.slides, self.log = results, slides, log
        self.process, self.port = None, 0

    def start(self, name: str | None = "Ada") -> str:
        """Start, on the port of before if there was one; return the address, without its token."""
        command = [sys.executable, "-m", "clusterfirst.labelling.cli", str(self.results), "--no-browser"]
        command += ["--port", str(self.port), "--slides", str(self.slides), *(["--name", name] if name else [])]
        code = Path(__file__).resolve().parents[2] / "workflow" / "scripts"
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | {"PYTHONPATH": str(code)}
            )
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+:(\d+)/\S+", line)
        assert found, f"the server did not start: {line}{self.log.read_text()}"
        self.port = int(found[1])
        address = f"http://localhost:{self.port}/"
        self.entrances[address] = found[0]
        return address

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    @property
    def labels(self) -> Path:
        return self.results / SLIDE / "labels"

    @property
    def document(self) -> dict:
        """What the workflow says of the clusters."""
        return read_json(self.results / SLIDE / "clusters.json")


@pytest.fixture(scope="session")
def demo(repo) -> Path:
    """The demo's results; `make demo` writes them, on CI before the tests."""
    folder = repo / "results" / SLIDE
    if missing := [name for name in _NEEDED if not (folder / name).is_file()]:
        absent(f"{folder} has no {', '.join(missing)}: run `make demo` first")
    return folder


@pytest.fixture
def copied(demo, tmp_path) -> Path:
    """A copy of the demo that nobody has labelled yet: the folder of its slide."""
    folder = tmp_path / "results" / SLIDE
    folder.mkdir(parents=True)
    for name in _NEEDED:
        shutil.copy2(demo / name, folder)
    return folder


@pytest.fixture
def server(copied, cmu, tmp_path):
    """A server on that, started."""
    with running(tmp_path / "results", cmu.parent) as one:
        yield one


@contextlib.contextmanager
def running(results: Path, slides: Path):
    """A server that is started, and ended whatever happens."""
    one = Server(results, slides, results.parent / "server.log")
    one.address = one.start()
    try:
        yield one
    finally:
        with contextlib.suppress(ProcessLookupError):
            one.kill()


@pytest.fixture
def project(server, demo, cmu, repo, tmp_path) -> Project:
    """The workflow around the results that the server shows: finished, so that only labels are missing."""
    slide = shutil.copy2(cmu, tmp_path / cmu.name)
    os.utime(slide, (0, 0))  # older than all that was made of it
    shutil.copytree(demo, server.results / SLIDE, dirs_exist_ok=True)
    one = Project(tmp_path, repo)
    one.write([{"slide": SLIDE, "path": slide}])
    return one


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    if not Path(CHROMIUM).exists():
        absent(f"no browser {CHROMIUM}: apt-get install chromium")
    with sync_playwright() as driver:
        # As root, as in a container, it starts without its sandbox only.
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser):
    """A page that cannot reach any network; what it asks for is kept in `asked`, its errors in `errors`."""
    with browser.new_context(offline=True, viewport={"width": 1400, "height": 900}) as context:
        opened = context.new_page()
        opened.asked, opened.errors = [], []
        opened.on("request", lambda request: opened.asked.append(request.url))
        opened.on("requestfailed", lambda request: opened.errors.append(request.url))
        opened.on("pageerror", lambda error: opened.errors.append(str(error)))
        yield opened


def enter(context, address: str) -> None:
    """Open what the server printed in a tab of its own, as `clusterfirst-label` does when it starts."""
    tab = context.new_page()
    tab.goto(next(entrance for start, entrance in Server.entrances.items() if address.startswith(start)))
    tab.wait_for_url(lambda url: "token" not in url)
    tab.close()


@pytest.fixture
def new_page(browser):
    """Open pages that must not raise errors."""
    contexts, errors = [], []

    def open_page(address, *, width=1440, height=900, hint=False, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        if not hint:
            context.add_init_script("localStorage.setItem('clusterfirst:hint', '1')")
        enter(context, address)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors
