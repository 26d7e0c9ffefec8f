"""Outlines from elsewhere: what was written is what is read, and nothing wrong with it passes in silence."""

import gzip
import json
import logging
import math

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
import tifffile
from hypothesis import given as examples
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from clusterfirst.io import ClusterfirstError, write_table
from clusterfirst.outlines import foreign, objects
from clusterfirst.outlines.foreign import geojson
from clusterfirst.outlines.foreign.label_image import _opened

from .. import defaults
from ..made import slide_facts

WIDTH, HEIGHT = 400, 300
few = hypothesis_settings(max_examples=40, deadline=None)


def read(path, width=WIDTH, height=HEIGHT, *, mpp=0.5, **given):
    """As a slide of that size; nothing is lost too much, unless it is said."""
    section = defaults.section("given", **{"max_lost": 1, "min_median_um2": 0} | given)
    return foreign.read(path, slide_facts(width=width, height=height, mpp=mpp), given=section)


def square(x: float, y: float, edge: float = 10) -> shapely.Polygon:
    return shapely.box(x, y, x + edge, y + edge)


def squares(count: int) -> list[shapely.Polygon]:
    """Some in a row: good company for a bad one, so that it is less than a tenth."""
    return [square(15 * i, 20) for i in range(count)]


def moved(shape: shapely.Geometry, x: float, y: float) -> shapely.Geometry:
    return shapely.transform(shape, lambda points: points + np.array([x, y]))


def feature(geometry, name=None, **more) -> dict:
    properties = {"objectType": "detection"} | ({"classification": {"name": name, "color": [1, 2, 3]}} if name else {})
    mapped = shapely.geometry.mapping(geometry) if isinstance(geometry, shapely.Geometry) else geometry
    return {"type": "Feature", "geometry": mapped, "properties": properties} | more


def collection(features) -> dict:
    return {"type": "FeatureCollection", "features": list(features)}


@pytest.fixture
def write(tmp_path):
    """Write a document as GeoJSON and return its path."""

    def to_file(document, name="cells.geojson"):
        path = tmp_path / name
        text = document if isinstance(document, str) else json.dumps(document)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return to_file


@pytest.fixture
def warnings(caplog) -> list[str]:
    """What is told while reading, in order; filled as it comes."""
    told = []

    class Keep(logging.Handler):
        def emit(self, record):
            assert record.levelno == logging.WARNING
            told.append(record.getMessage().split(": ", 1)[1])

    handler = Keep(logging.WARNING)
    logger = logging.getLogger("clusterfirst.outlines.foreign")
    logger.addHandler(handler)
    yield told
    logger.removeHandler(handler)


def same(read_ones, wanted) -> bool:
    wanted = np.array(list(wanted), object)
    return len(read_ones) == len(wanted) and bool(shapely.equals(read_ones.geometry.to_numpy(), wanted).all())


# Every format.


@pytest.mark.parametrize("name", ["a.geojson", "a.json", "a.geojson.gz", "a.JSON.gz", "tumour.1.GeoJSON"])
def test_a_qupath_file_gives_its_polygons_and_classes_in_order(name, write, warnings):
    wanted = [square(50, 60), square(5, 5), shapely.Point(200, 200).buffer(15)]
    cells = read(write(collection(map(feature, wanted, ["Tumor", None, "Immune cells"])), name))
    assert isinstance(cells, geopandas.GeoDataFrame)
    assert cells.columns.tolist() == ["geometry", "name"]
    assert cells.index.tolist() == [0, 1, 2]
    assert cells.crs is None
    assert same(cells, wanted)
    assert cells["name"].tolist() == ["Tumor", None, "Immune cells"]
    assert warnings == []


@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize("shape", ["collection", "list", "one", "collection with more"])
def test_a_collection_a_list_and_a_single_feature_are_read(shape, spaced, write):
    features = [feature(polygon, "Tumor") for polygon in squares(1 if shape == "one" else 3)]
    document = {
        "collection": collection(features),
        "list": features,
        "one": features[0],
        "collection with more": {"crs": {"a": ["features", []]}, "name": 'fe"atures'} | collection(features) | {"z": 1},
    }[shape]
    text = json.dumps(document, indent=3) if spaced else json.dumps(document, separators=(",", ":"))
    cells = read(write(f"\n {text}\t\n" if spaced else text))
    assert same(cells, squares(len(features)))
    assert set(cells["name"]) == {"Tumor"}


