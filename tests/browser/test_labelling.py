"""The labelling app as a person meets it: a real server, a real Chromium, the demo's results."""

import gzip
import json
import re

import geopandas
import numpy as np
import pytest
import shapely
from playwright.sync_api import expect

from clusterfirst.clustering.numbering import fingerprint
from clusterfirst.io import read_json
from clusterfirst.labelling import cli

from ..labelling_results import make
from ..made import geojson_feature
from .conftest import SLIDE, Server, enter, picture, probe, running


def named(page, clusters):
    """Wait until so many clusters have a name."""
    expect(page.locator("#clusters-named")).to_have_text(clusters)


def label_of(page, row):
    """What a cell is called in the page."""
    return probe(page, "labelOf", row)


def on_screen(page, row):
    """Where a cell is on the screen."""
    box = page.locator("#slide-view").bounding_box()
    x, y = probe(page, "onScreen", row)
    return box["x"] + x, box["y"] + y


def look_at(page, row, zoom=1.5):
    """Bring a cell to the middle and wait until the picture and the outlines there have arrived."""
    probe(page, "lookAt", [row, zoom])
    for _ in range(100):
        page.wait_for_timeout(100)
        if page.evaluate("clusterfirst.viewer.view.settled"):
            return
    raise AssertionError("tiles or outlines did not arrive")


def test_from_clusters_to_named_cells(server, project, new_page):
    page = new_page(server.address)
    expect(page.locator("#target")).to_contain_text("All of")
    picture(page, "overview")
    total = page.evaluate("clusterfirst.store.doc.clusters.length")
    order = page.evaluate("clusterfirst.store.clusters.map(c => c.key)")

    # three clusters with keys; after each, the largest without a name follows by itself, before the server has answered
    for step, key in enumerate("443"):
        assert page.evaluate("clusterfirst.store.selected") == order[step]
        page.keyboard.press(key)
    named(page, f"3 / {total}")
    names = page.evaluate("clusterfirst.store.clusters.slice(0, 3).map(c => c.name)")
    assert names == ["epithelium", "epithelium", "stroma"]
    look_at(page, server.document["clusters"][0]["representatives"][2], 1)
    # with the first name, cells take the colours of classes
    expect(page.locator("[data-by=label]")).to_have_attribute("aria-checked", "true")
    picture(page, "naming")
    page.keyboard.press("c")
    expect(page.locator("[data-by=cluster]")).to_have_attribute("aria-checked", "true")

    # a cluster is opened into its two children
    page.keyboard.press("o")
    named(page, f"3 / {total + 1}")

    # zoom in to nuclei, with the wheel: what is under the pointer stays under it
    one, other = probe(page, "isolated", 2)
    look_at(page, one, 0.5)
    before = on_screen(page, one)
    page.mouse.move(*before)
    for _ in range(4):
        page.mouse.wheel(0, -120)
    page.wait_for_timeout(900)
    assert page.evaluate("clusterfirst.viewer.view.view.scale") > 1
    assert on_screen(page, one) == pytest.approx(before, abs=1.5)

    # correct two cells: click, press the key
    for row, key, name in ((one, "2", "lymphocyte"), (other, "5", "endothelium")):
        look_at(page, row)
        page.mouse.click(*on_screen(page, row))
        expect(page.locator("#target")).to_contain_text("Only this cell")
        page.keyboard.press(key)
        expect(page.locator("#toasts")).to_contain_text(f"1 cell is {name}")
        assert label_of(page, row) == name

    # lasso around what is in the middle of the screen
    look_at(page, one, 0.6)
    page.keyboard.press("l")
    x, y = on_screen(page, one)
    page.mouse.move(x - 90, y - 90)
    page.mouse.down()
    for dx, dy in ((90, -90), (90, 90), (-90, 90)):
        page.mouse.move(x + dx, y + dy, steps=4)
    page.mouse.up()
    page.keyboard.press("v")
    picked = page.evaluate("clusterfirst.store.picked.rows")
    assert one in picked
    page.keyboard.press("7")
    expect(page.locator("#toasts")).to_contain_text("plasma cell")
    assert {label_of(page, row) for row in picked} == {"plasma cell"}

    # undo takes the lasso back, and only that
    page.keyboard.press("Control+z")
    expect(page.locator("#redo")).to_be_enabled()
    assert label_of(page, one) == "lymphocyte"

    look_at(page, other)
    page.wait_for_timeout(400)  # the address follows a moment later
    place = probe(page, "place")
    state = page.evaluate("clusterfirst.store.doc")
    page.reload()
    page.wait_for_selector("body[data-ready]")
    named(page, f"3 / {total + 1}")
    assert [label_of(page, row) for row in (one, other)] == ["lymphocyte", "endothelium"]
    after = page.evaluate("clusterfirst.store.doc")
    for key in ("seq", "clusters", "exceptions", "progress"):
        assert after[key] == state[key]
    assert probe(page, "place") == pytest.approx(place, rel=1e-2)
    expect(page.locator("[data-by=cluster]")).to_have_attribute("aria-checked", "true")  # chosen, and kept

    # export, and the workflow gives every cell the name that it has in the page
    page.click("#export")
    expect(page.locator("dialog .files code").first).to_be_visible()
    by_time = ("labels", "--rerun-triggers", "mtime")  # the demo may be of settings and code of before
    assert project.jobs(*by_time) == {(rule, SLIDE) for rule in ("label_cells", "annotate_labels", "export_qupath")}
    done = project.run(*by_time)
    assert done.returncode == 0, done.stdout
    cells = geopandas.read_parquet(project.results(SLIDE) / "cells.parquet")
    assert cells["label"].astype(object).where(cells["label"].notna(), None).tolist() == probe(page, "labels")
    assert cells["label"][[one, other]].tolist() == ["lymphocyte", "endothelium"]
    assert cells["label_source"][[one, other]].tolist() == ["exception", "exception"]
    first = cells[cells["cluster_id"] == 0].drop(index=[one, other], errors="ignore")
    assert set(first["label"]) == {"epithelium"}


