"""One page of all finished slides: `snakemake cohort`."""

import shutil
from datetime import datetime

from clusterfirst.io import read_json

from ..html import Page

PAGE = "cohort.html"


def made(project):
    done = project.run("cohort")
    assert done.returncode == 0, done.stdout
    return Page((project.folder / "results" / PAGE).read_text(encoding="utf-8")), done.stdout


def rows(read, last):
    """The table whose last column is called so, without its head."""
    (found,) = [table[1:] for table in read.tables if table[0][-1] == last]
    return found


def test_the_page_shows_what_there_is_and_runs_nothing(copied):
    assert copied.jobs("cohort") == set()
    read, _ = made(copied)
    cells = {slide: read_json(copied.results(slide) / "clusters.json")["counts"]["cells"] for slide in "ab"}
    quality = rows(read, "time")
    assert {row[0]: int(row[7].replace(",", "")) for row in quality[:2]} == cells
    assert quality[2][7] == f"{sum(cells.values()):,}"
    assert "clusters of their own" in read.text
    assert "Not finished" not in read.text
    for source in read.sources:
        assert source.startswith(("data:", "#")) or (copied.folder / "results" / source).exists(), source
    assert "Nothing to be done" in copied.run("cohort").stdout
    assert copied.jobs() == set()


def test_slides_that_are_not_finished_are_named_with_the_reason(copied):
    made(copied)
    (copied.results("b") / "masks.parquet").unlink()
    (copied.results("b") / "logs/segment.log").write_text(f"{datetime.now():%F %T} ERROR the <disk> is full\n")
    read, _ = made(copied)
    assert rows(read, "why") == [["b", "segment", "failed", "the <disk> is full"]]
    assert [row[0] for row in rows(read, "time")] == ["a"]
    assert "1 of 2 slides are not finished" in read.text


def test_the_page_is_made_after_what_is_asked_for_with_it(copied):
    table = "results/a/cells.csv"
    assert not (copied.folder / table).exists()
    done = copied.run("cohort", table)
    assert done.returncode == 0, done.stdout
    page = copied.folder / "results" / PAGE
    assert "a/cells.csv" in Page(page.read_text(encoding="utf-8")).sources
    # A target that is a name stands for its files.
    done = copied.run("cohort", "annotations", "--dry-run", "--forcerun", "annotate")
    assert done.returncode == 0, done.stdout
    assert done.stdout.rindex("rule annotate:") < done.stdout.index("rule cohort:")


def test_everything_and_its_pages_can_be_asked_for_at_once(copied):
    """Nothing is finished when it begins, and no times are known; all is, when the pages are made."""
    for slide in "ab":
        shutil.rmtree(copied.results(slide) / "annotated")
        shutil.rmtree(copied.results(slide) / "benchmarks")
    done = copied.run("benchmarks", "cohort", "all")
    assert done.returncode == 0, done.stdout
    read = Page((copied.folder / "results" / PAGE).read_text(encoding="utf-8"))
    assert [row[0] for row in rows(read, "time")[:2]] == ["a", "b"]
    assert "Not finished" not in read.text
    assert "benchmarks.html" in read.sources or "benchmarks.html" in read.text
    table = (copied.folder / "results/benchmarks.csv").read_text(encoding="utf-8")
    assert [line.split(",")[:2] for line in table.splitlines()[1:]] == [["a", "annotate"], ["b", "annotate"]]


def test_without_a_finished_slide_the_target_says_what_to_do(new_project, tissue):
    project = new_project("no-cohort")
    project.write([{"slide": "a", "path": tissue / "a.png", "mpp": 0.499}])
    done = project.run("cohort")
    assert done.returncode != 0
    assert "no slide of slides.csv is finished in results/" in done.stdout
    assert "run snakemake first" in done.stdout
