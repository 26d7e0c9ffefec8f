"""What files of outlines and truth really look like: right, or an error that says why; nothing is lost in silence."""

import gzip
import json
import logging
import random
import zlib
from functools import cache

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
import shapely.affinity
import tifffile
from hypothesis import given as examples
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from clusterfirst.evaluation import frames
from clusterfirst.io import ClusterfirstError
from clusterfirst.outlines import foreign
from clusterfirst.outlines.foreign import numbers

from .. import defaults
from ..made import slide_facts

EDGE = 600
MPP = 0.5


def of(reader, path, *, edge=EDGE, mpp=MPP, **given):
    return reader(path, slide_facts(width=edge, height=edge, mpp=mpp), given=defaults.section("given", **given))


def read(path, **changes):
    return of(foreign.read, path, **changes)


def truth(path, **changes):
    return of(foreign.read_truth, path, **changes)


def nuclei(count=60, radius=8.0) -> list[shapely.Polygon]:
    """All over the slide, none like another."""
    return [
        shapely.Point(40 + 57 * (i % 10), 40 + 57 * (i // 10)).buffer(radius + i / 50, quad_segs=3)
        for i in range(count)
    ]


def feature(shape, name=None, kind="detection", **more) -> dict:
    geometry = shapely.geometry.mapping(shape) if isinstance(shape, shapely.Geometry) else shape
    properties = {"objectType": kind} | ({"classification": {"name": name}} if name else {})
    return {"type": "Feature", "geometry": geometry, "properties": properties, **more}


def collection(features) -> dict:
    return {"type": "FeatureCollection", "features": list(features)}


def scaled(shapes, factor):
    return [shapely.transform(shape, lambda points: points * factor) for shape in shapes]


def same(cells, wanted) -> bool:
    wanted = np.array(list(wanted), object)
    return len(cells) == len(wanted) and bool(shapely.equals(cells.geometry.to_numpy(), wanted).all())


@pytest.fixture
def write(tmp_path):
    def to_file(content, name="cells.geojson"):
        path = tmp_path / name
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return to_file


@pytest.fixture
def told(caplog):
    caplog.set_level("INFO", logger="clusterfirst.outlines.foreign")
    logging.getLogger("clusterfirst").propagate = True  # `log_to` of another test may have changed it
    return lambda: caplog.text


# Collections of cells.


@pytest.mark.parametrize("kind", ["MultiPolygon", "GeometryCollection"])
@pytest.mark.parametrize("suffix", ["geojson", "parquet"])
def test_a_feature_of_many_cells_is_many_cells_of_its_class(kind, suffix, write, tmp_path, told):
    cells = nuclei()
    classes = {"a": cells[:30], "b": cells[30:59], "c": cells[59:]}
    shapes = {name: getattr(shapely, kind)(some) for name, some in classes.items()}
    if suffix == "geojson":
        path = write([feature(shape, name) for name, shape in shapes.items()])
    else:
        path = tmp_path / "cells.parquet"
        geopandas.GeoDataFrame({"name": list(shapes)}, geometry=list(shapes.values())).to_parquet(path)
    found = read(path)
    assert same(found, cells)
    assert found["name"].tolist() == [name for name, some in classes.items() for _ in some]
    assert "3 objects read, 2 split, 0 repaired, 0 left out, 0 lost; 60 taken" in told()
    assert truth(path)["name"].tolist() == found["name"].tolist()


def test_no_cell_of_a_collection_is_too_small_for_one(write):
    giant, tiny = shapely.Point(100, 100).buffer(30), shapely.Point(135, 100).buffer(3)
    cells = [giant, tiny, *nuclei()[20:40]]
    assert len(read(write([feature(shapely.MultiPolygon(cells), "a"), feature(nuclei()[59], "b")]))) == 23


def test_two_cells_apart_in_a_feature_are_two(write):
    cells = nuclei()
    pairs = [feature(shapely.MultiPolygon(cells[i : i + 2])) for i in range(0, 60, 2)]
    assert same(read(write(pairs)), cells)


def test_neighbours_that_touch_are_two(write):
    one, other = shapely.box(100, 100, 120, 140), shapely.box(120, 100, 140, 120)
    round_ones = [shapely.Point(300 + 20.5 * i, 300).buffer(10) for i in range(2)]
    cells = read(write([feature(shapely.MultiPolygon(some)) for some in ([one, other], round_ones)]))
    assert same(cells, [one, other, *round_ones])


@pytest.mark.parametrize("gap", [0, 1])
def test_halves_of_a_cell_are_one_cell(gap, write, told):
    whole = shapely.Point(300, 300).buffer(15)
    halves = [whole & shapely.box(0, 0, 300 - gap / 2, 600), whole & shapely.box(300 + gap / 2, 0, 600, 600)]
    (cell,) = read(write([feature(shapely.MultiPolygon(halves))])).geometry
    assert shapely.area(cell ^ whole) < 0.03 * whole.area
    assert "1 of 1 are in pieces that lie close and make one whole: joined" in told()


def test_bits_beside_a_cell_are_left_out_however_many(write, told):
    whole = shapely.Point(300, 300).buffer(15)
    bits = [shapely.box(x, 280, x + 1, 281) for x in range(285, 300, 2)]
    cells = nuclei()[:20]
    found = read(write([feature(shapely.MultiPolygon([*bits, whole])), *map(feature, cells)]))
    assert same(found, [whole, *cells])
    assert "1 of 21 are in several pieces: the largest kept" in told()


def test_a_region_in_pieces_does_not_make_a_collection_of_all(write):
    whole = shapely.Point(300, 300).buffer(15)
    spotted = shapely.MultiPolygon([whole, shapely.box(300, 317, 302, 318)])
    tumour = shapely.MultiPolygon([shapely.box(10 * x, 590, 10 * x + 8, 598) for x in range(5)])
    assert len(read(write([*map(feature, nuclei()[:20]), feature(spotted), feature(tumour)]))) == 26


def test_rings_beside_the_outline_are_cells(write, told):
    cells = nuclei()[:10]
    rings = [list(cell.exterior.coords) for cell in cells]
    found = read(write([feature({"type": "Polygon", "coordinates": rings})]))
    assert same(found, cells)
    assert "rings beside their outline" in told()


def test_a_piece_that_is_no_outline_is_lost_and_counted(write):
    cells = nuclei()
    coordinates = [[list(cell.exterior.coords)] for cell in cells]
    coordinates[3] = [[[1, 2], [3, 4]]]
    coordinates[7][0][2] = [float("nan"), 5]
    path = write([feature({"type": "MultiPolygon", "coordinates": coordinates})])
    with pytest.raises(ClusterfirstError, match=r"2 of 60 cells would be lost: 2 have pieces without area.*max_lost"):
        read(path)
    assert len(read(path, max_lost=0.05)) == 58


def test_points_in_collections_are_points_of_a_truth(write, tmp_path):
    points = shapely.GeometryCollection([shapely.Point(1, 2), shapely.MultiPoint([(3, 4), (5, 6)])])
    path = write([feature(points, "a")])
    assert shapely.get_coordinates(truth(path).geometry).tolist() == [[1, 2], [3, 4], [5, 6]]
    outlined = shapely.GeometryCollection([nuclei()[0], nuclei()[0].centroid])
    geopandas.GeoDataFrame({"name": ["a"]}, geometry=[outlined]).to_parquet(tmp_path / "a.parquet")
    assert truth(tmp_path / "a.parquet").geom_type.tolist() == ["Polygon"]


# Regions, duplicates, planes.

REGION = {
    "as large as the slide": (shapely.box(1, 1, 599, 599), "annotation", None),
    "beyond the slide": (shapely.box(-9, -9, 700, 700), "annotation", "Tumor"),
    "hundreds of times the median": (shapely.box(0, 400, 350, 600), "annotation", "Stroma"),
    "around some": (shapely.box(20, 20, 130, 130).buffer(5), "annotation", "ROI"),
    "with QuPath's mark": (shapely.box(20, 20, 60, 60), "annotation", "Region*"),
}


@pytest.mark.parametrize("region", REGION)
@pytest.mark.parametrize("suffix", ["geojson", "parquet"])
def test_a_region_among_cells_is_left_out_and_told(region, suffix, write, tmp_path, told):
    shape, kind, name = REGION[region]
    cells = nuclei() if region != "around some" else [*nuclei(), *(cell.buffer(-7) for cell in nuclei(1))]
    cells = [*cells, *(shapely.Point(60 + 9 * i, 68).buffer(3) for i in range(3))]
    if suffix == "geojson":
        path = write([feature(shape, name, kind), *(feature(cell, "nucleus", "annotation") for cell in cells)])
    else:
        path = tmp_path / "cells.parquet"
        names = [name, *["nucleus"] * len(cells)]
        geopandas.GeoDataFrame({"name": names}, geometry=[shape, *cells]).to_parquet(path)
    found = read(path)
    assert len(found) == len(cells)
    assert found.geometry.area.max() < 400
    assert "1 of 65 are regions" in told() or "1 of 64 are regions" in told()
    # As truth, a region says something of the cells in it.
    assert len(truth(path)) == len(cells) + (name is not None)


@pytest.mark.parametrize("suffix", ["geojson", "parquet"])
def test_what_qupath_calls_a_region_is_one_whatever_it_holds(suffix, write, tmp_path, told):
    cells, empty = nuclei(), shapely.box(2, 2, 22, 22)
    if suffix == "geojson":
        path = write(
            [*(feature(cell, "Other*", "annotation") for cell in cells), feature(empty, "Region*", "annotation")]
        )
    else:
        path, names = tmp_path / "cells.parquet", [*["Other*"] * 60, "Region*"]
        geopandas.GeoDataFrame({"name": names}, geometry=[*cells, empty]).to_parquet(path)
    assert same(read(path), cells)
    assert "1 of 61 are regions" in told()


def test_annotations_of_the_size_of_detections_are_cells_drawn_beside_them(write, told):
    cells = nuclei()
    around, large = cells[58].buffer(2), shapely.box(400, 550, 590, 595)
    drawn = [*cells[:52], around, large]
    path = write([*(feature(one, "a", "annotation") for one in drawn), *map(feature, cells[58:])])
    assert same(read(path), [*cells[:52], *cells[58:]])
    assert "2 of 56 are regions, not cells as the others: left out (feature 53, feature 54)" in told()


def test_large_cells_are_no_regions(write):
    """Megakaryocytes, and fat cells, which hold nothing."""
    large = [shapely.Point(x, 300).buffer(45) for x in (100, 300, 500)]
    small = [cell for cell in nuclei() if not any(cell.intersects(one) for one in large)]
    assert len(read(write(list(map(feature, [*small, *large]))))) == len(small) + 3


@pytest.mark.parametrize("lone", [True, False])
def test_regions_alone_are_no_cells(lone, write):
    regions = [shapely.box(0, 0, 1900, 900), shapely.box(0, 1000, 800, 1950)][: 1 if lone else 2]
    with pytest.raises(ClusterfirstError, match=r"these are regions, not cells|none of 1 is usable: 1 are regions"):
        read(write([feature(one, "Tumor", "annotation") for one in regions]), edge=2000)


def test_regions_of_a_label_image_are_left_out(tmp_path):
    image = label_image()
    image[400:] = 61
    tifffile.imwrite(tmp_path / "a.tif", image)
    assert len(read(tmp_path / "a.tif")) == 60


def rotated(cell):
    points = list(cell.exterior.coords)[:-1]
    return shapely.Polygon([*points[4:], *points[:4]][::-1])


@pytest.mark.parametrize(
    "again",
    [lambda cell: cell, rotated, lambda cell: shapely.set_precision(cell, 0.5), lambda cell: cell.buffer(0.2)],
    ids=["copied", "turned", "rounded", "found again"],
)
def test_what_is_there_twice_is_taken_once(again, write, told):
    cells = nuclei()
    assert same(read(write([*map(feature, cells), *(feature(again(cell)) for cell in cells)])), cells)
    assert "60 of 120 are there already: left out (feature 61, feature 62, feature 63, …)" in told()


def test_of_two_in_a_place_the_one_with_a_class_counts(write, told):
    cells = nuclei()[:3]
    path = write([*(feature(c) for c in cells), *(feature(c, "a") for c in cells[:2]), feature(cells[0], "b")])
    assert truth(path)["name"].tolist() == ["a", "a"]
    assert "1 of 6 are there already with another class" in told()
    points = "x,y,class\n1,2,\n1,2,a\n1,2,a\n1,2,b\n3,4,b\n"
    assert truth(write(points, "a.csv"))["name"].tolist() == ["a", "b"]


def test_a_thousand_copies_cost_no_time(write):
    assert len(read(write([feature(nuclei()[0])] * 3000))) == 1


def on_plane(shape, **plane):
    return shapely.geometry.mapping(shape) | {"plane": {"c": -1, "z": 0, "t": 0} | plane}


def test_of_several_planes_one_is_taken(write, told):
    cells = nuclei()
    planes = [feature(on_plane(cell, z=i % 3 // 2)) for i, cell in enumerate(cells)]
    assert same(read(write(planes)), [cell for i, cell in enumerate(cells) if i % 3 < 2])
    assert "20 of 60 lie on another plane" in told()
    assert "objects of several planes; taken: z 0, t 0" in told()


def test_one_plane_is_one_whichever(write, told):
    assert len(read(write([feature(on_plane(cell, z=4)) for cell in nuclei()]))) == 60
    assert "several planes" not in told()


# Nuclei and cells.


def with_nucleus(cell, nucleus):
    return feature(cell, kind="cell", nucleusGeometry=nucleus and shapely.geometry.mapping(nucleus))


@pytest.mark.parametrize("objects_of", ["nucleus", "cell"])
def test_of_qupaths_cells_the_wanted_outline_is_taken(objects_of, write, told):
    inner = nuclei()
    outer = [cell.buffer(8) for cell in inner]
    path = write([with_nucleus(*pair) for pair in zip(outer, inner, strict=True)])
    assert same(read(path, objects_of=objects_of), inner if objects_of == "nucleus" else outer)
    assert f"60 of 60 cells have a nucleus; the outline of the {objects_of} is taken" in told()


def test_cells_without_a_nucleus_are_told_and_kept(write, told):
    inner = nuclei()
    outer = [cell.buffer(8) for cell in inner]
    path = write([with_nucleus(cell, inner[i] if i else None) for i, cell in enumerate(outer)])
    assert same(read(path), [outer[0], *inner[1:]])
    assert "1 of 60 are cells without a nucleus: their boundaries are taken (feature 1)" in told()
    assert same(read(write([with_nucleus(cell, None) for cell in outer])), outer)
    assert "60 of 60 are cells without a nucleus" in told()


@pytest.mark.parametrize(
    "empty",
    [
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[]]},
        {"type": "MultiPolygon", "coordinates": [[[]]]},
        {"type": "GeometryCollection", "geometries": []},
    ],
)
def test_an_empty_nucleus_is_none(empty, write, told):
    inner = nuclei()
    outer = [cell.buffer(8) for cell in inner]
    cells = [with_nucleus(*pair) for pair in zip(outer, inner, strict=True)]
    for cell in cells[:5]:
        cell["nucleusGeometry"] = empty
    assert same(read(write(cells)), [*outer[:5], *inner[5:]])
    assert "5 of 60 are cells without a nucleus: their boundaries are taken (feature 1, feature 2" in told()


@pytest.mark.parametrize("objects_of", ["nucleus", "cell"])
def test_of_two_columns_of_geometries_the_wanted_one_is_taken(objects_of, tmp_path):
    inner = nuclei()
    outer = [cell.buffer(8) for cell in inner]
    frame = geopandas.GeoDataFrame({"geometry": outer, "nucleus_geometry": geopandas.GeoSeries([None, *inner[1:]])})
    frame.to_parquet(tmp_path / "a.parquet")
    wanted = [outer[0], *inner[1:]] if objects_of == "nucleus" else outer
    assert same(read(tmp_path / "a.parquet", objects_of=objects_of), wanted)


def test_columns_of_centres_are_no_outlines(tmp_path):
    cells = geopandas.GeoSeries(nuclei())
    frame = geopandas.GeoDataFrame({"geometry": cells, "nucleus_centroid": cells.centroid})
    frame.to_parquet(tmp_path / "a.parquet")
    assert same(read(tmp_path / "a.parquet"), nuclei())


def test_what_qupath_says_of_objects_counts_in_geoparquet_too(tmp_path):
    kinds = ["annotation", *["detection"] * 60]
    frame = geopandas.GeoDataFrame({"geometry": [shapely.box(0, 0, 90, 90), *nuclei()], "objectType": kinds})
    frame.to_parquet(tmp_path / "a.parquet")
    assert same(read(tmp_path / "a.parquet"), nuclei())


@pytest.mark.parametrize("objects_of", ["nucleus", "cell"])
def test_nuclei_and_cells_as_objects_of_their_own_are_not_both_taken(objects_of, write, told):
    inner = nuclei()
    outer = [cell.buffer(8) for cell in inner]
    path = write(list(map(feature, [*outer, *inner])))
    assert same(read(path, objects_of=objects_of), inner if objects_of == "nucleus" else outer)
    assert "60 of 120 lie" in told()


@pytest.mark.parametrize("objects_of", ["nucleus", "cell"])
def test_nuclei_that_stick_out_of_their_cells_are_their_nuclei(objects_of, write, told):
    inner = nuclei()
    outer = [shapely.affinity.translate(cell.buffer(4), 5) for cell in inner]
    path = write(list(map(feature, [*outer, *inner])))
    assert same(read(path, objects_of=objects_of), inner if objects_of == "nucleus" else outer)
    assert "60 of 120 lie" in told()


@pytest.mark.parametrize("objects_of", ["nucleus", "cell"])
def test_a_small_region_around_two_is_one_and_a_cell_around_crumbs_is_none(objects_of, write, told):
    small = [shapely.Point(30 + 29 * (i % 20), 30 + 40 * (i // 20)).buffer(2.5) for i in range(200)]
    region = shapely.Point(44.5, 30).buffer(25)
    crumbs = [shapely.Point(300 + 5 * i, 500).buffer(0.9) for i in range(2)]
    giant = shapely.Point(302, 500).buffer(25)
    found = read(write(list(map(feature, [region, *small, giant, *crumbs]))), objects_of=objects_of, min_median_um2=0)
    assert same(found, [*small, giant, *crumbs])
    assert "1 of 204 are regions, not cells as the others: left out (feature 1)" in told()


@pytest.mark.parametrize(("doubled", "warned"), [(60, True), (11, True), (10, False), (0, False)])
def test_outlines_that_are_there_nearly_twice_are_told_and_kept(doubled, warned, write, told):
    cells = nuclei()
    again = [shapely.affinity.translate(cell, 2, -1) for cell in cells[:doubled]]
    assert same(read(write(list(map(feature, [*cells, *again])))), [*cells, *again])
    said = f"{2 * doubled} of {60 + doubled} outlines share more than half with another of their size (x 40, y 40, x 97"
    assert (said in told()) == warned == ("run twice" in told())


# Text after the first document.


@pytest.mark.parametrize("between", ["", "\n", "\n\x1e"])
@pytest.mark.parametrize("wrap", [collection, list], ids=["collections", "lists"])
def test_documents_after_each_other_are_all_read(wrap, between, write):
    parts = [nuclei()[:30], nuclei()[30:]]
    text = between.join(json.dumps(wrap([feature(cell, "a") for cell in part])) for part in parts)
    path = write(text)
    assert same(read(path), nuclei())
    (path.parent / "a.geojson.gz").write_bytes(gzip.compress(text.encode()))
    assert len(read(path.parent / "a.geojson.gz")) == 60


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\n\x1e"])
def test_a_feature_in_each_line_is_read(separator, write):
    assert same(read(write(separator.join(json.dumps(feature(cell)) for cell in nuclei()))), nuclei())


@pytest.mark.parametrize(
    "tail", ["x", "]", "}", ",", '{"type": "Topology"}', "7", '"end"', json.dumps(collection([]))[:-1], "\x00", "[1]"]
)
def test_anything_else_after_the_end_is_an_error(tail, write):
    with pytest.raises(ClusterfirstError, match=r"cells.geojson.*expected a FeatureCollection"):
        read(write(json.dumps(collection(map(feature, nuclei()))) + tail))


@pytest.mark.parametrize("cut", [1, 2])
def test_a_bracket_that_is_missing_at_the_end_is_an_error(cut, write):
    with pytest.raises(ClusterfirstError, match="is not JSON"):
        read(write(json.dumps(collection(map(feature, nuclei())))[:-cut]))


def test_features_twice_in_one_object_are_an_error(write):
    text = json.dumps(collection(map(feature, nuclei())))
    with pytest.raises(ClusterfirstError, match="a second 'features' in the same object"):
        read(write(text[:-1] + ', "features": []}'))


@pytest.mark.parametrize("reader", [read, truth])
def test_half_a_character_in_a_class_is_refused_and_in_an_id_not_told(reader, write, told):
    half = "\ud800"
    cells = list(map(feature, nuclei()))
    with pytest.raises(ClusterfirstError, match=r"cells\.geojson, feature 3: the class .*half of a character") as error:
        reader(write([*cells[:2], feature(nuclei()[2], f"{half}x")]))
    str(error.value).encode()
    flat = feature({"type": "Polygon", "coordinates": []}, "a", id=f"{half}x")
    reader(write([*(feature(cell, "\N{GRINNING FACE}") for cell in nuclei()), flat]))
    assert "feature 61 with id \ufffdx" in told()


@pytest.mark.parametrize("name", ["a.geojson", "a.json", "a.geojson.gz", "a.json.gz"])
@pytest.mark.parametrize("packed", [True, False])
def test_what_is_compressed_is_seen_in_the_file_and_not_in_its_name(packed, name, write):
    text = json.dumps(collection(map(feature, nuclei()))).encode()
    assert same(read(write(gzip.compress(text) if packed else text, name)), nuclei())


# Units.


@pytest.mark.parametrize(("factor", "mpp"), [(0.25, 0.25), (0.5, 0.5), (0.5, 0.25), (1 / 16, 0.25)])
def test_outlines_in_other_units_are_refused(factor, mpp, write):
    cells = nuclei(radius=8 * 0.35 / mpp)
    path = write(list(map(feature, scaled(cells, factor))))
    with pytest.raises(
        ClusterfirstError, match=r"smaller than .*, and all lie in the first .* are these µm, or pixels"
    ):
        read(path, mpp=mpp)
    assert len(read(path, mpp=mpp, min_median_um2=0)) == 60


@pytest.mark.parametrize(("count", "factor", "warned"), [(60, 0.5, True), (60, 1, False), (50, 0.5, False)])
def test_outlines_that_all_lie_in_the_first_quarter_are_told(count, factor, warned, write, told):
    cells = scaled(nuclei(radius=16), factor)[:count]
    assert same(read(write(list(map(feature, cells)))), cells)
    assert ("all 60 lie in the first 285 × 171 px" in told()) == warned == ("are these µm, or pixels" in told())


def test_small_cells_all_over_the_slide_are_not_refused(write, told):
    assert len(read(write(list(map(feature, nuclei(radius=2)))))) == 60
    assert "are they nuclei, and is the slide's mpp (0.5) right?" in told()


def test_outlines_that_are_too_large_are_told(write, told):
    assert len(read(write(list(map(feature, nuclei(radius=18)))), mpp=1.5)) == 60
    assert "are they cells, and pixels of this slide's level 0?" in told()


@pytest.mark.parametrize(
    ("read_as", "units"),
    [(lambda xy: xy / 4, "µm"), (lambda xy: xy / 16, "16 times"), (lambda xy: xy[:, ::-1], "y before")],
)
def test_a_truth_that_would_fit_the_cells_in_other_units_is_refused(read_as, units):
    rng = np.random.default_rng(0)
    points = rng.uniform((0, 0), (4000, 2000), (300, 2))
    cells = shapely.buffer(shapely.points(points), 40)
    slide = slide_facts(width=4000, height=4000, mpp=0.25)
    frames.check("a.csv", cells, shapely.points(points), slide, foreign.LEVEL0)
    frames.check("a.csv", cells, shapely.points(rng.uniform(0, 2000, (300, 2))), slide, foreign.LEVEL0)
    with pytest.raises(ClusterfirstError, match=rf"truth a\.csv: .* if coordinates were .*{units}"):
        frames.check("a.csv", cells, shapely.points(read_as(points)), slide, foreign.LEVEL0)


# What is lost.


@pytest.mark.parametrize("bad", [None, shapely.Point(1, 1), shapely.box(900, 0, 910, 10)])
def test_more_than_a_few_lost_cells_are_an_error(bad, write, told):
    cells = nuclei()
    assert len(read(write(list(map(feature, [*cells, bad]))))) == 60  # 1 of 61
    assert "61 objects read, 0 split, 0 repaired, 0 left out, 1 lost; 60 taken" in told()
    path = write(list(map(feature, [*cells, bad, bad])))
    with pytest.raises(ClusterfirstError, match=r"2 of 62 .*\(feature 61, feature 62\).*raise given\.max_lost \(0\.02"):
        read(path)
    assert len(read(path, max_lost=0.05)) == 60


# Label images.


@cache
def labelled() -> np.ndarray:
    image = np.zeros((EDGE, EDGE), np.uint16)
    y, x = np.mgrid[:EDGE, :EDGE]
    for i, cell in enumerate(nuclei()):
        image[(x - cell.centroid.x) ** 2 + (y - cell.centroid.y) ** 2 < (8 + i / 50) ** 2] = i + 1
    return image


def label_image(dtype=np.uint16) -> np.ndarray:
    return labelled().astype(dtype)


def saved(image, path, **options):
    if path.suffix == ".png":
        Image.fromarray(image).save(path)
    else:
        tifffile.imwrite(path, image, **options)
    return path


def classes_of(image, count):
    return np.where(image > 0, image % count + 1, 0).astype(image.dtype)


@pytest.mark.parametrize("count", [2, 4, 12])
@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_maps_of_classes_are_refused(count, name, tmp_path):
    path = saved(classes_of(label_image(np.uint8), count), tmp_path / name)
    with pytest.raises(ClusterfirstError, match=r"far from each other.*every cell has a number of its own"):
        read(path)


@pytest.mark.parametrize("sparse", [True, False])
def test_a_class_of_one_corner_is_one_all_the_same(sparse, tmp_path):
    image = label_image(np.uint8)
    image[(image > 55 if sparse else image > 40)] = 56
    with pytest.raises(ClusterfirstError, match="far from each other"):
        read(saved(image, tmp_path / "a.png"))


@pytest.mark.parametrize("dtype", [np.int16, np.int64])
def test_labels_below_0_are_refused(dtype, tmp_path):
    image = label_image(np.int64)
    wrong = np.where(image > 30, image - 40_000, image).astype(np.int64)
    with pytest.raises(ClusterfirstError, match=r"there are labels below 0 .*save the labels anew"):
        read(saved(np.maximum(wrong, -32_000).astype(dtype), tmp_path / "a.tif"))


@pytest.mark.parametrize(
    ("background", "dtype"), [(2**32 - 1, np.uint32), (2**64 - 1, np.uint64), (2**31 - 1, np.int32)]
)
def test_a_huge_number_of_the_background_takes_no_memory(background, dtype, tmp_path):
    image = np.where(label_image(np.uint64) == 0, background, label_image(np.uint64)).astype(dtype)
    assert len(read(saved(image, tmp_path / "a.tif"))) == 60


def test_a_cell_with_number_0_is_kept_in_few_bits(tmp_path):
    image = np.where(label_image() == 0, 255, label_image() - 1).astype(np.uint8)
    assert len(read(saved(image, tmp_path / "a.png"))) == 60


def test_labels_saved_with_too_few_bits_are_refused(tmp_path):
    image = np.kron(np.arange(300).reshape(15, 20), np.pad(np.ones((20, 20), int), 5)) * 1
    image = np.pad(image, ((0, EDGE - 450), (0, 0)))
    assert len(read(saved(image.astype(np.uint16), tmp_path / "a.tif"))) == 299
    for wrong in (image % 256, np.minimum(image, 255)):
        with pytest.raises(ClusterfirstError, match="several cells have one number"):
            read(saved(wrong.astype(np.uint8), tmp_path / "a.png"))


def test_a_single_label_with_a_far_piece_is_lost_and_told(tmp_path, told):
    image = label_image()
    image[image == 60] = 1
    assert len(read(saved(image, tmp_path / "a.tif"))) == 59
    assert "1 of 59 are in pieces far from each other" in told()
    assert "1 lost; 59 taken" in told()


@pytest.mark.parametrize(("background", "dtype"), [(65535, np.uint16), (255, np.uint8), (-1, np.int32), (61, np.uint8)])
def test_a_background_other_than_0_is_found(background, dtype, tmp_path, told):
    image = label_image(dtype)
    wanted = read(saved(image, tmp_path / "a.tif"))
    image[image == 0] = background
    assert same(read(saved(image, tmp_path / "a.tif")), wanted.geometry)
    assert f"{background} fills most of the image, up to all its borders, and is taken for the background" in told()


def test_where_labels_begin_with_0_that_is_a_cell(tmp_path, told):
    image = label_image(np.int32)
    wanted = read(saved(image, tmp_path / "a.tif"))
    found = read(saved(image - 1, tmp_path / "a.tif"))
    assert sorted(found.geometry.area) == sorted(wanted.geometry.area)
    assert "0 for a cell" in told()


def test_what_is_ignored_around_the_labels_is_no_cell(tmp_path):
    image = label_image()
    frame = np.ones_like(image, bool)
    frame[200:400, 200:400] = False
    image[frame & (image == 0)] = 65535
    assert len(read(saved(image, tmp_path / "a.tif"))) == 60


@pytest.mark.parametrize("values", [(0, 255), (1, 2), (255, 0), (7, 7)])
def test_masks_are_refused(values, tmp_path):
    mask = np.where(label_image() > 0, *values[::-1]).astype(np.uint8)
    with pytest.raises(ClusterfirstError):
        read(saved(mask, tmp_path / "a.png"))


def test_labels_compressed_with_loss_are_refused(tmp_path):
    pytest.importorskip("imagecodecs")
    path = saved(label_image(np.uint8), tmp_path / "a.tif", compression="jpeg")
    with pytest.raises(ClusterfirstError, match="compressed with loss"):
        read(path)


def test_of_pages_of_several_sizes_the_largest_is_read_and_of_one_size_none(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(label_image()[::2, ::2])
        file.write(label_image())
    assert same(read(tmp_path / "a.tif"), read(saved(label_image(), tmp_path / "b.tif")).geometry)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(label_image())
        file.write(classes_of(label_image(), 4).astype(np.uint8))
    with pytest.raises(ClusterfirstError, match="2 images of one size"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_an_image_that_claims_to_be_huge_is_refused_before_it_is_read(name, tmp_path):
    path = saved(label_image(np.uint8), tmp_path / name)
    if name == "a.tif":
        with tifffile.TiffFile(path, mode="r+b") as file:
            file.pages[0].tags["ImageLength"].overwrite(60_000_000)
    else:
        data = bytearray(path.read_bytes())
        data[16:24] = 2 * (60_000_000).to_bytes(4, "big")
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
        path.write_bytes(data)
    with pytest.raises(ClusterfirstError, match=r"the label image is [0-9]+ × 60000000 px, the slide 600 × 600 px"):
        read(path)


def test_pages_in_a_circle_are_no_hang(tmp_path):
    path = saved(label_image(), tmp_path / "a.tif")
    with tifffile.TiffFile(path) as file:
        first, last = file.pages[0].offset, file.pages[0].tags
    data = bytearray(path.read_bytes())
    at = first + 2 + 12 * len(last)
    data[at : at + 4] = (first).to_bytes(4, "little")
    path.write_bytes(data)
    try:
        assert len(read(path)) == 60
    except ClusterfirstError as error:
        assert str(path) in str(error)  # noqa: PT017 (either is right)


# Numbers.

WELL = np.array([[51.8, 11.0], [180, 13], [112.5, 26.7], [121, 24], [1234.5, 29]])


@pytest.mark.parametrize(
    "text",
    [
        "x;y;class\n51,8;11,0;a\n180;13;a\n112,5;26,7;a\n121;24;a\n1.234,5;29;a\n",
        "sep=;\nx;y;class\n51,8;11,0;a\n180;13;a\n112,5;26,7;a\n121;24;a\n1234,5;29;a\n",
        '"sep=\t"\nx\ty\tclass\n51,8\t11\ta\n180\t13\ta\n112,5\t26,7\ta\n121\t24\ta\n1 234,5\t29\ta\n',
        'x,y,class\n"51,8","11,0",a\n180,13,a\n"112,5","26,7",a\n121,24,a\n"1234,5",29,a\n',
        "x;y;class\n51.8;11.0;a\n180;13;a\n112.5;26.7;a\n121;24;a\n1,234.5;29;a\n",
        "x,y,class\n51.8 px,11 px,a\n180,13,a\n\n112.50,26.7,a\n,,\n121,2.4E+01,a\n1234.5,29px,a,\n",
        "\ufeffx;y;class\r\n51,8;11,0;a\r\n180;13;a\r\n112,5;26,7;a\r\n121;24;a\r\n1\u00a0234,5;29;a\r\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_numbers_of_any_spreadsheet_are_read(text, encoding, write):
    found = truth(write(text.removeprefix("\ufeff").encode(encoding), "a.csv"), edge=2000)
    assert shapely.get_coordinates(found.geometry).tolist() == WELL.tolist()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "x;y;class\n51,8;11;a\n180.5;13;a\n",
            r"'180\.5' has a decimal point, and '51,8' \(line 2\) a comma",
        ),
        ("x;y;class\n12,345;11;a\n180;13;a\n", r"'12,345' may mean a fraction or thousands \(line 2\)"),
        ("x;y;class\n950;11\n" + "1.234;1.500;a\n" * 4, r"'1\.234' may mean a fraction or thousands \(line 3, line 4"),
        ("x;y;class\n12 µm;11;a\n180;13;a\n", r"'12 µm' has a unit \(line 2\)"),
        ("sep=;\nx;y;class\n1;11;a\n180;1.3mm;a\n", r"'1\.3mm' has a unit \(line 4\)"),
        ("x,y,class\n51,8,11,0,a\n", r"line 2 has 5 cells for 3 columns\. Decimal commas need another separator"),
        ("x,y,class\n51,11,a\n\n51,8,11,a\n", "line 4 has 4 cells for 3 columns"),
        ("x,x,y,class\n51,11,1,a\n", "2 columns 'x'"),
        (
            "x,y,class\n1,2,a\n3,ten,a\n",
            r"1 of 2 cells would be lost: 1 have a coordinate .* no number: dropped \(line 3",
        ),
        ("", "cannot be read as a table: it is empty"),
        ("sep=;\n", "cannot be read as a table: it is empty"),
    ],
)
def test_numbers_that_are_not_understood_are_refused_with_their_lines(text, why, write):
    with pytest.raises(ClusterfirstError, match=rf"(truth|points) .*a\.csv.*{why}"):
        truth(write(text, "a.csv"), edge=5000)


def test_three_decimals_are_decimals(write):
    text = "x,y,class\n" + "".join(f"{i}.125,{i}.250,a\n" for i in range(60))
    assert shapely.get_coordinates(truth(write(text, "a.csv")).geometry)[1].tolist() == [1.125, 1.25]


def test_what_r_writes_for_no_class_is_told(write, told):
    rows = "".join(f"{10 + i},{10 + i},{'NA' if i % 2 else 'tumour'}\n" for i in range(20))
    assert len(truth(write("x,y,class\n" + rows, "a.csv"))) == 20
    assert "10 of 20 are of class 'NA', which is taken for one" in told()


def test_other_encodings_are_refused_with_what_to_do(write):
    with pytest.raises(ClusterfirstError, match=r"byte 20 is not UTF-8\. Save it as 'CSV UTF-8'"):
        truth(write("x,y,class\n5,5,a\n5,7,é\n".encode("cp1252"), "a.csv"))


def test_decimal_commas_in_geojson_are_refused(write):
    bad = {"type": "Polygon", "coordinates": [[["1,5", "2"], ["3", "4"], ["9", "9"]]]}
    with pytest.raises(ClusterfirstError, match="feature 2: expected a Polygon"):
        read(write([feature(nuclei()[0]), feature(bad)]))


@hypothesis_settings(max_examples=100, deadline=None)
@examples(
    st.lists(st.decimals(0, 99_999, places=2), min_size=1, max_size=8),
    st.sampled_from([(",", "."), (",", ""), (".", ","), (".", ""), (",", " "), (".", "'")]),
)
def test_numbers_are_read_as_they_were_meant_or_refused(values, marks):
    decimal, thousands = marks
    texts = [f"{value:,.2f}".translate(str.maketrans({",": thousands or None, ".": decimal})) for value in values]
    assert numbers.read(texts, list(range(len(texts))), "a").tolist() == [float(value) for value in values]


# Anything at all: right, or an error.

fuzz = hypothesis_settings(max_examples=100, deadline=None)


def refused_or_sound(reader, path) -> None:
    """Either an error that says what is wrong, or valid outlines on the slide."""
    try:
        found = of(reader, path, max_lost=0.5)
    except ClusterfirstError:
        return
    shapes = found.geometry.to_numpy()
    assert shapely.is_valid(shapes).all()
    assert shapely.covered_by(shapes, shapely.box(-1e-6, -1e-6, EDGE + 1e-6, EDGE + 1e-6)).all()


def mutated(data: bytes, seed: int) -> bytes:
    """Bytes flipped, cut out, doubled or cut off."""
    rng = random.Random(seed)
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randrange(len(data) + 1), rng.randint(1, 40)
        kind = rng.randrange(5)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at : at + length]
        elif kind == 2:
            data[at:at] = data[at : at + length]
        elif kind == 3:
            data[at : at + length] = bytes(rng.randrange(256) for _ in range(length))
        elif rng.random() < 0.3:
            del data[at:]
    return bytes(data)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["type", "geometry", "coordinates", "name"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def paths_in(document, at=()):
    """Where the values of a JSON document stand."""
    yield at
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in inner:
        yield from paths_in(value, (*at, key))


def swapped(document, at, value):
    if not at:
        return value
    out = dict(document) if isinstance(document, dict) else list(document)
    out[at[0]] = swapped(out[at[0]], at[1:], value)
    return out


GEOJSON = json.loads(
    json.dumps(
        collection(
            [
                with_nucleus(nuclei()[0].buffer(5), nuclei()[0]),
                feature(shapely.MultiPolygon(nuclei()[2:4]), "a"),
                feature(on_plane(nuclei()[5], z=1), "b"),
                feature(shapely.GeometryCollection([nuclei()[7], shapely.Point(5, 5)]), "b"),
                feature(shapely.MultiPoint([(1, 2), (3, 4)]), "b", "annotation"),
                *(feature(shapely.box(x, 500, x + 9, 510), "c") for x in range(100, 500, 50)),
            ]
        )
    )
)
PLACES = list(paths_in(GEOJSON))


@fuzz
@examples(st.sampled_from(PLACES), anything, st.sampled_from([foreign.read, foreign.read_truth]))
def test_geojson_with_any_value_anywhere_is_read_or_refused(tmp_path_factory, at, value, reader):
    path = tmp_path_factory.mktemp("fuzz") / "a.geojson"
    path.write_text(json.dumps(swapped(GEOJSON, at, value)))
    refused_or_sound(reader, path)


def parquet(path):
    frame = geopandas.GeoDataFrame({"name": ["a", None] * 5}, geometry=nuclei()[:10])
    frame.to_parquet(path)


FILES = {
    "a.geojson": lambda path: path.write_text(json.dumps(GEOJSON)),
    "a.geojson.gz": lambda path: path.write_bytes(gzip.compress(json.dumps(GEOJSON).encode(), mtime=0)),
    "a.parquet": parquet,
    "a.tif": lambda path: tifffile.imwrite(path, label_image()[::6, ::6], compression="zlib"),
    "a.png": lambda path: Image.fromarray(label_image(np.uint8)[::6, ::6]).save(path),
    "a.csv": lambda path: path.write_text("x;y;class\n" + "".join(f"{i},5;{2 * i}.25;é{i % 3}\n" for i in range(40))),
}


@pytest.mark.parametrize("name", FILES)
@hypothesis_settings(max_examples=40, deadline=None)
@examples(st.integers(0, 2**32))
def test_damaged_files_are_read_or_refused(tmp_path_factory, name, seed):
    path = tmp_path_factory.mktemp("fuzz") / name
    FILES[name](path)
    path.write_bytes(mutated(path.read_bytes(), seed))
    refused_or_sound(foreign.read_truth, path)
    if not name.endswith("csv"):
        refused_or_sound(foreign.read, path)


@fuzz
@examples(
    st.lists(st.lists(st.text(" 01234.,;-eE'\"\tµmpxaé", max_size=6), max_size=4), max_size=6),
    st.sampled_from([",", ";", "\t"]),
)
def test_any_table_is_read_or_refused(tmp_path_factory, cells, delimiter):
    path = tmp_path_factory.mktemp("fuzz") / "a.csv"
    path.write_text("\n".join(map(delimiter.join, [["x", "y", "class"], *cells])))
    refused_or_sound(foreign.read_truth, path)


@fuzz
@examples(st.data())
def test_any_label_image_is_read_or_refused(tmp_path_factory, data):
    """Whatever numbers stand in it, all its pixels are in cells that have them, or it is refused."""
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16, np.int32, np.uint32, np.int64, np.float32]))
    seed = data.draw(st.integers(0, 2**32 - 1))
    image = np.random.default_rng(seed).integers(0, data.draw(st.integers(1, 300)), (40, 40)).astype(dtype)
    image = np.kron(image, np.ones((data.draw(st.integers(1, 4)),) * 2, dtype))
    path = tmp_path_factory.mktemp("fuzz") / "a.tif"
    tifffile.imwrite(path, image)
    refused_or_sound(foreign.read, path)


@pytest.mark.parametrize("depth", [500, 200_000])
def test_deep_nesting_is_refused(depth, write):
    nested = '{"type": "GeometryCollection", "geometries": [' * depth + "]}" * depth
    for text in (
        f'[{{"type": "Feature", "geometry": {nested}}}]',
        "[" * depth + "]" * depth,
        '[{"geometry": {"type": "Polygon", "coordinates": ' + "[" * depth + "]" * depth + "}}]",
    ):
        with pytest.raises(ClusterfirstError):
            read(write(text))


def test_a_class_column_of_any_kind_is_no_traceback(tmp_path):
    frame = geopandas.GeoDataFrame({"name": pd.Series([{"name": "a"}, None]), "z": [1, 2]}, geometry=nuclei()[:2])
    frame.to_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet")["name"].tolist() == ["a", None]