def test_clusters_are_called_as_in_the_pictures_of_the_workflow(server, new_page):
    page = new_page(server.address)
    wanted = server.document["clusters"]
    told = page.evaluate("clusterfirst.store.clusters.map(c => [c.title, c.size, c.colour, c.leaves])")
    assert told == [[str(entry["id"]), entry["size"], entry["colour"], entry["leaves"]] for entry in wanted]
    options = page.locator("#clusters [role=option]")
    expect(options.first).to_contain_text("Cluster 0")
    expect(options.nth(1)).to_have_attribute("aria-label", re.compile("^Cluster 1, no name"))
    for place in ("#target", "#detail h3"):
        expect(page.locator(place)).to_contain_text("Cluster 0")
    row = wanted[5]["representatives"][0]
    page.evaluate("row => clusterfirst.store.hoverOver(clusterfirst.store.labels.clusterAt(row).key, row)", row)
    expect(page.locator("#cell-facts")).to_contain_text("Cluster 5")
    page.keyboard.press("o")
    expect(page.locator("#toasts")).to_contain_text(re.compile("Cluster 0 opened into 0[ab] and 0[ab]"))
    expect(page.locator("#target")).to_contain_text(re.compile("Cluster 0[ab]"))
    titles = page.evaluate("clusterfirst.store.clusters.map(c => c.title)")
    assert set(titles) == {"0a", "0b", *(str(entry["id"]) for entry in wanted[1:])}
    page.wait_for_timeout(400)  # the address follows a moment later
    chosen = page.evaluate("clusterfirst.store.cluster.title")
    assert f"cluster={chosen}" in page.url
    page.reload()
    page.wait_for_selector("body[data-ready]")
    assert page.evaluate("clusterfirst.store.cluster.title") == chosen


def test_export_says_where_the_files_lie(server, new_page):
    page = new_page(server.address)
    page.keyboard.press("1")
    named(page, f"1 / {page.evaluate('clusterfirst.store.doc.clusters.length')}")
    page.click("#export")
    files = page.locator("dialog .files code")
    expect(files.first).to_be_visible()
    written = files.all_inner_texts()
    assert written
    assert all((server.results / name).is_file() or (server.results.parent / name).is_file() for name in written)
    assert any(path.suffix == ".json" for path in server.labels.iterdir())
    expect(page.locator("dialog")).to_contain_text("snakemake labels, with the same --configfile as your run")

    # what QuPath is given comes back, compressed as it is, and changes nothing
    page.get_by_role("button", name="Cells for QuPath").click()
    expect(files.first).to_contain_text(".geojson.gz")
    (cells,) = server.labels.glob("*.geojson.gz")
    page.get_by_role("button", name="Done").click()
    page.set_input_files("#import-file", cells)
    expect(page.locator("#toasts")).to_contain_text("0 cells have a new label.")
    expect(page.locator("#toasts")).to_contain_text("had theirs already")

    # what somebody changed there is changed here
    with gzip.open(cells) as file:
        features = json.load(file)["features"]
    features[0]["properties"]["classification"] = {"name": "mitosis", "color": [255, 0, 0]}
    page.set_input_files(
        "#import-file",
        {"name": "back.geojson", "mimeType": "application/geo+json", "buffer": json.dumps(features).encode()},
    )
    expect(page.locator("#toasts")).to_contain_text("1 cell has a new label.")
    assert label_of(page, 0) == "mitosis"


