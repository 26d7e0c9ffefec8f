"""Blind evaluation as a person meets it, by keys alone: a real server, a real Chromium, the demo's results."""

import json

import pytest
from playwright.sync_api import expect

from .conftest import SLIDE, enter, picture, probe

PAGE = "static/blind.html#cells=40&seed=0"
"""With this seed, the first batch of the demo's slide has two tiles of a few cells."""


@pytest.fixture
def page(server, new_page):
    page = new_page(server.address + PAGE)
    page.refusals = []
    page.on("console", lambda message: page.refusals.append(message.text) if message.type == "error" else None)
    yield page
    assert not page.refusals  # nothing that the content policy forbids


def cells(page):
    return page.evaluate("clusterfirst.work.batch.tiles.map(tile => tile.cells.length)")


def answered(page):
    return page.evaluate("clusterfirst.work.answers.size")


def saved(page, number):
    """Wait until nothing is under way, and so many cells have answers."""
    for _ in range(100):
        if page.evaluate("clusterfirst.workspace.actions.queue.length") == 0:
            break
        page.wait_for_timeout(50)
    assert answered(page) == number


def begin(page):
    """Go to the first batch by keys."""
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") in ("Batch 1: begin", "Batch 1: go on"):
            break
    page.keyboard.press("Enter")
    expect(page.locator("#tile-view")).to_be_focused()
    expect(page.locator("#tile-title")).to_have_text("Tile 1 of 2")


def test_a_batch_is_labelled_by_keys_and_compared(server, page):
    begin(page)
    first, second = cells(page)
    asked = page.evaluate("performance.getEntriesByType('resource').map(entry => new URL(entry.name).pathname)")
    allowed = ("/static/", "/api/project", "/api/slides/", f"/api/groups/{SLIDE}/blind")
    assert [path for path in asked if not path.startswith(allowed)] == []  # what tells of clusters is not asked for

    # cell by cell; Tab goes on without an answer, Shift+Tab back; X: it cannot be told
    for key in "1/":
        page.keyboard.press(key)
    page.keyboard.type("lymph")
    page.keyboard.press("Enter")
    page.keyboard.press("x")
    expect(page.locator("#target")).to_contain_text(f"Cell 4 of {first}")
    page.keyboard.press("Tab")
    expect(page.locator("#target")).to_contain_text(f"Cell 5 of {first}")
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#said")).to_contain_text("Cell 4")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("clusterfirst.work.cursor.y") > page.evaluate("clusterfirst.work.tile.cells[3].y")
    page.keyboard.press("3")
    saved(page, 4)
    page.keyboard.press("Control+z")
    saved(page, 3)
    page.keyboard.press("Control+y")
    saved(page, 4)
    page.keyboard.press("f")
    expect(page.locator("#toasts")).to_contain_text(f"{first + second - 4} cells")

    # half-way: a reload, and a server that is killed, lose nothing
    before = page.evaluate("[...clusterfirst.work.answers].sort()")
    page.wait_for_timeout(400)  # the address follows a moment later
    server.kill()
    enter(page.context, server.start())
    page.reload()
    page.wait_for_selector("body[data-ready]")
    expect(page.locator("#tile-title")).to_have_text("Tile 1 of 2")
    assert page.evaluate("[...clusterfirst.work.answers].sort()") == before

    # paused and taken up again
    page.click("#pause")
    expect(page.locator("#batches tr").first).to_contain_text(f"4 of {first + second}")
    page.refusals.clear()  # of the server that was not there
    page.evaluate("document.activeElement.blur()")
    begin(page)

    # all that are left, tile by tile
    page.keyboard.press("a")
    expect(page.locator("#target")).to_contain_text(f"{first - 4} cells")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.locator("#tile-title")).to_have_text("Tile 2 of 2")
    page.keyboard.press("a")
    page.keyboard.press("2")
    saved(page, first + second)
    page.keyboard.press("Enter")
    expect(page.locator("dialog")).to_contain_text("Finish batch 1?")
    expect(page.locator("dialog .primary")).to_be_focused()  # the blue button is the one that Enter means
    page.keyboard.press("Enter")

    # the result
    expect(page.locator("#result-title")).to_contain_text("Batch 1")
    expect(page.locator("#figures")).to_contain_text(f"{first + second - 1} cells with a class on 2 tiles")
    expect(page.locator(".picture")).to_have_count(2)
    told = page.evaluate("clusterfirst.result.told")
    shown = page.locator("#agreement").inner_text()
    assert f"{100 * told['agreement']['value']:.1f} %" in shown
    matrix = page.locator(".confusion tbody td").all_inner_texts()
    assert sum(int(n) for n in matrix if n != "·") == first + second - 1
    page.wait_for_timeout(500)
    green, red = page.evaluate(
        """() => {
          const seen = { green: 0, red: 0 };
          for (const canvas of document.querySelectorAll(".picture canvas")) {
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            for (let i = 0; i < data.length; i += 4) {
              if (data[i] === 0 && data[i + 1] === 200 && data[i + 2] === 83) seen.green++;
              if (data[i] === 255 && data[i + 1] === 23 && data[i + 2] === 68) seen.red++;
            }
          }
          return [seen.green, seen.red];
        }"""
    )
    kinds = [cell["label"] == cell["called"] for tile in told["tiles"] for cell in tile["cells"] if cell["label"] >= 0]
    picture(page, "blind")
    assert (green > 0) == any(kinds)
    assert (red > 0) == (not all(kinds))

    # it stays, and the files for the workflow are written
    page.wait_for_timeout(400)
    page.reload()
    page.wait_for_selector("body[data-ready]")
    expect(page.locator("#result-title")).to_contain_text("Batch 1")
    page.click("#pause")
    page.click("#write-truth")
    name = page.locator("dialog .files code").inner_text()
    document = json.loads((server.results.parent / name).read_text(encoding="utf-8"))
    assert len(document["cells"]) == first + second - 1
    assert {cell["class"] for cell in document["cells"]} == {"tumour", "lymphocyte", "stroma"}
    assert len([*server.labels.glob("blind-*.jsonl")]) == 1
    assert name.startswith(f"results/{SLIDE}/labels/blind/")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_has_a_name_can_be_read_and_fits(server, new_page, scheme):
    page = new_page(server.address + PAGE, color_scheme=scheme)

    def well():
        page.wait_for_timeout(300)
        assert probe(page, "nameless") == []
        assert probe(page, "faint") == []
        assert probe(page, "overlapping") == []

    well()
    page.click("#batches button >> nth=0")
    expect(page.locator("#tile-view")).to_be_focused()
    page.keyboard.press("1")
    well()
    assert probe(page, "outside") == []
    for key in ("a", "1", "Enter", "a", "2", "f"):
        page.keyboard.press(key)
    page.click("dialog .primary")
    expect(page.locator(".picture")).to_have_count(2)
    well()


def test_the_way_there_and_out_of_the_picture_and_back(server, new_page):
    page = new_page(server.address)
    page.click("#blind")
    expect(page.locator("#sample-facts")).to_contain_text("batches of whole tiles")
    page.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#sample-seed")).to_be_visible()
    page.click("#batches button >> nth=0")
    expect(page.locator("#tile-view")).to_be_focused()
    page.keyboard.press("Escape")  # deselects the cell; Tab is no longer for cells
    page.keyboard.press("Tab")
    expect(page.locator("#zoom-in")).to_be_focused()
    page.locator("#naming").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#target")).to_contain_text("All of")
