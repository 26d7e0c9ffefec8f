"""Pages in a real browser, without a network."""

import pytest

from ..conftest import absent
from ..workflow.conftest import new_project, weights  # noqa: F401  fixtures

CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium, driven by Playwright."""
    from pathlib import Path

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