def test_import_of_a_region_labels_its_cells_and_says_how_many(server, new_page):
    page = new_page(server.address)
    cells = geopandas.read_parquet(server.results / SLIDE / "masks.parquet")
    left, top, right, bottom = cells.total_bounds
    region = shapely.box(left, top, (left + right) / 2, bottom)
    inside = shapely.contains_xy(region, cells.x, cells.y)
    page.set_input_files(
        "#import-file",
        {
            "name": "regions.geojson",
            "mimeType": "application/geo+json",
            "buffer": json.dumps([geojson_feature(region, "tumour"), geojson_feature(region, "Region*")]).encode(),
        },
    )
    toasts = page.locator("#toasts")
    expect(toasts).to_contain_text(
        f"1 region labels {inside.sum():,} cells. Regions without a class, or of class Region*"
    )
    page.wait_for_timeout(5000)
    expect(toasts).to_contain_text("1 region labels")  # long enough to be read
    assert label_of(page, int(np.flatnonzero(inside)[0])) == "tumour"
    assert label_of(page, int(np.flatnonzero(~inside)[0])) != "tumour"


def test_the_review_queue_corrects_some_and_accepts_the_others(server, new_page):
    page = new_page(server.address)
    first = page.evaluate("clusterfirst.store.selected")
    page.keyboard.press("4")
    named(page, f"1 / {page.evaluate('clusterfirst.store.doc.clusters.length')}")
    assert (
        page.evaluate("clusterfirst.store.selected") != first
    )  # the next one; R is for the one just named all the same
    page.keyboard.press("r")
    crops = page.locator("#review .crop")
    expect(crops).to_have_count(24)
    expect(page.locator("#review")).to_contain_text("Cluster 0")
    assert page.evaluate("clusterfirst.store.selected") == first
    rows = page.evaluate("clusterfirst.store.cursor")
    page.keyboard.press("2")
    expect(page.locator("#accept")).to_have_text("Accept the other 23 (Enter)")
    assert label_of(page, rows) == "lymphocyte"
    expect(crops.nth(1)).to_be_focused()
    picture(page, "review")
    page.keyboard.press("Enter")
    expect(page.locator("#toasts")).to_contain_text("23 cells accepted, 1 corrected.")
    assert page.evaluate("clusterfirst.store.doc.progress.reviewed") == 24
    page.keyboard.press("Escape")
    expect(page.locator("#review")).to_be_hidden()


def test_ticked_clusters_are_merged_and_undo_parts_them(server, new_page):
    page = new_page(server.address)
    total = page.evaluate("clusterfirst.store.doc.clusters.length")
    page.keyboard.press("1")
    named(page, f"1 / {total}")
    expect(page.locator("#target")).to_contain_text("Cluster 1")
    page.keyboard.press("t")
    page.keyboard.press("k")
    page.keyboard.press("t")
    page.keyboard.press("m")
    named(page, f"0 / {total - 1}")
    expect(page.locator("#toasts")).to_contain_text("2 clusters merged into cluster 0 + 1.")
    expect(page.locator("#detail")).to_contain_text("several names")  # each piece keeps its own
    sizes = {entry["id"]: entry["size"] for entry in server.document["clusters"]}
    assert page.evaluate("clusterfirst.store.labels.tally()[0]") == sizes[0]
    page.keyboard.press("Control+z")
    named(page, f"1 / {total}")
    expect(page.locator("#toasts")).to_have_text("Took back: clusters 0 and 1 merged.")  # what it said before is gone
    page.keyboard.press("Control+z")
    named(page, f"0 / {total}")
    expect(page.locator("#toasts")).to_have_text("Took back: cluster 0 = tumour.")
    expect(page.locator("#target")).to_contain_text("Cluster 0")  # the next key is for it
    page.keyboard.press("Control+Shift+z")
    named(page, f"1 / {total}")
    page.keyboard.press("Control+Shift+z")
    named(page, f"0 / {total - 1}")


