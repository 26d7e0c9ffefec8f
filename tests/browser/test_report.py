"""The report of a finished run: what is in it, and that a browser shows it without a network."""

import shutil
import zipfile

import pytest

from ..workflow.test_scopes_and_sweeps import QUICK, typed

FIGURES = ["clusters", "gallery", "kept and rejected tiles", "overview", "umap"]
EVALUATION = [
    "clusters beside chance",
    "confusion",
    "label efficiency",
    "page: clusters against people",
    "table: clusters against people",
    "F1 over IoU",
    "table: scores of the outlines",
]
EXPECTED = {
    ("Slides", "s14"): FIGURES,
    ("Slides", "s12"): FIGURES,
    ("Slides together", None): ["clusters"],
    ("Evaluation", "All slides"): EVALUATION,
    ("Evaluation", "s14"): ["hits, misses and false alarms"],
    ("Evaluation", "s12"): ["hits, misses and false alarms"],
    ("Costs", None): ["page: time and memory", "table: time and memory"],
}
"""Figures by category and subcategory; a single subcategory is skipped by the menu."""
SHOWN = "file => document.querySelector(`img[src='${file}']`)?.naturalWidth > 300"


@pytest.fixture(scope="module")
def project(data, new_project):
    """Two small slides clustered together and evaluated; a third stands in the sheet afterwards, and is not run."""
    made = new_project("report")
    config = QUICK | {"clustering": {"scope": "cohort", "groups": 8}}
    made.write(typed(data, (14, 12)), config)
    done = made.run("all", "evaluate", "evaluate_segmentation")
    assert done.returncode == 0, done.stdout
    done = made.run("benchmarks")
    assert done.returncode == 0, done.stdout
    return made


@pytest.fixture(scope="module")
def report(project, tmp_path_factory):
    """The folder that the report was unpacked into."""
    done = project.run("--report", "report.zip")
    assert done.returncode == 0, done.stdout
    assert "not in the report" not in done.stdout
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(project.folder / "report.zip") as archive:
        archive.extractall(folder)
    return folder / "report"


@pytest.fixture
def opened(page, report):
    page.goto(f"file://{report}/report.html")
    link(page, "Slides").wait_for()
    yield page
    assert page.asked
    assert {url.split(":")[0] for url in page.asked} <= {"file", "data", "blob"}
    assert page.errors == []


def link(page, name):
    return page.get_by_role("link", name=name, exact=True)


def choose(page, category, subcategory):
    link(page, category).click()
    if subcategory:
        link(page, subcategory).click()


def rows(page):
    return page.locator("tbody tr")


@pytest.mark.parametrize(("place", "figures"), EXPECTED.items(), ids=lambda value: str(value[:2]))
def test_every_figure_is_shown_without_a_network(opened, place, figures):
    choose(opened, *place)
    rows(opened).first.wait_for()
    names = [row.locator("td").first.inner_text().strip() for row in rows(opened).all()]
    assert sorted(names) == sorted(figures)
    shown = set()
    for name, row in zip(names, rows(opened).all(), strict=True):
        show = row.locator("a").first
        if name.startswith("table"):
            assert show.get_attribute("href").startswith("data/raw/")
            continue
        show.click()
        if name.startswith("page"):
            heading = opened.frame_locator("iframe").locator("h1")
            assert heading.inner_text()
        else:
            file = opened.locator("img[src^='data/raw/']").get_attribute("src")
            assert file not in shown
            shown.add(file)
            opened.wait_for_function(SHOWN, arg=file)


def test_the_first_page_says_what_was_done(opened):
    assert "Every cell" in opened.inner_text("body")
    assert "For research and teaching only" in opened.inner_text("body")


def test_captions_say_what_is_to_be_seen(opened):
    choose(opened, "Slides", "s14")
    rows(opened).filter(has_text="gallery").locator("a").nth(1).click()
    opened.get_by_text("Typical cells of each cluster on s14").wait_for()


def test_slides_that_are_not_finished_are_left_out_and_named(project, data):
    sheet = project.folder / "slides.csv"
    finished = sheet.read_text()
    shutil.copy(project.folder / "own.yaml", project.folder / "kept.yaml")
    try:
        project.write(typed(data, (14, 12, 26)), QUICK | {"clustering": {"scope": "slide", "groups": 8}})
        done = project.run("--report", "part.zip")
    finally:
        sheet.write_text(finished)
        shutil.copy(project.folder / "kept.yaml", project.folder / "own.yaml")
    assert done.returncode == 0, done.stdout
    assert "not in the report, because they, or slides they are clustered with, are not finished: s26" in done.stdout
    with zipfile.ZipFile(project.folder / "part.zip") as archive:
        names = [name.rsplit("/", 1)[-1] for name in archive.namelist()]
    assert names.count("overview.png") == 2
    assert "clusters.html" not in names


def test_without_a_finished_slide_the_report_says_so(new_project, data):
    project = new_project("nothing")
    project.write(typed(data, (14,)), QUICK)
    done = project.run("--report", "report.zip")
    assert done.returncode != 0
    assert "there is nothing to report: no slide of slides.csv is finished in results/" in done.stdout
    assert not (project.folder / "report.zip").exists()
