"""From label images to outlines, measurements and the table."""

import json
import math

import geopandas
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy import ndimage
from shapely import affinity
from skimage.draw import ellipse
from skimage.measure import regionprops

from clusterfirst.io import read_metadata, write_table
from clusterfirst.outlines.objects import measure, outlines, read_objects, table

few = hypothesis_settings(max_examples=50, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def blob(seed: int, roughness: float) -> np.ndarray:
    """One random region without holes, and nothing else."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(60, 60)), roughness)
    labels, count = ndimage.label(noise > 0.5 * noise.std())
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    return ndimage.binary_fill_holes(labels == sizes.argmax())


def partition(seed: int, count: int) -> np.ndarray:
    """Cells that share their borders, with some background between."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 60, (count, 2))
    grid = np.stack(np.mgrid[0:60, 0:60], axis=-1)
    distance = np.linalg.norm(grid[:, :, None] - centres, axis=-1)
    return np.where(distance.min(axis=2) < 18, distance.argmin(axis=2) + 1, 0)


@few
@given(seeds, st.floats(0.7, 5))
def test_the_area_is_the_number_of_pixels_to_half_a_pixel(seed, roughness):
    mask = blob(seed, roughness)
    (polygon,), values = outlines(mask.astype(np.int32))
    assert values.tolist() == [1]
    assert polygon.is_valid
    assert abs(polygon.area - mask.sum()) <= 0.5 + 1e-9


@few
@given(seeds, st.floats(0.7, 5))
def test_the_outline_separates_pixels_inside_from_those_outside(seed, roughness):
    mask = blob(seed, roughness)
    (polygon,), _ = outlines(mask.astype(np.int32))
    y, x = np.mgrid[0:60, 0:60] + 0.5
    np.testing.assert_array_equal(shapely.contains_xy(polygon, x, y), mask)


@few
@given(seeds, st.integers(2, 30))
def test_touching_objects_do_not_overlap(seed, count):
    labels = partition(seed, count)
    polygons, values = outlines(labels)
    assert values.tolist() == [value for value in range(1, count + 1) if (labels == value).any()]
    assert shapely.is_valid(polygons).all()
    first, second = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    pairs = first < second
    assume(pairs.any())
    shared = shapely.intersection(polygons[first[pairs]], polygons[second[pairs]])
    # Straightening within 0.1 px may do so: a hair along the shared line.
    assert (shapely.area(shared) <= 0.05 * np.maximum(1, shapely.length(shared))).all()


def test_pixels_span_whole_numbers_from_their_left_and_upper_edge():
    labels = np.zeros((20, 30), int)
    labels[5:15, 10:26] = 3
    (polygon,), values = outlines(labels)
    assert values.tolist() == [3]
    assert polygon.bounds == (10, 5, 26, 15)
    assert polygon.area == 160 - 0.5
    assert (polygon.centroid.x, polygon.centroid.y) == pytest.approx((18, 10))


def test_an_object_at_the_border_of_the_image_is_closed_there():
    labels = np.ones((12, 17), np.int32)
    labels[6:, :] = 2
    polygons, _ = outlines(labels)
    assert [polygon.bounds for polygon in polygons] == [(0, 0, 17, 6), (0, 6, 17, 12)]
    assert shapely.area(polygons).tolist() == [17 * 6 - 0.5] * 2


def test_holes_are_filled():
    labels = np.zeros((30, 30), np.int32)
    labels[5:25, 5:25] = 1
    labels[10:20, 12:18] = 0
    labels[22, 22] = 0
    (polygon,), _ = outlines(labels)
    assert not polygon.interiors
    assert polygon.area == 400 - 0.5


def test_of_several_pieces_the_largest_is_outlined():
    labels = np.zeros((40, 40), np.int32)
    labels[2:5, 2:30] = labels[10:30, 10:22] = labels[33:36, 33:36] = 1
    (polygon,), _ = outlines(labels)
    assert polygon.bounds == (10, 10, 22, 30)


def test_pieces_that_meet_at_a_corner_only_are_two():
    labels = np.zeros((20, 20), np.int32)
    labels[2:10, 2:10] = labels[10:14, 10:14] = 1
    (polygon,), _ = outlines(labels)
    assert polygon.is_valid
    assert polygon.bounds == (2, 2, 10, 10)


def test_a_single_pixel_and_missing_numbers_do_no_harm():
    labels = np.zeros((5, 5), np.uint16)
    labels[2, 3] = 7
    (polygon,), values = outlines(labels)
    assert values.tolist() == [7]
    assert polygon.is_valid
    assert polygon.bounds == (3, 2, 4, 3)


def test_no_labels_give_no_outlines():
    polygons, values = outlines(np.zeros((5, 5), np.int32))
    assert len(polygons) == len(values) == 0


def apart(angle: float, other: float) -> float:
    """Between two axes, which have no direction."""
    return abs((angle - other + math.pi / 2) % math.pi - math.pi / 2)


@few
@given(st.floats(15, 30), st.floats(0.3, 0.85), st.floats(-math.pi / 2, math.pi / 2))
def test_ellipses_are_measured_as_scikit_image_does(half, ratio, turn):
    labels = np.zeros((90, 100), np.int32)
    rows, columns = ellipse(45, 48, half, half * ratio, shape=labels.shape, rotation=turn)
    labels[rows, columns] = 1
    row = measure(outlines(labels)[0], mpp=0.5).iloc[0]
    (region,) = regionprops(labels)
    assert row["area_um2"] == pytest.approx(region.area * 0.25, rel=0.01)
    assert row["major_um"] == pytest.approx(region.axis_major_length * 0.5, rel=0.02)
    assert row["minor_um"] == pytest.approx(region.axis_minor_length * 0.5, rel=0.02)
    assert row["eccentricity"] == pytest.approx(region.eccentricity, abs=0.02)
    assert row["solidity"] == pytest.approx(region.solidity, abs=0.05)
    assert row["extent"] == pytest.approx(region.extent, rel=0.02)
    assert (row["y"] - 0.5, row["x"] - 0.5) == pytest.approx(region.centroid, abs=0.05)
    # Theirs counts from the axis of rows, ours from x towards y.
    assert apart(row["orientation"], math.pi / 2 - region.orientation) < 0.03
    assert row["perimeter_um"] == pytest.approx(region.perimeter * 0.5, rel=0.08)


@pytest.mark.parametrize("turn", [-80, -45, 0, 30, 89])
def test_orientation_is_the_angle_of_the_long_axis_from_x_towards_y(turn):
    bar = affinity.rotate(shapely.box(0, 0, 40, 10), turn)
    assert measure(np.array([bar]), mpp=1)["orientation"][0] == pytest.approx(math.radians(turn), abs=1e-9)


def test_a_rectangle_has_exactly_the_measures_of_a_rectangle():
    row = measure(np.array([shapely.box(100, 200, 140, 220)]), mpp=0.25).iloc[0]
    wanted = {
        "x": 120,
        "y": 210,
        "area_um2": 800 / 16,
        "perimeter_um": 30,
        "major_um": 40 / math.sqrt(3),
        "minor_um": 20 / math.sqrt(3),
        "eccentricity": math.sqrt(3) / 2,
        "orientation": 0,
        "circularity": 4 * math.pi * 800 / 120**2,
        "solidity": 1,
        "extent": 1,
    }
    wanted["major_um"] *= 0.5
    wanted["minor_um"] *= 0.5
    assert row.to_dict() == pytest.approx(wanted)


def test_a_notch_costs_solidity_and_extent():
    square = shapely.box(0, 0, 10, 10).difference(shapely.Polygon([(0, 0), (10, 0), (5, 5)]))
    row = measure(np.array([square]), mpp=1).iloc[0]
    assert (row["solidity"], row["extent"]) == pytest.approx((0.75, 0.75))


def random_polygon(seed: int, corners: int) -> shapely.Polygon:
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * math.pi, corners))
    radii = rng.uniform(4, 20, corners)
    return shapely.Polygon(np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1))


