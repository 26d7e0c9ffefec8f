"""What stages took: the right files added up the right way."""

import os

import pandas as pd
import pytest

from clusterfirst.io import ClusterfirstError
from clusterfirst.reports import costs

from ..html import Page

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


@pytest.fixture
def write(tmp_path):
    """Write a benchmark file; later ones are newer."""
    made = []

    def make(name, seconds, memory="-", cpu="-"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEAD + f"{seconds}\t0:00:01\t{memory}\t-\t-\t-\t-\t-\t0.0\t{cpu}\n")
        made.append(path)
        os.utime(path, (len(made), len(made)))
        return str(path)

    return make


def test_files_are_found_by_slide_and_group_and_without_any_there_is_nothing_to_tabulate(write, tmp_path):
    path = write("a/benchmarks/tile.tsv", 1)
    assert costs.files(tmp_path, ["a", "groups/cohort"], results="results") == {"a": {path: 10**9}, "groups/cohort": {}}
    with pytest.raises(ClusterfirstError, match="no stage of any slide has been run in results/"):
        costs.files(tmp_path, ["b"], results="results")


def test_jobs_of_a_stage_are_added_up_and_the_largest_memory_is_told(write):
    files = [write(f"a/outline-{n}-of-2.tsv", 10 * n, memory=100 * n, cpu=5) for n in (1, 2)]
    (row,) = costs.read({"a": files}).to_dict("records")
    assert row == {
        "slide": "a",
        "stage": "outline",
        "jobs": 2,
        "seconds": 30,
        "cpu_seconds": 10,
        "max_memory_mb": 200,
    }


def test_jobs_of_an_earlier_run_with_other_shards_do_not_count(write):
    old = [write(f"a/outline-{n}-of-3.tsv", 1000) for n in (1, 2, 3)]
    new = [write(f"a/outline-{n}-of-2.tsv", 10) for n in (1, 2)]
    (row,) = costs.read({"a": old + new}).to_dict("records")
    assert (row["jobs"], row["seconds"]) == (2, 20)


def test_what_was_too_short_to_be_measured_is_unknown_and_not_zero(write):
    (row,) = costs.read({"a": [write("a/tile.tsv", 0.3)]}).to_dict("records")
    assert row["seconds"] == 0.3
    assert pd.isna(row["max_memory_mb"])
    assert pd.isna(row["cpu_seconds"])


def test_slides_stand_as_in_the_sheet_and_stages_as_they_run(write):
    files = {
        "b": [write(f"b/{stage}.tsv", 1) for stage in ("zoom", "annotate", "tile", "segment")],
        "a": [write("a/tile.tsv", 1)],
        "none": [],
    }
    table = costs.read(files)
    assert list(zip(table["slide"], table["stage"], strict=True)) == [
        ("b", "tile"),
        ("b", "segment"),
        ("b", "annotate"),
        ("b", "zoom"),
        ("a", "tile"),
    ]
    assert costs.by_stage(table).index.tolist() == ["tile", "segment", "annotate", "zoom"]


def test_all_slides_of_a_stage_are_summed_up(write):
    files = {slide: [write(f"{slide}/tile.tsv", 3600 * n, memory=n)] for n, slide in enumerate("abcd", start=1)}
    tile = costs.by_stage(costs.read(files)).loc["tile"]
    assert tile.to_dict() == {
        "slides": 4,
        "jobs": 4,
        "hours": 10,
        "median_seconds": 2.5 * 3600,
        "longest_seconds": 4 * 3600,
        "max_memory_mb": 4,
    }


def test_the_page_has_a_row_for_every_stage_and_slide(write, tmp_path):
    files = {
        "a": [write("a/tile.tsv", 12.34, memory=2500), write("a/embed.tsv", 100)],
        "<b>": [write("b/tile.tsv", 1)],
    }
    costs.write_page(costs.read(files), tmp_path / "page.html")
    stages, slides = Page((tmp_path / "page.html").read_text()).tables
    assert [row[0] for row in stages] == ["stage", "tile", "embed"]
    assert slides == [
        ["slide", "all stages", "most memory (GB)", "tile", "embed"],
        ["a", "112.3", "2.50", "12.3", "100.0"],
        ["<b>", "1.0", "", "1.0", ""],
    ]
    assert "://" not in (tmp_path / "page.html").read_text()


def test_a_page_of_nothing_is_a_page(tmp_path):
    costs.write_page(costs.read({"a": []}), tmp_path / "page.html")
    assert "0 slides" in (tmp_path / "page.html").read_text()
