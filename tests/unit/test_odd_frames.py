"""Where coordinates begin, on slides that say which part was scanned: at its corner, or at that of level 0."""

import gzip
import json
import re

import geopandas
import numpy as np
import pyarrow as pa
import pytest
import shapely
import tifffile
from hypothesis import given as examples
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clusterfirst.evaluation import truth
from clusterfirst.export import qupath
from clusterfirst.io import ClusterfirstError
from clusterfirst.outlines import foreign
from clusterfirst.outlines.foreign.frames import ORIGIN

from .. import defaults
from ..made import geojson_feature, slide_facts

X, Y, WIDTH, HEIGHT = 200, 150, 640, 480
CORNER = np.array([X, Y])
SLIDE = slide_facts(width=1000, height=800, bounds=(X, Y, WIDTH, HEIGHT))
PLAIN = slide_facts(width=1000, height=800)
CELLS = np.array(
    [shapely.Point(X + x, Y + y).buffer(7, quad_segs=3) for x in range(20, WIDTH, 40) for y in range(20, HEIGHT, 40)]
)
"""All over the scanned part, counted from the corner of level 0."""


def shifted(shapes, by):
    return shapely.transform(np.asarray(shapes, object), lambda xy: xy + np.asarray(by))


FROM_BOUNDS = shifted(CELLS, -CORNER)


@pytest.fixture
def told(caplog):
    """Messages by level, without paths."""
    caplog.set_level("INFO", logger="clusterfirst")
    return lambda level: [one.getMessage().split(": ", 1)[1] for one in caplog.records if one.levelname == level]


def document(shapes, **members) -> dict:
    return members | {
        "type": "FeatureCollection",
        "features": [geojson_feature(one, "a", "detection") for one in shapes],
    }


@pytest.fixture
def write(tmp_path):
    def to_file(shapes, kind="geojson", **members):
        path = tmp_path / f"cells.{kind}"
        if kind == "parquet":
            geopandas.GeoDataFrame({"name": ["a"] * len(shapes)}, geometry=list(shapes)).to_parquet(path)
        elif kind == "csv":
            points = shapely.get_coordinates(shapely.centroid(shapes))
            path.write_text("\n".join(["x,y,class", *(f"{x},{y},a" for x, y in points)]))
        else:
            path.write_text(json.dumps(document(shapes, **members)))
        return path

    return to_file


def read(path, slide=SLIDE, reader=foreign.read, **given):
    return reader(path, slide, given=defaults.section("given", **given))["geometry"].to_numpy()


def same(found, wanted) -> bool:
    return len(found) == len(wanted) and bool((shapely.hausdorff_distance(found, wanted) < 0.02).all())


# GeoJSON.


def test_geojson_counts_from_the_corner_of_the_scanned_part_as_qupath_does(write, told):
    path = write(FROM_BOUNDS)
    assert same(read(path), CELLS)
    (warning,) = told("WARNING")
    assert "the scanned part of the slide begins at (200, 150) of level 0" in warning
    assert "as QuPath's do (given.geojson_origin: bounds)" in warning
    assert "corner of level 0, (0, 0), set level0" in warning
    assert same(read(path, reader=foreign.read_truth), CELLS)


def test_geojson_of_other_programs_counts_from_the_corner_of_level_0(write, told):
    assert same(read(write(CELLS), geojson_origin="level0"), CELLS)
    assert told("WARNING") == []
    assert "begin at the corner of level 0, (0, 0) (given.geojson_origin: level0)" in told("INFO")[0]
    assert "begins at (200, 150)" in told("INFO")[0]


@pytest.mark.parametrize("setting", ["bounds", "level0"])
@pytest.mark.parametrize("at", [[0, 0], [X, Y], [X + 0.5, 20]])
def test_what_a_file_says_itself_wins(write, told, setting, at):
    path = write(shifted(CELLS, -np.array(at)), **{ORIGIN: at})
    assert same(read(path, geojson_origin=setting), CELLS)
    (said,) = told("WARNING") or told("INFO")[:1]
    assert bool(told("WARNING")) == (at == [X + 0.5, 20])
    assert f"begin at ({at[0]:g}, {at[1]:g}), as the file says" in said
    assert "begins at (200, 150)" in said


