"""The cohort page in a browser: without a network, at every width, on paper, by keyboard."""

import io
import itertools
import shutil

import numpy as np
import pytest
from PIL import Image

from .conftest import SLIDE, probe

WIDTHS = (1440, 800, 390)
PAPER = 703
"""Pixels of the page that is left between the margins of A4."""


@pytest.fixture(scope="module")
def results(demo, cmu, new_project):
    """The demo's results twice, under two names, and the page of both."""
    project = new_project("cohort-page")
    names = (SLIDE, "second")
    project.write([{"slide": name, "path": cmu, "tissue": "skin"} for name in names])
    for name in names:
        shutil.copytree(demo, project.results(name), ignore=shutil.ignore_patterns("labels", "logs"))
    done = project.run("cohort")
    assert done.returncode == 0, done.stdout
    return project.folder / "results"


@pytest.fixture
def opened(page, results):
    page.on("console", lambda message: page.errors.append(message.text))
    page.goto(f"file://{results}/cohort.html")
    yield page
    assert [url for url in page.asked if not url.startswith("data:")] == [f"file://{results}/cohort.html"]
    assert page.errors == []


def outside(page):
    """Elements that reach beyond the page, other than inside what scrolls."""
    return page.evaluate(
        """() => [...document.querySelectorAll("body *")]
          .filter((e) => e.checkVisibility() && !e.closest("caption, thead") && !e.parentElement.closest(".wide"))
          .filter((e) => e.getBoundingClientRect().right > innerWidth + 0.5 || e.getBoundingClientRect().left < -0.5)
          .map((e) => e.outerHTML.slice(0, 80))"""
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_and_can_be_read(opened, width, scheme):
    opened.set_viewport_size({"width": width, "height": 900})
    opened.emulate_media(color_scheme=scheme)
    assert opened.evaluate("document.documentElement.scrollWidth") == width
    assert outside(opened) == []
    assert probe(opened, "faint") == []
    assert probe(opened, "nameless") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_tables_show_that_they_scroll_and_do_so_by_keyboard(opened, scheme):
    opened.set_viewport_size({"width": 800, "height": 900})
    opened.emulate_media(color_scheme=scheme)
    box = opened.get_by_role("region", name="Quality of each slide")
    assert box.evaluate("(e) => e.scrollWidth > e.clientWidth")

    def edge():
        """How dark the right edge is above the table's heads, against the middle."""
        shot = np.asarray(Image.open(io.BytesIO(box.screenshot())).convert("L"), int)
        return abs(shot[3, -2] - shot[3, shot.shape[1] // 2])

    assert edge() >= 10
    box.focus()
    opened.keyboard.press("End")
    for _ in range(20):
        opened.keyboard.press("ArrowRight")
    opened.wait_for_function(
        "(e) => e.scrollLeft + e.clientWidth >= e.scrollWidth - 1", arg=box.element_handle(), timeout=5000
    )
    assert edge() <= 3


@pytest.mark.parametrize(("width", "columns"), [(1440, 2), (800, 1), (390, 1)])
def test_galleries_are_beside_clusters_only_with_room(opened, width, columns):
    opened.set_viewport_size({"width": width, "height": 900})
    shown = opened.locator(".detail").first.evaluate("(e) => getComputedStyle(e).gridTemplateColumns")
    assert len(shown.split()) == columns


def test_names_of_slides_stay_on_their_line(opened):
    opened.set_viewport_size({"width": 1440, "height": 900})
    high = "[...document.querySelectorAll('tbody tr[data-name] th > span')].map((e) => e.getClientRects()[0].height)"
    assert max(opened.evaluate(high)) < 30


def test_headings_are_in_order_and_pictures_are_described_and_there(opened):
    levels = opened.evaluate("[...document.querySelectorAll('h1, h2, h3')].map((e) => Number(e.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    opened.evaluate("for (const image of document.images) image.loading = 'eager'")
    opened.wait_for_function("[...document.images].every((image) => image.complete)")
    pictures = opened.evaluate("[...document.images].map((image) => [image.alt, image.naturalWidth])")
    assert len(pictures) == 6
    assert all(alt and width > 100 for alt, width in pictures)


def test_links_lead_to_files(opened, results):
    links = opened.evaluate("[...document.querySelectorAll('a')].map((a) => a.href)")
    files = {link for link in links if "#" not in link}
    assert len(files) > 10
    for link in files:
        assert (results / link.removeprefix(f"file://{results}/")).exists(), link
    for link in {link.split("#")[1] for link in links if "#" in link}:
        assert opened.locator(f"section#{link}").count() == 1


def test_tables_are_sorted_by_their_heads(opened):
    table = opened.locator("#quality table")
    names = table.locator("tbody th")
    assert names.all_inner_texts() == [SLIDE, "second"]
    head = table.get_by_role("button", name="slide")
    head.focus()
    opened.keyboard.press("Enter")
    assert names.all_inner_texts() == [SLIDE, "second"]
    opened.keyboard.press("Enter")
    assert names.all_inner_texts() == ["second", SLIDE]
    assert table.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    sizes = opened.locator("#clusters article").first.locator("table")
    sizes.get_by_role("button", name="confidence").click()
    shown = [float(text) for text in sizes.locator("tbody td:last-child").all_inner_texts()]
    assert shown == sorted(shown, reverse=True)
    assert table.locator("tfoot th").inner_text() == "all"


def test_search_leaves_what_is_looked_for(opened):
    search = opened.get_by_label("Find slides")
    search.fill("SECO")
    assert opened.locator("figure[data-name]:visible strong").all_inner_texts() == ["second"]
    assert opened.locator("#quality tbody tr:visible").count() == 1
    assert opened.locator(".search output").inner_text() == "1 of 2"
    search.fill("")
    assert opened.locator("#quality tbody tr:visible").count() == 2


def test_on_paper_nothing_is_cut_off_and_colours_stay(opened):
    opened.set_viewport_size({"width": PAPER, "height": 1000})
    opened.emulate_media(media="print", color_scheme="dark")
    assert opened.evaluate("document.documentElement.scrollWidth") == PAPER
    cut = "[...document.querySelectorAll('.wide')].filter((e) => e.scrollWidth > e.clientWidth + 1).length"
    assert opened.evaluate(cut) == 0
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert opened.evaluate("getComputedStyle(document.querySelector('.bar')).printColorAdjust") == "exact"
    assert not opened.get_by_label("Find slides").is_visible()
    assert opened.pdf(prefer_css_page_size=True).startswith(b"%PDF")


def test_without_javascript_everything_is_there(browser, results):
    with browser.new_context(java_script_enabled=False, offline=True) as context:
        page = context.new_page()
        page.goto(f"file://{results}/cohort.html")
        assert page.locator("#quality tbody tr").count() == 2
        assert page.locator("button, .search:visible").count() == 0