def test_a_lasso_on_the_umap_picks_cells(server, new_page):
    page = new_page(server.address)
    # up is up, as in the pictures of the workflow
    height = np.load(server.results / SLIDE / "umap2d.npy")[:, 1]
    top, bottom = (probe(page, "onMap", int(row))[1] for row in (height.argmax(), height.argmin()))
    assert top < bottom
    box = page.locator("#umap").bounding_box()
    page.keyboard.down("Shift")
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    for x, y in ((0.98, 0.02), (0.98, 0.98), (0.02, 0.98)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    assert len(page.evaluate("clusterfirst.store.picked.rows")) > 0.9 * page.evaluate("clusterfirst.store.cells.n")
    expect(page.locator("#target")).to_contain_text("lasso on the UMAP")


def test_classes_are_added_renamed_recoloured_moved_and_deleted(server, new_page):
    page = new_page(server.address)
    total = page.evaluate("clusterfirst.store.doc.clusters.length")
    first = page.evaluate("clusterfirst.store.selected")
    page.keyboard.press("1")
    named(page, f"1 / {total}")
    page.fill("#new-class", "tumour")
    page.keyboard.press("Enter")
    expect(page.locator("#toasts")).to_contain_text("There is a class “tumour” already.")
    page.keyboard.type("mast cell")  # what was refused is typed over
    page.keyboard.press("Enter")
    expect(page.locator("#classes")).to_contain_text("mast cell")
    expect(page.locator("#new-class")).to_have_value("")
    page.keyboard.press("Escape")

    # a tenth class has no key: part of its name does, and adds one that is not there
    second = page.evaluate("clusterfirst.store.selected")
    page.keyboard.press("Enter")
    page.keyboard.type("cell")
    expect(page.locator("dialog [role=option]")).to_have_text(["7plasma cell", "mast cell", "+Add “cell”"])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    named(page, f"2 / {total}")
    assert page.evaluate("key => clusterfirst.store.byKey.get(key).name", second) == "mast cell"
    page.keyboard.press("/")
    page.keyboard.type("adipocyte")
    page.keyboard.press("Enter")
    named(page, f"3 / {total}")
    expect(page.locator("#classes")).to_contain_text("adipocyte")

    page.get_by_role("button", name="Edit tumour").click()
    page.get_by_label("Name of the class").fill("carci")
    page.get_by_label("Name of the class").press("End")
    page.evaluate(
        "clusterfirst.actions.do({ do: 'name', leaves: clusterfirst.store.clusters[5].leaves, class: 'stroma' })"
    )
    named(page, f"4 / {total}")
    page.keyboard.type("noma")  # what others do takes neither the text nor the focus away
    expect(page.get_by_label("Name of the class")).to_have_value("carcinoma")
    page.get_by_label("Colour of the class").fill("#ff0000")
    page.get_by_role("button", name="Keep").click()
    expect(page.locator("#classes")).to_contain_text("carcinoma")
    assert page.evaluate("key => clusterfirst.store.byKey.get(key).name", first) == "carcinoma"
    page.get_by_role("button", name="Edit carcinoma").click()
    page.get_by_role("button", name="Move down").click()
    expect(page.locator("#classes li").first).to_contain_text("lymphocyte")
    page.get_by_role("button", name="Delete carcinoma").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("#classes")).not_to_contain_text("carcinoma")
    named(page, f"3 / {total}")