def test_where_the_whole_was_scanned_nothing_is_said(write, told):
    for setting in ("bounds", "level0"):
        assert same(read(write(CELLS), PLAIN, geojson_origin=setting), CELLS)
    for kind in ("parquet", "csv"):
        read(write(CELLS, kind), PLAIN, foreign.read_truth)
    assert told("WARNING") == []
    assert not any("corner" in one or "begin" in one for one in told("INFO"))


def test_what_a_file_says_counts_where_the_slide_says_nothing(write, told):
    assert same(read(write(FROM_BOUNDS, **{ORIGIN: [X, Y]}), PLAIN), CELLS)
    assert "begin at (200, 150), as the file says" in told("WARNING")[0]


@pytest.mark.parametrize("where", ["before", "after", "list", "lines"])
def test_the_member_is_found_wherever_it_stands(tmp_path, where):
    features = document(FROM_BOUNDS)["features"]
    member, path = f'"{ORIGIN}": [{X}, {Y}]', tmp_path / "a.geojson"
    path.write_text(
        {
            "before": f'{{{member}, "features": {json.dumps(features)}}}',
            "after": f'{{"features": {json.dumps(features)}, "bbox": null, {member}}}',
            "list": f'{{"features": {json.dumps(features[:9])}, {member}}} {{{member}, "features": '
            f"{json.dumps(features[9:])}}}",
            "lines": "\n".join(json.dumps(one | {ORIGIN: [X, Y]}) for one in features),
        }[where]
    )
    assert same(read(path, geojson_origin="level0"), CELLS)


LONG = f"[1{'0' * 400}, 0]"
NO_CORNER = [
    "null",
    '"0,0"',
    "[1]",
    "[1, 2, 3]",
    "[true, 0]",
    "[NaN, 0]",
    "[1e999, 0]",
    f"[1{'0' * 400}, 0]",
    "[[1], 0]",
]


@pytest.mark.parametrize("value", [*NO_CORNER, '{"x": 1}', "[" * 50 + "]" * 50])
def test_a_corner_that_is_not_two_numbers_is_refused(tmp_path, value):
    path = tmp_path / "a.geojson"
    path.write_text(f'{{"{ORIGIN}": {value}, "features": {json.dumps(document(CELLS)["features"])}}}')
    for slide in (SLIDE, PLAIN):
        with pytest.raises(ClusterfirstError, match=f'"{ORIGIN}" is .* it must be two numbers'):
            read(path, slide)


@pytest.mark.parametrize("text", ['{{{0}, {0}, "features": []}}', '{{{0}, "features": [], {0}}}'])
def test_a_corner_that_is_said_twice_is_refused(tmp_path, text):
    (tmp_path / "a.geojson").write_text(text.format(f'"{ORIGIN}": [0, 0]'))
    with pytest.raises(ClusterfirstError, match=f"a second '{ORIGIN}' in the same object"):
        read(tmp_path / "a.geojson")


@pytest.mark.parametrize("others", [{}, {ORIGIN: [0, 0]}])
def test_documents_that_begin_at_several_corners_are_refused(tmp_path, others):
    parts = document(CELLS[:50], **{ORIGIN: [X, Y]}), document(CELLS[50:], **others)
    (tmp_path / "a.geojson").write_text("\n".join(map(json.dumps, parts)))
    with pytest.raises(ClusterfirstError, match=r"begin at several corners .*\(200, 150\), .*: give a file for each"):
        read(tmp_path / "a.geojson")