def test_a_byte_order_mark_is_skipped(write):
    assert len(read(write("\ufeff" + json.dumps([feature(square(1, 1))])))) == 1


@pytest.mark.parametrize(
    ("classification", "wanted"),
    [
        ({"name": "Tumor", "colorRGB": -3670016}, "Tumor"),  # QuPath 0.2, 0.3
        ({"name": "Tumor: Positive", "color": [250, 62, 62]}, "Tumor: Positive"),
        ({"names": ["Tumor", "Positive"], "color": [250, 62, 62]}, "Tumor: Positive"),  # 0.4 and later, derived classes
        ({"names": ["Stroma"]}, "Stroma"),
        ({"names": []}, None),
        ({"name": None}, None),
        ({"name": "  "}, None),
        ("Stroma", "Stroma"),
        ('{"name": "Tumor", "color": [1, 2, 3]}', "Tumor"),
        ("{not JSON", "{not JSON"),
        ({}, None),
        (None, None),
        (7, None),
    ],
)
def test_classes_are_read_as_any_version_of_qupath_wrote_them(classification, wanted, write):
    one = feature(square(1, 1))
    one["properties"]["classification"] = classification
    assert read(write([one]))["name"].tolist() == [wanted]


@pytest.mark.parametrize("properties", [None, {}, {"measurements": {"a": 1}}, []])
def test_features_of_other_programs_need_no_properties(properties, write):
    one = feature(square(1, 1))
    one["properties"] = properties
    assert read(write([one]))["name"].tolist() == [None]
    del one["properties"]
    assert len(read(write([one]))) == 1


def test_third_coordinates_are_left_out(write, tmp_path):
    flat, deep = square(10, 10), shapely.force_3d(square(30, 10), 5)
    frame([flat, deep]).to_parquet(tmp_path / "cells.parquet")
    for path in (write([feature(flat), feature(deep)]), tmp_path / "cells.parquet"):
        cells = read(path)
        assert same(cells, [flat, square(30, 10)])
        assert not cells.has_z.any()


def test_rings_that_are_not_closed_are_closed(write):
    ring = [[10, 10], [20, 10], [15, 20]]
    cells = read(write([feature({"type": "Polygon", "coordinates": [ring]})]))
    assert same(cells, [shapely.Polygon(ring)])


def frame(polygons, **columns) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(columns, geometry=list(polygons))


@pytest.mark.parametrize("suffix", ["parquet", "geoparquet"])
@pytest.mark.parametrize("column", ["name", "class", "label", "classification"])
def test_geoparquet_is_read_with_its_class_column(column, suffix, tmp_path, warnings):
    path = tmp_path / f"cells.{suffix}"
    frame(squares(3), number=[1, 2, 3], **{column: ["a", None, "b"]}).to_parquet(path)
    cells = read(path)
    assert same(cells, squares(3))
    assert cells["name"].tolist() == ["a", None, "b"]
    assert cells.columns.tolist() == ["geometry", "name"]
    assert warnings == []


def test_classes_may_be_categories(tmp_path):
    frame(squares(2), **{"class": pd.Categorical(["a", None])}).to_parquet(tmp_path / "cells.parquet")
    assert read(tmp_path / "cells.parquet")["name"].tolist() == ["a", None]


def test_numbers_are_no_classes(tmp_path):
    frame(squares(2), name=[1, 2], label=["a", "b"]).to_parquet(tmp_path / "cells.parquet")
    assert read(tmp_path / "cells.parquet")["name"].tolist() == ["a", "b"]