@few
@given(seeds, st.integers(5, 40), st.integers(0, 200_000), st.integers(0, 200_000))
def test_measures_do_not_depend_on_where_an_object_lies_or_how_it_is_wound(seed, corners, dx, dy):
    here = random_polygon(seed, corners)
    assume(here.is_valid and here.area > 20)
    there = affinity.translate(here, 1e5 + dx, 1e5 + dy).reverse()
    rows = measure(np.array([here, there, here]), mpp=0.3)
    wanted = rows.loc[0] + pd.Series({"x": 1e5 + dx, "y": 1e5 + dy}).reindex(rows.columns, fill_value=0)
    assert apart(rows.loc[1, "orientation"], wanted["orientation"]) < 1e-3
    pd.testing.assert_series_equal(
        rows.loc[1].drop("orientation"), wanted.drop("orientation"), check_names=False, rtol=1e-6
    )
    pd.testing.assert_series_equal(rows.loc[2], rows.loc[0], check_names=False)
    assert (wanted["x"], wanted["y"]) == pytest.approx((there.centroid.x, there.centroid.y))


def some_objects(count: int = 6) -> pd.DataFrame:
    polygons = [shapely.box(100 * i, 50 * i, 100 * i + 20, 50 * i + 10) for i in range(count)]
    return pd.DataFrame(
        {
            "geometry": np.array(polygons, object),
            "tile_id": np.array([f"t{i}" for i in range(count)], object),
            "score": [0.5] * (count - 1) + [np.nan] if count else np.empty(0),
            "truncated": [i == 1 for i in range(count)] if count else np.empty(0, bool),
        }
    )


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "masks.parquet"
    write_table(table(some_objects(), mpp=0.5), path, {"model": "instanseg", "settings": {"smoothing_px": 0.5}})
    return path


