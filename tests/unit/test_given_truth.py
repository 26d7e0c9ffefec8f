"""Truth as points and as classes by cell id: what was written is what is read, and what is wrong is told."""

import gzip
import json

import geopandas
import pytest
import shapely
from hypothesis import given as examples
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clusterfirst.io import ClusterfirstError
from clusterfirst.labels import by_cell_id
from clusterfirst.outlines import foreign

from .. import defaults
from ..made import slide_facts

LOST = defaults.section("given", max_lost=1)
SIZE = {"slide": slide_facts(width=400, height=300), "given": LOST}
few = hypothesis_settings(max_examples=20, deadline=None)


def feature(geometry: dict, name: str | None, kind: str = "annotation") -> dict:
    properties = {"objectType": kind} | ({"classification": {"name": name}} if name else {})
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def point(x, y, name="tumor") -> dict:
    return feature({"type": "Point", "coordinates": [x, y]}, name)


@pytest.fixture
def write(tmp_path):
    def to_file(content, name="truth.geojson"):
        path = tmp_path / name
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return to_file


@pytest.fixture
def told(caplog):
    """Warnings, without the path."""
    caplog.set_level("WARNING", logger="clusterfirst.outlines.foreign")
    return lambda: [record.getMessage().split(": ", 1)[1] for record in caplog.records]


def rows(truth) -> list[tuple[float, float, str]]:
    return [(shape.x, shape.y, name) for shape, name in zip(truth.geometry, truth["name"], strict=True)]


# Points.


@pytest.mark.parametrize("name", ["a.geojson", "a.json", "a.geojson.gz"])
def test_points_and_their_classes_are_read_in_order(name, write, told):
    path = write([point(5, 6, "tumor"), point(400, 300, "sTIL"), point(0, 0, "other")], name)
    truth = foreign.read_truth(path, **SIZE)
    assert isinstance(truth, geopandas.GeoDataFrame)
    assert truth.columns.tolist() == ["geometry", "name"]
    assert rows(truth) == [(5, 6, "tumor"), (400, 300, "sTIL"), (0, 0, "other")]
    assert told() == []


def test_every_point_of_a_multipoint_is_a_cell(write):
    several = feature({"type": "MultiPoint", "coordinates": [[1, 2], [3, 4, 9]]}, "tumor")
    truth = foreign.read_truth(write([several, point(5, 6, "sTIL")]), **SIZE)
    assert rows(truth) == [(1, 2, "tumor"), (3, 4, "tumor"), (5, 6, "sTIL")]


def test_outlines_and_points_may_stand_together(write, told):
    box = feature(shapely.geometry.mapping(shapely.box(10, 10, 20, 20)), "tumor")
    truth = foreign.read_truth(write([point(1, 1, "a"), box, point(2, 2, "b")]), **SIZE)
    assert [shape.geom_type for shape in truth.geometry] == ["Point", "Polygon", "Point"]
    assert truth["name"].tolist() == ["a", "tumor", "b"]
    assert told() == []


def test_lines_are_left_out_and_told(write, told):
    line = feature({"type": "LineString", "coordinates": [[0, 0], [5, 5]]}, "tumor")
    assert len(foreign.read_truth(write([line, point(1, 1)]), **SIZE)) == 1
    assert told() == ["1 of 2 are points or lines, which outline nothing: left out (feature 1)"]


def test_points_of_geoparquet_are_read(tmp_path):
    shapes = [shapely.Point(1, 2), shapely.MultiPoint([(3, 4), (5, 6)]), shapely.Point(), None]
    geopandas.GeoDataFrame({"class": ["a", "b", "c", "d"], "geometry": shapes}).to_parquet(tmp_path / "a.parquet")
    assert rows(foreign.read_truth(tmp_path / "a.parquet", **SIZE)) == [(1, 2, "a"), (3, 4, "b"), (5, 6, "b")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "x,y,class\n1,2,tumor\n3.5,4,NA\n"),
        ("a.CSV", "id;Y;X;Cell_Type\n7;2;1;tumor\n8;4;3.5;NA\n"),
        ("a.tsv", "\ufeffClassification\tCentroid X px\tCentroid Y px\ntumor\t1\t2\nNA\t3.5\t4\n"),
        ("a.txt", '"centroid_x","centroid_y","type","name"\n1,2, tumor ,"p, q"\n3.5,4,NA,z\n'),
    ],
)
def test_tables_are_read_whatever_their_usual_headers(name, text, write, told):
    assert rows(foreign.read_truth(write(text, name), **SIZE)) == [(1, 2, "tumor"), (3.5, 4, "NA")]
    assert ["1 of 2 are of class 'NA'" in line for line in told()] == [True]