def test_a_qupath_file_that_went_through_geopandas_keeps_its_classes(write, tmp_path):
    written = write(collection([feature(square(1, 1), "Tumor"), feature(square(20, 1))]))
    geopandas.read_file(written).to_parquet(tmp_path / "cells.parquet")
    assert read(tmp_path / "cells.parquet")["name"].tolist() == ["Tumor", None]


def test_another_name_of_the_geometry_column_is_found(tmp_path):
    frame(squares(2)).rename_geometry("nucleus").to_parquet(tmp_path / "cells.parquet")
    assert same(read(tmp_path / "cells.parquet"), squares(2))


def test_the_projects_own_table_of_objects_can_be_given(tmp_path):
    rows = pd.DataFrame({"geometry": np.array(squares(3), object), "tile_id": "t", "score": np.nan, "truncated": False})
    write_table(objects.table(rows, mpp=0.5), tmp_path / "masks.parquet", {})
    cells = read(tmp_path / "masks.parquet")
    assert same(cells, squares(3))
    assert cells["name"].tolist() == [None] * 3


def label_image(dtype=np.uint16) -> np.ndarray:
    image = np.zeros((HEIGHT, WIDTH), dtype)
    image[10:40, 20:60] = 3
    image[100:120, 300:400] = 1
    image[250:300, 0:30] = 200
    return image


LABELLED = [(300, 100, 400, 120), (20, 10, 60, 40), (0, 250, 30, 300)]
"""Bounds, in the order of the labels."""


def save(image, path, **options):
    if path.suffix == ".png":
        Image.fromarray(image).save(path)
    else:
        tifffile.imwrite(path, image, **options)
    return path


@pytest.mark.parametrize(
    ("name", "dtype", "options"),
    [
        ("a.tif", np.uint8, {}),
        ("a.tiff", np.uint16, {"compression": "zlib"}),
        ("a.TIF", np.int32, {"tile": (64, 64), "compression": "zlib", "predictor": True}),
        ("a.ome.tif", np.uint32, {"byteorder": ">"}),
        ("a.tif", np.int64, {}),
        ("a.png", np.uint8, None),
        ("a.png", np.uint16, None),
    ],
)
def test_a_label_image_gives_its_objects_in_the_order_of_their_labels(name, dtype, options, tmp_path, warnings):
    cells = read(save(label_image(dtype), tmp_path / name, **(options or {})))
    assert [polygon.bounds for polygon in cells.geometry] == LABELLED
    assert cells.geometry.area.tolist() == [2000 - 0.5, 1200 - 0.5, 1500 - 0.5]
    assert cells["name"].tolist() == [None] * 3
    assert warnings == []


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_label_image_that_is_mapped_from_disk_gives_the_same(compression, tmp_path, monkeypatch):
    monkeypatch.setattr("clusterfirst.outlines.foreign.label_image._IN_MEMORY_BYTES", 0)
    monkeypatch.setattr("clusterfirst.outlines.foreign.labels.BLOCK_ROWS", 7)
    path = save(label_image(), tmp_path / "a.tif", compression=compression)
    assert isinstance(_opened(path, slide_facts(width=WIDTH, height=HEIGHT)), np.memmap)
    assert [polygon.bounds for polygon in read(path).geometry] == LABELLED


def test_very_large_labels_cost_no_memory(tmp_path, warnings):
    image = label_image(np.uint32)
    image[image == 3] = 4_000_000_000
    image[200, 200] = image[200, 203] = 4_294_967_295
    cells = read(save(image, tmp_path / "a.tif"))
    assert [polygon.bounds for polygon in cells.geometry][:3] == [LABELLED[0], LABELLED[2], LABELLED[1]]
    assert warnings == ["1 of 4 are in several pieces: the largest kept (label 4294967295)"]


def test_negative_labels_are_background(tmp_path):
    image = label_image(np.int32)
    image[0:5] = -1
    assert len(read(save(image, tmp_path / "a.tif"))) == 3