# Tables.


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize("setting", ["bounds", "level0"])
def test_tables_count_from_the_corner_of_level_0_as_ours_do(write, told, kind, setting):
    wanted = shapely.centroid(CELLS) if kind == "csv" else CELLS
    assert same(read(write(CELLS, kind), reader=foreign.read_truth, geojson_origin=setting), wanted)
    assert re.search(r"begin at the corner of level 0, \(0, 0\), as .* begins at \(200, 150\)", told("INFO")[0])


# Label images.


def label_image(path, part, shrunk=1):
    """Discs of the cells, as an image of a part of the slide; return the middles that they should have."""
    x, y, width, height = part
    image = np.zeros((height // shrunk, width // shrunk), np.uint16)
    middles = shapely.get_coordinates(shapely.centroid(CELLS))
    rows, columns = np.indices(image.shape)
    for number, (at_x, at_y) in enumerate(middles - (x, y), start=1):
        left, top = int(at_x / shrunk) - 8, int(at_y / shrunk) - 8
        near = np.s_[max(top, 0) : top + 16, max(left, 0) : left + 16]
        disc = np.hypot(columns[near] + 0.5 - at_x / shrunk, rows[near] + 0.5 - at_y / shrunk) < 7 / shrunk
        image[near][disc] = number
    tifffile.imwrite(path, image)
    return middles


BOUNDS = (X, Y, WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ("bounds", "part", "shrunk", "said"),
    [
        (BOUNDS, (0, 0, 1000, 800), 1, None),
        (BOUNDS, (0, 0, 1000, 800), 2, "the whole slide at 1/2 of its resolution"),
        (BOUNDS, BOUNDS, 1, "the scanned part, 640 × 480 px from (200, 150) on, at 1/1 of its resolution"),
        (BOUNDS, BOUNDS, 2, "the scanned part, 640 × 480 px from (200, 150) on, at 1/2 of its resolution"),
        # Of the slide's shape, a half of it: its size decides, and the slide where that says nothing.
        ((200, 150, 500, 400), (200, 150, 500, 400), 1, "the scanned part, 500 × 400 px from (200, 150) on, at 1/1"),
        (
            (200, 150, 500, 400),
            (0, 0, 1000, 800),
            4,
            "the whole slide at 1/4 of its resolution, not for its",
        ),
        ((0, 0, 700, 500), (0, 0, 700, 500), 1, "the scanned part, 700 × 500 px from (0, 0) on, at 1/1"),
    ],
)
def test_a_label_image_is_of_the_slide_or_of_its_scanned_part(tmp_path, told, bounds, part, shrunk, said):
    middles = label_image(tmp_path / "a.tif", part, shrunk)
    outlines = read(tmp_path / "a.tif", slide_facts(width=1000, height=800, bounds=bounds), min_median_um2=0)
    found = shapely.get_coordinates(shapely.centroid(outlines))
    on = (middles > np.array(part[:2]) + 7).all(axis=1) & (middles < np.add(part[:2], part[2:]) - 7).all(axis=1)
    gap = np.linalg.norm(middles[on][:, None] - found, axis=2).min(axis=1)
    assert on.sum() > 50
    assert gap.max() < 1 * shrunk
    warned = [one for one in told("WARNING") if "label image" in one]
    assert (len(warned), said is None or said in warned[0]) == (said is not None, True)


def test_a_label_image_of_neither_is_refused(tmp_path):
    label_image(tmp_path / "a.tif", (X, Y, 640, 300))
    with pytest.raises(
        ClusterfirstError, match=r"640 × 300 px, the slide 1000 × 800 px, its scanned part 640 × 480 px"
    ):
        read(tmp_path / "a.tif")


# The other corner.


@pytest.mark.parametrize(
    ("kind", "cells", "setting", "members", "advice"),
    [
        ("geojson", CELLS, "bounds", {}, rf'geojson_origin to level0, or write the member "{ORIGIN}": \[0, 0\] into'),
        ("geojson", FROM_BOUNDS, "level0", {}, rf'to bounds, or write the member "{ORIGIN}": \[200, 150\] into'),
        ("geojson", CELLS, "level0", {ORIGIN: [X, Y]}, f'mend the member "{ORIGIN}"'),
        ("geojson", FROM_BOUNDS, "bounds", {ORIGIN: [0, 0]}, f'mend the member "{ORIGIN}"'),
        ("parquet", FROM_BOUNDS, "bounds", {}, "add 200 to all x and 150 to all y"),
        ("csv", FROM_BOUNDS, "bounds", {}, "add 200 to all x and 150 to all y"),
    ],
)
def test_what_would_lie_off_the_scanned_part_is_refused(write, kind, cells, setting, members, advice):
    with pytest.raises(ClusterfirstError) as error:
        read(write(cells, kind, **members), reader=foreign.read_truth, geojson_origin=setting)
    message = str(error.value)
    assert "of 192 objects would lie off the scanned part of the slide (x 200 to 840, y 150 to 630)" in message
    assert {"(0, 0)", "(200, 150)"} <= set(re.findall(r"\(\d+, \d+\)", message))
    assert re.search(f" 0 would if they began at .*{advice}", message)


def test_a_region_by_the_wrong_corner_is_refused(tmp_path):
    drawn = geojson_feature(shapely.box(700, 200, 830, 620), "a")
    (tmp_path / "a.geojson").write_text(json.dumps([drawn]))
    with pytest.raises(ClusterfirstError, match=r"1 of 1 objects would lie off the scanned part .* level0"):
        truth.read(tmp_path / "a.geojson", CELLS, SLIDE, given=defaults.section("given"))
    told = truth.read(tmp_path / "a.geojson", CELLS, SLIDE, given=defaults.section("given", geojson_origin="level0"))
    assert ((told.name == "a") == shapely.contains(shapely.box(700, 200, 830, 620), shapely.centroid(CELLS))).all()


def test_a_few_objects_off_the_scanned_part_are_no_reason_to_doubt_the_corner(write):
    off = shapely.box(*np.array([[-60, -60, -50, -50], [700, 30, 710, 40]]).T)
    assert same(read(write([*FROM_BOUNDS, *off])), [*CELLS, *shifted(off, CORNER)])


def test_a_truth_that_hits_the_cells_from_the_other_corner_is_refused(write):
    slide = slide_facts(width=1000, height=800, bounds=(15, 12, 970, 770))
    given = defaults.section("given")
    for kind, cells in (("geojson", CELLS), ("parquet", shifted(CELLS, (-15, -12)))):
        with pytest.raises(ClusterfirstError, match=r"100% of its .* if coordinates were counted from \(\d+, \d+\) "):
            truth.read(write(cells, kind), CELLS, slide, given=given)
        at_home = write(shifted(CELLS, (-15, -12)) if kind == "geojson" else CELLS, kind)
        assert (truth.read(at_home, CELLS, slide, given=given).name == "a").all()


def test_µm_are_told_whatever_they_are_counted_from(write):
    small = shapely.transform(FROM_BOUNDS, lambda xy: xy * 0.25)
    slide = slide_facts(width=1000, height=800, mpp=0.25, bounds=SLIDE.bounds)
    with pytest.raises(ClusterfirstError, match=r"of the slide's 640 × 480: are these µm"):
        read(write(small), slide)
    with pytest.raises(ClusterfirstError, match="if coordinates were µm"):
        truth.read(write(small), CELLS, slide, given=defaults.section("given", min_median_um2=0))


# Points and regions.


def test_points_and_regions_are_moved_with_the_outlines(tmp_path):
    area = shapely.box(X + 100, Y + 100, X + 300, Y + 300).difference(shapely.box(X + 150, Y + 150, X + 250, Y + 250))
    drawn = [(area, "tumour"), (CELLS[0], "stroma"), (shapely.centroid(CELLS[-1]), "mitosis")]
    features = [geojson_feature(shapely.transform(shape, lambda xy: xy - CORNER), name) for shape, name in drawn]
    for beside in ([], [geojson_feature(FROM_BOUNDS[1], None, "detection")]):
        (tmp_path / "a.geojson").write_text(json.dumps([*features, *beside]))
        told = truth.read(tmp_path / "a.geojson", CELLS, SLIDE, given=defaults.section("given"))
        assert (told.name[0], told.name[-1]) == ("stroma", "mitosis")
        assert ((told.name == "tumour") == shapely.contains(area, shapely.centroid(CELLS))).all()
        assert told.begins.at == (X, Y)


def test_regions_that_lie_elsewhere_are_told_and_refused_if_most_do(tmp_path, told):
    on = [geojson_feature(shapely.box(x, 200, x + 200, 400), "a") for x in (200, 400, 600)]
    off = [geojson_feature(shapely.box(3000, y, 3200, y + 200), "a") for y in (0, 300, 600, 900)]
    (tmp_path / "a.geojson").write_text(json.dumps([*on, *off[:1]]))
    said = truth.read(tmp_path / "a.geojson", CELLS, PLAIN, given=defaults.section("given"))
    assert (said.tally.regions, said.tally.empty) == (3, 0)
    assert "1 of 4 lie wholly outside the slide: dropped (feature 4)" in told("WARNING")
    (tmp_path / "a.geojson").write_text(json.dumps([*on, *off]))
    with pytest.raises(ClusterfirstError, match="4 of 7 lie wholly outside the slide of 1000 × 800 px"):
        truth.read(tmp_path / "a.geojson", CELLS, PLAIN, given=defaults.section("given"))


# There and back.


def exported(path, shapes, origin):
    table = pa.table({"geometry": shapely.to_wkb(shapes), "label": pa.array(["a"] * len(shapes), pa.string())})
    qupath.write(path, table.to_batches(1000), {"a": "#ff0080"}, origin=origin)
    return path


@pytest.mark.parametrize("setting", ["bounds", "level0"])
@pytest.mark.parametrize("slide", [SLIDE, PLAIN])
def test_what_was_exported_is_read_back_where_it_was(tmp_path, told, slide, setting):
    path = exported(tmp_path / "a.geojson.gz", CELLS, slide.origin)
    assert same(read(path, slide, geojson_origin=setting), CELLS)
    assert told("WARNING") == []
    with gzip.open(path) as file:
        written = json.load(file)
    assert written.get(ORIGIN) == ([X, Y] if slide is SLIDE else None)
    # QuPath writes what it has read without the member, counted from the same corner.
    written.pop(ORIGIN, None)
    (tmp_path / "b.geojson").write_text(json.dumps(written))
    assert same(read(tmp_path / "b.geojson", slide), CELLS)


@hypothesis_settings(max_examples=50, deadline=None)
@examples(st.integers(0, 300), st.integers(0, 300), st.integers(0, 2**32 - 1))
def test_all_ways_to_write_cells_mean_the_same_places(tmp_path_factory, x, y, seed):
    rng, folder = np.random.default_rng(seed), tmp_path_factory.mktemp("frames")
    slide = slide_facts(width=1000, height=800, bounds=(x, y, 600, 450))
    # Near the corners, too, where the other frame would show.
    middles = np.concatenate([rng.uniform(10, (590, 440), (20, 2)), [[8, 8], [592, 442]]])
    middles += (x, y)
    cells = shapely.buffer(shapely.points(middles), 7, quad_segs=3)
    cells = cells[[not any(shapely.intersects(cells[:n], cell)) for n, cell in enumerate(cells)]]
    own = exported(folder / "own.geojson.gz", cells, slide.origin)
    (folder / "theirs.geojson").write_text(json.dumps(document(shifted(cells, (-x, -y)))))
    (folder / "said.geojson").write_text(json.dumps(document(cells, **{ORIGIN: [0, 0]})))
    geopandas.GeoDataFrame({"name": ["a"] * len(cells)}, geometry=list(cells)).to_parquet(folder / "a.parquet")
    for path in (own, folder / "theirs.geojson", folder / "said.geojson", folder / "a.parquet"):
        assert same(read(path, slide), cells)