def test_the_table_opens_as_geoparquet_with_all_that_was_put_in(written):
    objects = read_objects(written)
    assert isinstance(objects, geopandas.GeoDataFrame)
    assert objects.crs is None
    assert objects["cell_id"].tolist() == list(range(6))
    assert objects["tile_id"].tolist() == [f"t{i}" for i in range(6)]
    assert shapely.equals(objects.geometry.to_numpy(), some_objects()["geometry"].to_numpy()).all()
    assert objects["area_um2"].tolist() == [200 * 0.25] * 6
    assert objects["x"].tolist() == [100 * i + 10 for i in range(6)]
    assert objects["score"].isna().tolist() == [False] * 5 + [True]
    assert objects["truncated"].tolist() == [False, True, False, False, False, False]


def test_a_part_of_the_slide_can_be_read_alone(written):
    part = geopandas.read_parquet(written, bbox=(110, 55, 205, 105))
    assert part["cell_id"].tolist() == [1, 2]


def test_the_file_states_its_extent_and_covering(written):
    geo = json.loads(pq.read_schema(written).metadata[b"geo"])
    column = geo["columns"][geo["primary_column"]]
    assert geo["version"] == "1.1.0"
    assert column["bbox"] == [0, 0, 520, 260]
    assert column["geometry_types"] == ["Polygon"]
    assert column["crs"] is None
    assert column["covering"]["bbox"]["ymax"] == ["bbox", "ymax"]


def test_metadata_are_kept(written):
    assert read_metadata(written) == {"model": "instanseg", "settings": {"smoothing_px": 0.5}}


def test_a_table_of_no_objects_is_as_valid_as_any(tmp_path):
    empty, full = table(some_objects(0), mpp=0.5), table(some_objects(), mpp=0.5)
    assert empty.schema.equals(full.schema)
    write_table(empty, tmp_path / "masks.parquet", {"model": "x"})
    objects = geopandas.read_parquet(tmp_path / "masks.parquet")
    assert len(objects) == 0
    assert objects.crs is None
    assert len(geopandas.read_parquet(tmp_path / "masks.parquet", bbox=(0, 0, 10, 10))) == 0
    assert read_metadata(tmp_path / "masks.parquet") == {"model": "x"}


def test_a_table_of_objects_none_of_which_has_a_score_has_the_same_schema():
    unscored = some_objects().assign(score=np.nan)
    assert table(unscored, mpp=0.5).schema.equals(table(some_objects(), mpp=0.5).schema)