def test_a_pyramids_full_resolution_is_read(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(label_image(), subifds=1, tile=(64, 64))
        file.write(label_image()[::2, ::2], subfiletype=1, tile=(64, 64))
    assert [polygon.bounds for polygon in read(tmp_path / "a.tif").geometry] == LABELLED


@pytest.mark.parametrize(
    ("width", "height"), [(WIDTH * 4, HEIGHT * 4), (WIDTH * 4 + 3, HEIGHT * 4 + 1), (903, 677), (436, 327)]
)
def test_a_smaller_image_of_the_whole_slide_is_scaled_up_and_said_to_be(width, height, tmp_path, warnings):
    image = label_image()
    image[:, -1] = 7
    cells = read(save(image, tmp_path / "a.png"), width, height, mpp=0.1)
    scale = np.array([width / WIDTH, height / HEIGHT])
    wanted = np.array(LABELLED[1]) * np.tile(scale, 2)
    assert cells.geometry.iloc[1].bounds == pytest.approx(wanted)
    assert cells.total_bounds[[0, 2, 3]] == pytest.approx([0, width, height])
    assert (cells.total_bounds[2:] <= (width, height)).all()
    assert len(warnings) == 1
    assert f"is 400 × 300 px, the slide {width} × {height} px: taken for the whole slide" in warnings[0]


@pytest.mark.parametrize(("width", "height"), [(300, 400), (200, 150), (400, 302), (800, 603), (4000, 2000)])
def test_a_label_image_of_another_size_is_refused_naming_both(width, height, tmp_path):
    path = save(label_image(), tmp_path / "a.png")
    with pytest.raises(ClusterfirstError, match=f"400 × 300 px, the slide {width} × {height} px"):
        read(path, width, height)


coordinates = st.integers(0, 8 * 300).map(lambda eighths: eighths / 8)


@st.composite
def polygons(draw):
    """Triangles and more, convex, anywhere on the slide."""
    points = draw(st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=12, unique=True))
    hull = shapely.convex_hull(shapely.MultiPoint(points))
    return hull if hull.geom_type == "Polygon" else square(*points[0])