def test_who_names_the_same_cluster_second_is_asked(server, new_page):
    ada, ben = new_page(server.address), new_page(server.address)
    probe(ben, "callMe", "Ben")
    ben.reload()
    ben.wait_for_selector("body[data-ready]")
    expect(ada.locator("#people .other")).to_have_count(1)
    ben.route("**/events*", lambda route: route.abort())  # Ben's page has not heard yet
    ben.reload()
    ben.wait_for_selector("body[data-ready]")
    total = ada.evaluate("clusterfirst.store.doc.clusters.length")
    first = ada.evaluate("clusterfirst.store.selected")
    ada.keyboard.press("1")
    named(ada, f"1 / {total}")
    ben.keyboard.press("2")
    dialog = ben.get_by_role("dialog", name="Somebody was faster")
    size = ada.evaluate("key => clusterfirst.store.byKey.get(key).size", first)
    expect(dialog).to_contain_text(f"Ada named cluster 0 ({size:,} cells) tumour")
    expect(dialog).to_contain_text("Cluster 0 = lymphocyte")
    expect(dialog.get_by_role("button", name="Keep theirs")).to_be_focused()
    assert ada.evaluate("key => clusterfirst.store.byKey.get(key).name", first) == "tumour"
    # while Ben thinks, it changes again: he overrules what he was shown, and is asked again
    ada.evaluate("key => clusterfirst.store.select(key)", first)
    ada.keyboard.press("3")
    expect(ada.locator(f"#cluster-{first}")).to_contain_text("stroma")
    dialog.get_by_role("button", name="Do mine all the same").click()
    expect(dialog).to_contain_text(f"Ada named cluster 0 ({size:,} cells) stroma")
    dialog.get_by_role("button", name="Do mine all the same").click()
    expect(ben.locator("#toasts")).to_contain_text("lymphocyte")
    expect(ada.locator(f"#cluster-{first}")).to_contain_text("lymphocyte")


def test_the_others_see_which_slide_one_looks_at(tmp_path, new_page):
    results = make(tmp_path, slides={"a": 60, "b": 70}, group="cohort", edge=600)
    with running(results, tmp_path) as server:
        ada, ben = new_page(server.address), new_page(server.address)
        probe(ben, "callMe", "Ben")
        ben.reload()
        ben.wait_for_selector("body[data-ready]")
        other = ada.locator("#people .other")
        expect(other).to_have_attribute("title", "Ben is here, on a")
        ben.keyboard.press("PageDown")
        expect(other).to_have_attribute("title", "Ben is here, on b")
        ben.close()
        expect(other).to_have_count(0)


def test_what_was_done_while_the_server_was_gone_is_sent_once_it_is_back(server, new_page):
    page = new_page(server.address)
    total = page.evaluate("clusterfirst.store.doc.clusters.length")
    page.keyboard.press("1")
    named(page, f"1 / {total}")
    server.kill()
    page.keyboard.press("2")
    expect(page.locator("#banner")).to_contain_text("not saved yet")
    expect(page.locator("#saved")).to_have_text("Offline · 1 unsent")
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.close(run_before_unload=True)  # the page asks first, and stays
    expect(page.locator("#banner")).to_contain_text("not saved yet")
    for _ in range(50):
        if asked:
            break
        page.wait_for_timeout(100)
    assert asked == ["beforeunload"]
    address = server.start()
    page.get_by_role("button", name="Try now").click()
    expect(page.locator("#banner")).to_contain_text("A token is needed")
    enter(page.context, address)
    page.get_by_role("button", name="Try now").click()
    named(page, f"2 / {total}")
    expect(page.locator("#banner")).to_be_hidden()
    expect(page.locator("#saved")).to_have_text("Saved")
    lines = [
        json.loads(line) for path in server.labels.glob("journal-*.jsonl") for line in path.read_text().splitlines()
    ]
    assert sum(line.get("action", {}).get("do") == "name" for line in lines) == 2


def test_every_control_has_a_name_and_can_be_reached_by_keyboard(server, new_page):
    page = new_page(server.address, hint=True)
    page.keyboard.press("1")
    named(page, f"1 / {page.evaluate('clusterfirst.store.doc.clusters.length')}")
    page.evaluate("clusterfirst.store.select(clusterfirst.store.clusters[0].key)")
    page.keyboard.press("r")
    expect(page.locator("#review .crop")).to_have_count(24)
    assert probe(page, "nameless") == []
    page.keyboard.press("Escape")
    page.locator("body").evaluate("() => document.activeElement.blur()")
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert {
        "slide",
        "undo",
        "export",
        "help",
        "clusters",
        "slide-view",
        "umap",
        "opacity",
        "find-class",
        "new-class",
        "alone",
    } <= reached

    # keys of one character can be switched off, and stay so
    page.click("#help")
    expect(page.locator("dialog .primary")).to_be_focused()
    page.get_by_label("Shortcuts of a single character").uncheck()
    page.keyboard.press("Enter")
    page.reload()
    page.wait_for_selector("body[data-ready]")
    for key in "2o?":
        page.keyboard.press(key)
    expect(page.locator("dialog")).to_have_count(0)
    assert page.evaluate("[clusterfirst.actions.queue.length, clusterfirst.store.doc.progress.clusters_named]") == [
        0,
        1,
    ]
    page.keyboard.press("Control+z")
    expect(page.locator("#toasts")).to_contain_text("Took back: cluster 0 = tumour.")


