"""Slides in scanners' formats through the chain of the demo, beside a plain TIFF of the same pixels."""

import gzip
import json

import geopandas
import numpy as np
import pytest
import shapely
from scipy.spatial import KDTree

from clusterfirst.slide.facts import SlideFacts
from clusterfirst.slide.slide import Slide

from .. import containers
from .conftest import SMALL

EDGE = 384
ORIGINS = {"plain": (0, 0), "dicom": (0, 0), "mirax": (108, 100), "scn": (200, 148)}


@pytest.fixture(scope="module")
def scanned(new_project, cmu):
    """A finished run of the same piece of tissue in four formats, clustered together, with GeoJSON for QuPath."""
    project = new_project("scanned")
    with Slide(cmu) as slide:
        rgb, mpp = slide.read(1000, 700, EDGE, EDGE), slide.mpp
    paths = {
        "plain": containers.plain(project.folder / "plain.tif", rgb, mpp),
        "dicom": containers.dicom(project.folder / "series", rgb, mpp),
        "mirax": containers.mirax(project.folder / "Case1.mrxs", rgb, mpp),
        "scn": containers.scn(project.folder / "a.scn", rgb, mpp),
    }
    own = {
        "embedding": {"models": ["morphology"]},
        "clustering": {"scope": "cohort", "groups": 5},
        "export": {"formats": ["qupath"]},
    }
    project.write([{"slide": name, "path": path, "tissue": "skin"} for name, path in paths.items()], SMALL | own)
    done = project.run("annotations", "exports", "--set-threads", "outline=1")
    assert done.returncode == 0, done.stdout
    return project


def cells_of(project, name):
    """Cells as the scanner's picture has them: from the corner of the scanned part."""
    path = project.results(name) / "cells.parquet"
    origin = SlideFacts.of(path).origin
    assert origin == ORIGINS[name]
    cells = geopandas.read_parquet(path)
    return cells.set_geometry(shapely.transform(cells.geometry, lambda xy: xy - origin))


@pytest.mark.parametrize("name", [name for name in ORIGINS if name != "plain"])
def test_a_scanners_slide_has_the_cells_of_a_plain_one_in_the_same_clusters(scanned, name):
    plain, other = cells_of(scanned, "plain"), cells_of(scanned, name)
    assert len(plain) > 100
    assert len(other) == pytest.approx(len(plain), rel=0.06)
    nearest = KDTree(shapely.get_coordinates(other.centroid)).query(shapely.get_coordinates(plain.centroid))[1]
    found = other.iloc[nearest]
    shared = shapely.area(shapely.intersection(plain.geometry.values, found.geometry.values))
    iou = shared / (plain.area.to_numpy() + found.area.to_numpy() - shared)
    # JPEG moves some borders, and tiles lie elsewhere. A shift of one pixel would leave half of them above 0.7.
    assert (iou > 0.7).mean() > 0.9
    assert np.median(iou) > 0.9
    same = plain["cluster_id"].to_numpy() == found["cluster_id"].to_numpy()
    assert same[iou > 0.7].mean() > 0.9
    assert list((scanned.results(name) / "annotated").glob("*.png"))


@pytest.mark.parametrize(("name", "origin"), ORIGINS.items())
def test_geojson_for_qupath_counts_from_the_scanned_part_and_says_so(scanned, name, origin):
    with gzip.open(scanned.results(name) / "cells.geojson.gz") as file:
        document = json.load(file)
    assert document.get("clusterfirst:origin", [0, 0]) == list(origin)
    assert ("clusterfirst:origin" in document) == any(origin)
    written = [shapely.Polygon(*feature["geometry"]["coordinates"]) for feature in document["features"]]
    np.testing.assert_allclose(
        shapely.bounds(written), shapely.bounds(cells_of(scanned, name).geometry.values), atol=0.01
    )
    assert shapely.bounds(written).min() >= 0
    assert shapely.bounds(written).max() <= EDGE + 1