@st.composite
def named_polygons(draw):
    """Each in a place of its own: of those that lie in others, some are left out."""
    cells = draw(named)
    places = [(80 * (i % 4), 80 * (i // 4)) for i in range(len(cells))]
    return [
        (shapely.transform(shape, lambda xy, place=place: xy / 4 + place), name)
        for place, (shape, name) in zip(places, cells, strict=True)
    ]


named = st.lists(st.tuples(polygons(), st.none() | st.text(min_size=1).map(str.strip).filter(bool)), max_size=12)


@few
@examples(named_polygons(), st.sampled_from(["a.geojson", "a.geojson.gz", "a.parquet"]), st.integers(1, 5))
def test_reading_gives_what_was_written(tmp_path_factory, cells, name, batch):
    path = tmp_path_factory.mktemp("given") / name
    shapes, names = [shape for shape, _ in cells], [None if text is None else "c" + text for _, text in cells]
    if name == "a.parquet":
        frame(shapes, name=pd.Series(names, dtype="string")).to_parquet(path)
    else:
        text = json.dumps(collection(map(feature, shapes, names))).encode()
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(geojson, "_BATCH", batch)
        back = read(path, 320, 320)
    assert same(back, shapes)
    assert back["name"].tolist() == names
    assert shapely.is_valid(back.geometry.to_numpy()).all()


# Every fault: told once, and the good ones stay.


BOW_TIE = shapely.Polygon([(100, 100), (140, 140), (140, 100), (100, 130)])
WITH_HOLE = shapely.Polygon(square(100, 100, 30).exterior, [square(110, 110).exterior])
TWO = shapely.MultiPolygon([square(122, 100, 5), square(100, 100, 20)])
FAULTS = {
    "crossed": (BOW_TIE, None, "cross themselves: repaired; of what fell apart, the largest piece kept"),
    "with a hole": (WITH_HOLE, square(100, 100, 30), "have holes: filled"),
    "in two pieces": (TWO, square(100, 100, 20), "are in several pieces: the largest kept"),
    "across the border": (square(390, 290, 30), square(390, 290), "reach beyond the slide: clipped"),
    "across the corner at 0, 0": (square(-20, -20, 30), square(0, 0), "reach beyond the slide: clipped"),
    "outside": (square(500, 100), "dropped", "lie wholly outside the slide: dropped"),
    "outside, touching": (square(400, 100), "dropped", "lie wholly outside the slide: dropped"),
    "flat": (shapely.Polygon([(1, 1), (9, 9), (5, 5)]), "dropped", "have no area: dropped"),
    "empty": (shapely.Polygon(), "dropped", "have no area: dropped"),
    "no geometry": (None, "dropped", "have no area: dropped"),
    "a point": (shapely.Point(5, 5), "dropped", "are points or lines, which outline nothing: left out"),
    "a line": (shapely.LineString([(0, 0), (5, 5)]), "dropped", "are points or lines, which outline nothing: left out"),
    "points": (
        shapely.GeometryCollection([shapely.MultiPoint([(1, 1), (2, 2)])]),
        "dropped",
        "are points or lines, which outline nothing: left out",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", ["geojson", "parquet"])
def test_a_fault_is_told_and_the_rest_is_kept(fault, kind, write, tmp_path, warnings):
    bad, mended, what = FAULTS[fault]
    shapes = [*squares(10), bad, square(370, 280)]
    if kind == "geojson":
        path = write(collection(map(feature, shapes, map(str, range(12)))))
    else:
        path = tmp_path / "cells.parquet"
        frame(shapes, name=list(map(str, range(12)))).to_parquet(path)
    cells = read(path)
    place = {"geojson": "feature", "parquet": "row"}[kind]
    assert warnings == [f"1 of 12 {what} ({place} 11)"]
    assert shapely.is_valid(cells.geometry.to_numpy()).all()
    dropped = mended == "dropped"
    assert cells["name"].tolist() == [str(i) for i in range(12) if not (dropped and i == 10)]
    assert same(cells.drop(index=[] if dropped else 10), [*squares(10), square(370, 280)])
    if mended is not None and not dropped:
        assert shapely.equals(cells.geometry[10], mended)


def test_of_a_crossed_outline_the_largest_piece_is_kept(write):
    cells = read(write([feature(BOW_TIE)]))
    pieces = shapely.get_parts(shapely.make_valid(BOW_TIE))
    assert shapely.equals(cells.geometry[0], pieces[shapely.area(pieces).argmax()])


def test_of_an_outline_cut_in_two_by_the_border_the_largest_piece_is_kept(write):
    # A U on its side, its back beyond the right border.
    u = square(380, 100, 60).difference(shapely.box(370, 110, 420, 145))
    cells = read(write([feature(u)]))
    assert shapely.equals(cells.geometry[0], shapely.box(380, 145, 400, 160))


def test_of_a_collection_the_polygons_are_taken(write, tmp_path):
    mixed = shapely.GeometryCollection([shapely.Point(1, 1), TWO, square(300, 100, 5)])
    wanted = [square(100, 100, 20), square(300, 100, 5)]
    assert same(read(write([feature(mixed)])), wanted)
    frame([mixed]).to_parquet(tmp_path / "cells.parquet")
    assert same(read(tmp_path / "cells.parquet"), wanted)


def test_holes_that_stick_out_are_filled_not_taken_for_a_crossing(write, warnings):
    bad = shapely.Polygon(square(100, 100, 30).exterior, [square(120, 110, 20).exterior])
    assert not bad.is_valid
    assert same(read(write([feature(bad)])), [square(100, 100, 30)])
    assert warnings == ["1 of 1 have holes: filled (feature 1)"]


@pytest.mark.parametrize(
    "ring",
    [
        [[1, 1], [2, 2]],
        [],
        [[1, 1], [9, 1], [9, math.nan], [1, 1]],
        [[1, 1], [9, 1], [9, math.inf], [1, 1]],
        [[1, 1], [9, 1], [9, None], [1, 1]],
        [[math.nan, 1], [9, 1], [9, 9], [math.nan, 1]],
    ],
)
def test_rings_without_three_corners_or_numbers_are_no_outline(ring, write, warnings):
    hole = [[2, 2], [3, 2], [3, 3]]
    bad = {"type": "Polygon", "coordinates": [ring, hole]}
    assert same(read(write([feature(square(1, 1)), feature(bad)])), [square(1, 1)])
    assert warnings == ["1 of 2 have no area: dropped (feature 2)"]


@pytest.mark.parametrize("hole", [[], [[2, 2], [3, 3]], [[math.nan, 2], [3, 3], [4, 3]]])
def test_a_hole_that_is_none_costs_nothing(hole, write, warnings):
    outer = shapely.geometry.mapping(square(1, 1))["coordinates"][0]
    cells = read(write([feature({"type": "Polygon", "coordinates": [outer, hole]}), feature(square(30, 30))]))
    assert same(cells, [square(1, 1), square(30, 30)])
    assert warnings == []


def test_only_the_first_places_are_named_with_their_ids(write, warnings):
    features = [feature(square(15 * i, 20), id=f"cell-{i}") for i in range(20)]
    for i in (3, 5, 8, 11, 13):
        features[i]["geometry"] = None
    features[5]["id"] = None
    assert len(read(write(features))) == 15
    (told,) = warnings
    assert told == ("5 of 20 have no area: dropped (feature 4 with id cell-3, feature 6, feature 9 with id cell-8, …)")


def test_every_kind_of_fault_is_one_warning(write, warnings):
    bad = [BOW_TIE, WITH_HOLE, TWO, square(390, 290, 30), square(500, 100), shapely.Polygon(), shapely.Point(1, 1)]
    bad[:3] = [moved(one, 60 * i, 0) for i, one in enumerate(bad[:3])]
    again = [moved(one, 0, 100) for one in bad[:3]] + [square(390, 250, 30), *bad[4:]]
    read(write([feature(one) for one in (*squares(20), *bad, *again)]))
    assert len(warnings) == 7
    assert all(told.startswith("2 of 34 ") for told in warnings)


def test_holes_and_pieces_of_labels_are_told(tmp_path, warnings):
    image = label_image()
    image[20:30, 30:40] = 0
    image[105, 350:352] = 0
    image[200:203, 200:203] = 200
    cells = read(save(image, tmp_path / "a.tif"))
    assert [polygon.bounds for polygon in cells.geometry] == LABELLED
    assert warnings == [
        "1 of 3 are in several pieces: the largest kept (label 200)",
        "2 of 3 have holes: filled (label 1, label 3)",
    ]


@pytest.mark.parametrize("region", ["annotation", "tile", "tma_core"])
def test_regions_around_cells_are_left_out(region, write, warnings):
    around = feature(square(0, 0, 200), "Tumor")
    around["properties"]["objectType"] = region
    cells = read(write([around, *map(feature, squares(3))]))
    assert same(cells, squares(3))
    assert warnings == ["1 of 4 are regions, not cells as the others: left out (feature 1)"]


def test_regions_of_old_qupath_files_are_known_by_their_ids(write):
    old = [("PathAnnotationObject", square(0, 0, 200)), ("PathCellObject", square(1, 1))]
    features = [feature(shape, id=name) | {"properties": {"isLocked": False}} for name, shape in old]
    assert same(read(write(features)), [square(1, 1)])


def test_cells_drawn_by_hand_are_annotations_and_stay(write, warnings):
    features = [feature(shape, "Tumor") for shape in squares(3)]
    for one in features[:2]:
        one["properties"]["objectType"] = "annotation"
    del features[2]["properties"]["objectType"]
    assert same(read(write(features)), squares(3))
    assert warnings == []


# What ends the work.


@pytest.mark.parametrize(("outside", "fine"), [(1, True), (2, False), (10, False)])
def test_more_than_a_tenth_outside_the_slide_is_an_error(outside, fine, write):
    path = write([feature(shape) for shape in (*squares(9), *[square(900, 20)] * outside)])
    if fine:
        assert len(read(path, max_lost=0.1)) == 9
        return
    with pytest.raises(
        ClusterfirstError, match=f"{outside} of {9 + outside} lie wholly outside the slide of 400 × 300"
    ):
        read(path, max_lost=0.1)


def test_the_error_says_where_and_what_coordinates_must_be(write):
    path = write([feature(square(4000, 20), id="x")])
    with pytest.raises(
        ClusterfirstError, match=r"cells\.geojson: .*\(feature 1 with id x\).*full resolution \(level 0\)"
    ):
        read(path, max_lost=0.1)


def test_a_file_with_nothing_usable_is_an_error_that_says_why(write):
    path = write([feature(shapely.Point(1, 1)), feature(shapely.Point(2, 2)), feature(shapely.Polygon())])
    with pytest.raises(ClusterfirstError, match=r"none of 3 is usable: 2 are points.*; 1 have no area: dropped\."):
        read(path)


@pytest.mark.parametrize("name", ["none.geojson", "none.parquet", "none.tif"])
def test_nothing_in_a_file_is_nothing_wrong(name, write, tmp_path, warnings):
    path = tmp_path / name
    if name.endswith("geojson"):
        write(collection([]), name)
    elif name.endswith("parquet"):
        frame([]).to_parquet(path)
    else:
        save(np.zeros((HEIGHT, WIDTH), np.uint16), path)
    cells = read(path)
    assert isinstance(cells, geopandas.GeoDataFrame)
    assert len(cells) == 0
    assert cells.columns.tolist() == ["geometry", "name"]
    assert warnings == []


@pytest.mark.parametrize("empty", ["[]", "[ ]", ' {"features" : [ ] } '])
def test_empty_lists_are_read(empty, write):
    assert len(read(write(empty))) == 0


def test_a_missing_file_and_an_unknown_kind_are_errors(tmp_path):
    with pytest.raises(ClusterfirstError, match=r"nowhere\.geojson: no such file"):
        read(tmp_path / "nowhere.geojson")
    (tmp_path / "cells.csv").touch()
    with pytest.raises(ClusterfirstError, match=r"cells.csv: of no known kind.*\.geojson.*\.parquet.*\.png"):
        read(tmp_path / "cells.csv")


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.999])
def test_an_incomplete_file_is_an_error_with_the_place(keep, write):
    text = json.dumps(collection(map(feature, squares(20))), indent=1)
    path = write(text[: int(keep * len(text)) - 3])
    with pytest.raises(ClusterfirstError, match=r"cells.geojson is not JSON at line \d+, column \d+, after \d+ feat"):
        read(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "null",
        "7",
        "{}",
        '{"a" 1}',
        '{"type": "Topology"}',
        '{"features": 3}',
        "[1]",
        "[[]]",
        '[{"id": 1}]',
    ],
)
def test_other_content_is_an_error_that_says_what_is_expected(text, write):
    with pytest.raises(ClusterfirstError, match=r"cells.geojson.*expected a FeatureCollection as QuPath exports it"):
        read(write(text))


def test_the_place_of_a_syntax_error_is_the_true_one(write):
    lines = ["[", json.dumps(feature(square(1, 1))) + ",", '{"type": Feature}', "]"]
    with pytest.raises(ClusterfirstError, match="at line 3, column 10, after 1 features"):
        read(write("\n".join(lines)))


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "Polygon", "coordinates": [[["a", 1], ["b", 2], ["c", 3]]]},
        {"type": "Polygon", "coordinates": [[1, 2, 3, 4]]},
        {"type": "Polygon", "coordinates": [[[1], [2], [3]]]},
        {"type": "Polygon", "coordinates": [[[1, 2], [3, 4, 5], [6, 7]]]},
        {"type": "Polygon", "coordinates": 5},
        {"type": "Polygon"},
        {"type": "MultiPolygon", "coordinates": [5]},
        {"type": "Circle", "coordinates": [1, 2], "radius": 4},
        {"coordinates": [[[1, 2], [3, 4], [5, 6]]]},
        "POLYGON ((1 1, 2 2, 3 1))",
        [1, 2],
    ],
)
def test_a_malformed_geometry_is_an_error_with_its_number(geometry, write):
    path = write([*map(feature, squares(2)), feature(geometry), feature(square(1, 1))])
    with pytest.raises(ClusterfirstError, match=r"cells\.geojson, feature 3: expected a Polygon or MultiPolygon"):
        read(path)