def test_a_cell_is_found_and_labelled_by_keyboard_alone(server, new_page):
    page = new_page(server.address)
    page.locator("#slide-view").focus()
    page.keyboard.press(".")
    row = page.evaluate("clusterfirst.store.cursor")
    assert row is not None
    expect(page.locator("#cell-facts")).to_contain_text("confidence")
    page.keyboard.press(".")
    second = page.evaluate("clusterfirst.store.cursor")
    assert second != row
    page.keyboard.press(",")
    assert page.evaluate("clusterfirst.store.cursor") == row
    page.keyboard.press("3")
    expect(page.locator("#toasts")).to_contain_text("1 cell is stroma")
    assert (label_of(page, row), label_of(page, second)) == ("stroma", None)


def test_first_steps_stay_ticked_and_go_once_all_are_done(server, new_page):
    page = new_page(server.address, hint=True)
    ticked = page.locator("#hint li.did")
    expect(ticked).to_have_count(0)
    page.keyboard.press("1")
    expect(ticked).to_have_count(2)
    page.reload()
    page.wait_for_selector("body[data-ready]")
    expect(ticked).to_have_count(2)
    page.evaluate("clusterfirst.store.select(clusterfirst.store.clusters[0].key)")
    page.keyboard.press("r")
    expect(page.locator("#review .crop")).to_have_count(24)
    page.keyboard.press("Enter")
    expect(page.locator("#hint")).to_be_hidden()
    # what the efficiency rests on, and why it is so little
    expect(page.locator("#efficiency")).to_have_attribute("title", re.compile("6 of the 24 cells .* drawn at random"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(server, new_page, scheme):
    page = new_page(server.address, hint=True, color_scheme=scheme)
    page.keyboard.press("1")
    expect(page.locator(".chip").first).to_be_visible()
    assert probe(page, "faint") == []


@pytest.mark.parametrize(("width", "height"), [(1000, 700), (1440, 900), (1920, 1080)])
def test_nothing_overlaps_and_nothing_is_cut_off(server, new_page, width, height):
    page = new_page(server.address, width=width, height=height)
    assert page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == [
        width,
        height,
    ]
    assert probe(page, "outside") == []
    assert probe(page, "overlapping") == []
    expect(page.locator("#clusters-named")).to_be_visible()


@pytest.fixture
def suggesting(copied):
    """What a model would call the first clusters: two on which all its views agree, one on which two of three do."""
    document = read_json(copied / "clusters.json")
    classes = [("tumour", "#d55e00"), ("mast cell", "#d55f01"), ("Stroma", "#009e73")]
    said = [
        {"class": word, "confidence": 0.8, "rationale": f"It looks like {word}.", "cells": [0], "cached": False}
        for word, _ in classes
    ]
    clusters = [
        {"id": i, "class": word, "share": share, "views": 3, "votes": [said[i]] * 2}
        for i, ((word, _), share) in enumerate(zip(classes, (1.0, 1.0, 0.6667), strict=True))
    ]
    told = {
        "clusterfirst": "classes",
        "version": 1,
        "model": "a-model",
        "server": "example.org",
        "clustering_sha256": fingerprint(document["cells"]["cluster_id"]),
        "classes": [{"name": name, "colour": colour} for name, colour in classes],
        "clusters": clusters,
        "stopped": None,
    }
    (copied / "classes.json").write_text(json.dumps(told), encoding="utf-8")


def test_what_a_model_suggests_is_accepted_by_key_and_all_at_once(suggesting, server, new_page):
    page = new_page(server.address)
    total = page.evaluate("clusterfirst.store.doc.clusters.length")
    card = page.get_by_role("group", name="Suggested: tumour, 3 of 3 views")
    expect(card).to_be_visible()
    card.get_by_text("Why?").click()
    expect(card).to_contain_text("It looks like tumour.” (a-model)")
    option = page.locator("#clusters [role=option]").nth(2)
    expect(option).to_have_attribute("aria-label", re.compile("no name, suggested Stroma, 2 of 3 views"))
    expect(page.locator("#suggestions")).to_contain_text("3 suggested")
    assert (probe(page, "nameless"), probe(page, "faint"), probe(page, "overlapping")) == ([], [], [])

    # one by one: by key, then by button; a class that is new comes with a colour that none has
    page.keyboard.press("a")
    page.get_by_role("button", name="Accept mast cell").click()
    named(page, f"2 / {total}")
    expect(page.locator("#toasts")).to_contain_text("is mast cell, as suggested")
    page.wait_for_function("clusterfirst.actions.queue.length === 0")
    classes = page.evaluate("clusterfirst.store.doc.classes")
    assert [entry["name"] for entry in classes][9:] == ["mast cell"]
    assert classes[9]["colour"] != "#d55f01"  # the colour of tumour, nearly
    expect(page.get_by_role("button", name="Accept 0")).to_be_disabled()  # none is left on which all views agree
    page.keyboard.press("Control+z")
    named(page, f"1 / {total}")

    # all that enough views agree on, in the letters of the class that is there; one undo takes all back
    expect(page.get_by_role("button", name="Accept 1")).to_be_visible()
    page.get_by_label("Share of views that agree").select_option("≥ 67 %")
    page.get_by_role("button", name="Accept 2").click()
    named(page, f"3 / {total}")
    assert page.evaluate("clusterfirst.store.clusters.slice(0, 4).map(c => c.name)") == [
        "tumour",
        "mast cell",
        "stroma",
        None,
    ]
    expect(page.locator("#suggestions")).to_be_hidden()
    page.keyboard.press("a")
    expect(page.locator("#toasts")).to_contain_text("Nothing is suggested here.")
    page.keyboard.press("Control+z")
    named(page, f"1 / {total}")


@pytest.mark.parametrize(("width", "height"), [(780, 437), (420, 420)])
def test_in_a_small_window_panels_follow_one_another(server, new_page, width, height):
    page = new_page(server.address, width=width, height=height)
    page.keyboard.press("1")
    expect(page.locator(".chip").first).to_be_attached()
    assert page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == [
        width,
        height,
    ]
    assert probe(page, "overlapping") == []
    for part in ("#slide-view", "#classes .class-name >> nth=8", "#clusters .chip", "#review-cluster", "#umap"):
        page.locator(part).scroll_into_view_if_needed()
        box = page.locator(part).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


def test_pure_functions(server, new_page):
    page = new_page(server.address)
    found = probe(page, "pure")
    assert found == {
        "ranges": "3-5,9,12",
        "back": [0, 1, 2, 7],
        "none": "",
        "ring": [True, False],
        "lengths": [100, 0.5, 5000],
        "grid": True,
        "nearest": True,
        "stays": True,
        "ink": ["#000000", "#ffffff"],
        "packed": "ff0c0b0a",
        "apart": True,
    }


def test_the_command_opens_the_page_by_way_of_a_file(server, browser, tmp_path):
    """Coming from a file, a browser sends no strict cookie along with a redirect."""
    entrance = Server.entrances[server.address]
    with cli.entrance(entrance) as path, browser.new_context() as context:
        page = context.new_page()
        page.goto(server.address)
        expect(page.locator("body")).to_contain_text("A token is needed")
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready]")
        assert page.url.startswith(server.address)
        assert "token" not in page.url
        assert page.evaluate("document.cookie") == ""


def test_nothing_comes_from_elsewhere(server, new_page):
    asked = []
    page = new_page(server.address)
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    page.wait_for_selector("body[data-ready]")
    assert asked
    assert all(url.startswith((server.address, "blob:", "data:")) for url in asked)
    assert SLIDE in page.title()


def test_the_page_names_all_its_modules_so_that_they_come_at_once(repo):
    static = repo / "workflow/scripts/clusterfirst/labelling/static"
    needed, todo = set(), [static / "naming/main.js"]
    while todo:
        path = todo.pop()
        imported = re.findall(r'from "(\.[^"]+)"', path.read_text(encoding="utf-8"))
        found = {(path.parent / name).resolve() for name in imported}
        todo += found - needed
        needed |= found
    page = (static / "index.html").read_text(encoding="utf-8")
    named = re.findall(r'modulepreload" href="/static/([^"]+)"', page)
    assert sorted(named) == sorted(path.relative_to(static.resolve()).as_posix() for path in needed)