@few
@examples(
    st.lists(
        st.tuples(st.floats(0, 400), st.floats(0, 300), st.text("abcé,;\"' µ", min_size=1).filter(str.strip)),
        min_size=1,
        unique_by=lambda row: row[:2],
    )
)
def test_reading_a_table_gives_what_was_written(tmp_path_factory, wanted):
    import pandas as pd

    path = tmp_path_factory.mktemp("table") / "truth.csv"
    pd.DataFrame(wanted, columns=["x", "y", "class"]).to_csv(path, index=False)
    truth = foreign.read_truth(path, **SIZE)
    assert truth["name"].tolist() == [name.strip() for _, _, name in wanted]
    assert shapely.get_coordinates(truth.geometry).tolist() == [pytest.approx(row[:2]) for row in wanted]


def test_every_bad_row_is_told_at_once_with_its_place(write, told):
    good = "".join(f"{i},{i},tumor\n" for i in range(30))
    text = "x,y,class\n" + good + "ten,5,tumor\n7,,tumor\n500,5,tumor\n9,8, \n8,9\n"
    truth = foreign.read_truth(write(text, "a.csv"), **SIZE)
    assert len(truth) == 30
    assert told() == [
        "2 of 35 have a coordinate that is no number: dropped (line 32, line 33)",
        "1 of 35 lie wholly outside the slide: dropped (line 34)",
        "2 of 32 have no class: left out (line 35, line 36)",
    ]


def test_coordinates_that_are_no_numbers_are_told(write, told):
    bad = [feature({"type": "Point", "coordinates": xy}, "a") for xy in ([], [1], None, ["a", 2], {"x": 1}, 7)]
    assert len(foreign.read_truth(write([*bad, point(1, 1)]), **SIZE)) == 1
    assert told() == ["6 of 7 have a coordinate that is no number: dropped (feature 1, feature 2, feature 3, …)"]


@pytest.mark.parametrize("shapes", ["points", "outlines"])
def test_without_any_class_nothing_can_be_compared(shapes, write):
    geometry = {"points": shapely.Point(5, 5), "outlines": shapely.box(1, 1, 19, 19)}[shapes]
    with pytest.raises(ClusterfirstError, match=r"truth .*: none of 1 has a class.*Give classes.*column 'class'"):
        foreign.read_truth(write([feature(shapely.geometry.mapping(geometry), None)]), **SIZE)


def test_points_of_another_slide_are_an_error(write):
    many = {"type": "MultiPoint", "coordinates": [[i, i] for i in range(0, 600, 10)]}
    with pytest.raises(ClusterfirstError, match=r"points .*: 29 of 60 lie wholly outside the slide of 400 × 300 px"):
        foreign.read_truth(write([feature(many, "a")]), **SIZE | {"given": defaults.section("given")})


def test_no_usable_point_is_an_error(write):
    with pytest.raises(
        ClusterfirstError, match=r"points .*: none of 1 is usable: 1 have a coordinate that is no number"
    ):
        foreign.read_truth(write("x,y,class\na,b,c\n", "a.csv"), **SIZE)


@pytest.mark.parametrize(("name", "text"), [("a.geojson", "[]"), ("a.csv", "x,y,class\n"), ("a.tsv", "x\ty\tclass")])
def test_an_empty_file_is_no_truth(name, text, write):
    truth = foreign.read_truth(write(text, name), **SIZE)
    assert len(truth) == 0
    assert truth.columns.tolist() == ["geometry", "name"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as a table"),
        ("x,y,class\n1,2,a\n1,2,3,4,5\n", "cannot be read as a table"),
        ("x,class\n1,a\n", r"no column 'y' but 'x', 'class'\. Name the columns"),
        ("Centroid X µm,Centroid Y µm,Class\n1,2,a\n", r"no column 'x' but .*level-0 pixels of the slide, not µm"),
    ],
)
def test_tables_of_another_kind_are_errors_that_say_what_is_expected(text, message, write):
    with pytest.raises(ClusterfirstError, match=message):
        foreign.read_truth(write(text, "a.csv"), **SIZE)