def test_damaged_compression_is_an_error(write, tmp_path):
    whole = write(collection(map(feature, squares(20))), "a.json.gz").read_bytes()
    for name, content in {
        "cut.json.gz": whole[:100],
        "bits.json.gz": whole[:60] + b"x" * 99,
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ClusterfirstError, match=f"{name} cannot be read: .*copy it again"):
            read(tmp_path / name)


def test_text_that_is_not_utf8_is_an_error(tmp_path):
    (tmp_path / "a.geojson").write_bytes(
        json.dumps([feature(square(1, 1), "Tumör")], ensure_ascii=False).encode("latin-1")
    )
    with pytest.raises(ClusterfirstError, match=r"a.geojson: byte \d+ is not UTF-8"):
        read(tmp_path / "a.geojson")


def test_parquet_that_is_no_geoparquet_is_an_error(tmp_path):
    pd.DataFrame({"geometry": ["POINT (1 1)"]}).to_parquet(tmp_path / "plain.parquet")
    frame(squares(20)).to_parquet(tmp_path / "cut.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "cut.parquet").read_bytes()[:-100])
    for name in ("plain.parquet", "cut.parquet"):
        with pytest.raises(ClusterfirstError, match=f"{name} cannot be read as GeoParquet: .*to_parquet"):
            read(tmp_path / name)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("channels", [3, 4])
def test_colour_images_are_refused(name, channels, tmp_path):
    path = save(np.zeros((HEIGHT, WIDTH, channels), np.uint8), tmp_path / name)
    with pytest.raises(ClusterfirstError, match=f"{name} is an image of {channels} channels"):
        read(path)


def test_colours_stored_plane_by_plane_are_refused(tmp_path):
    image = np.zeros((3, HEIGHT, WIDTH), np.uint8)
    path = save(image, tmp_path / "a.tif", photometric="rgb", planarconfig="separate")
    with pytest.raises(ClusterfirstError, match="3 channels"):
        read(path)


def test_stacks_are_refused_but_not_a_stack_of_one(tmp_path):
    path = save(label_image()[None], tmp_path / "a.tif", metadata={"axes": "ZYX"})
    assert len(read(path)) == 3
    path = save(np.stack([label_image()] * 5), tmp_path / "b.tif", photometric="minisblack")
    with pytest.raises(ClusterfirstError, match="a stack of shape 5 × 300 × 400"):
        read(path)


def test_fractions_are_no_labels(tmp_path):
    path = save(label_image().astype(np.float32), tmp_path / "a.tif")
    with pytest.raises(ClusterfirstError, match="pixels of type float32, which are no labels"):
        read(path)


@pytest.mark.parametrize("dtype", [np.uint8, bool])
def test_a_mask_of_many_cells_is_refused(dtype, tmp_path):
    mask = (label_image() > 0).astype(np.uint8) * 255
    path = save(mask.astype(dtype), tmp_path / "a.png")
    with pytest.raises(ClusterfirstError, match=r"all objects have the same number, .* as in a mask"):
        read(path)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_damaged_images_are_errors(name, tmp_path):
    path = save(np.random.default_rng(0).integers(0, 9, (HEIGHT, WIDTH)).astype(np.uint16), tmp_path / name)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"no image", b""):
        path.write_bytes(content)
        with pytest.raises(ClusterfirstError, match=f"{name} cannot be read as an image: .*copy it again"):
            read(path)


def test_real_outlines_are_read_with_their_classes(data, warnings):
    path = data / "consep_train" / "train_1.geojson"
    if not path.is_file():
        pytest.skip(f"no file {path}")
    cells = read(path, 1000, 1000)
    assert len(cells) == len(json.loads(path.read_text())["features"])
    assert set(cells["name"]) == {"other", "inflammatory", "epithelial", "spindle"}
    with pytest.raises(ClusterfirstError, match="wholly outside the slide of 500 × 500 px"):
        read(path, 500, 500, max_lost=0.1)