def test_text_that_is_not_utf8_is_an_error(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"x,y,class\n1,2,\xe9\n")
    with pytest.raises(ClusterfirstError, match="cannot be read as a table"):
        foreign.read_truth(tmp_path / "a.csv", **SIZE)


def test_missing_files_and_unknown_kinds_are_errors(tmp_path):
    with pytest.raises(ClusterfirstError, match=r"truth .*nowhere\.csv: no such file"):
        foreign.read_truth(tmp_path / "nowhere.csv", **SIZE)
    (tmp_path / "a.xlsx").touch()
    with pytest.raises(ClusterfirstError, match=r"of no known kind; .*\.geojson.*\.csv"):
        foreign.read_truth(tmp_path / "a.xlsx", **SIZE)


def test_points_are_no_outlines_still(write):
    with pytest.raises(ClusterfirstError, match="are points or lines, which outline nothing"):
        foreign.read(write([point(1, 1)]), **SIZE)


def test_real_points_and_outlines_are_read(data):
    counts = {}
    for path in sorted((data / "nucls").glob("*.geojson")):
        for name in foreign.read_truth(path, **SIZE | {"slide": slide_facts(width=256, height=256)})["name"]:
            counts[name] = counts.get(name, 0) + 1
    assert sum(counts.values()) == 584
    assert sorted(counts) == ["nonTIL_stromal", "other_nucleus", "sTIL", "tumor_any"]
    slide = slide_facts(width=1000, height=1000)
    outlines = foreign.read_truth(data / "consep_train" / "train_1.geojson", slide, given=LOST)
    assert set(outlines.geometry.geom_type) == {"Polygon"}
    assert set(outlines["name"]) <= {"other", "inflammatory", "epithelial", "spindle"}


# Classes by cell id.


@pytest.mark.parametrize(
    "document",
    [
        {"cells": [{"cell_id": 2, "class": "tumor"}, {"cell_id": 0, "class": " sTIL "}, {"cell_id": 1, "class": None}]},
        {"2": "tumor", "0": "sTIL"},
        {"2": "tumor", "0": "sTIL", "3": " "},
        {"slide": "a", "time": "now", "cells": [{"cell_id": "2", "class": "tumor"}, {"cell_id": 0, "class": "sTIL"}]},
    ],
)
def test_labels_are_read_by_id(document, write, told):
    path = write(document, "labels.json")
    assert by_cell_id.holds_labels(path)
    assert by_cell_id.read(path, 4).tolist() == ["sTIL", None, "tumor", None]
    assert told() == []


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ([point(1, 1)], "a.json"),
        ({"type": "FeatureCollection", "features": []}, "a.json"),
        (point(1, 1), "a.json"),
        ("", "a.json"),
        ({"2": "tumor"}, "a.geojson"),
        ("x,y,class\n", "a.csv"),
    ],
)
def test_other_files_hold_no_labels(document, name, write):
    assert not by_cell_id.holds_labels(write(document, name))


def test_ids_of_other_cells_are_told_all_at_once(write):
    document = {"4": "a", "-1": "a", "x": "a", "0": "a", "1.0": "a", "9": "a"}
    wanted = r"labels .*: 5 of 6 cell ids are none of the slide's 4 cells \(ids 0 to 3\): 4, -1, x, …\. Labels belong"
    with pytest.raises(ClusterfirstError, match=wanted):
        by_cell_id.read(write(document, "a.json"), 4)


def test_the_last_of_several_labels_counts_and_is_told(write, told):
    cells = [{"cell_id": 1, "class": name} for name in ("a", "a", "b")] + [{"cell_id": 0, "class": "a"}] * 2
    assert by_cell_id.read(write({"cells": cells}, "a.json"), 2).tolist() == ["a", "b"]
    assert told() == ["1 cells have several classes, of which the last counts (cells 1)"]


@pytest.mark.parametrize("document", ["{", "[]", '{"cells": [{"cell_id": 1}]}', '{"cells": 5}', '{"cells": [3]}', "7"])
def test_other_documents_are_errors_that_say_what_is_expected(document, write):
    with pytest.raises(ClusterfirstError, match=r"cannot be read: .*; expected \{"):
        by_cell_id.read(write(document, "a.json"), 3)


def test_classes_must_be_text(write):
    with pytest.raises(ClusterfirstError, match="1 classes are no text: cells 1"):
        by_cell_id.read(write({"0": "a", "1": 5}, "a.json"), 3)
