"""The pictures that a model is shown."""

import numpy as np
import pytest
from PIL import Image

from clusterfirst.clustering import palette
from clusterfirst.clustering.document import Clustering
from clusterfirst.drawing import crops
from clusterfirst.io import ClusterfirstError
from clusterfirst.proposing import views

from ..labelling_results import MPP, make

SIDE_PX = 256


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Three views of each cluster of two slides that are clustered together."""
    folder = tmp_path_factory.mktemp("drawn")
    results = make(folder, slides={"a": 150, "b": 120}, group="cohort", edge=700, groups=3)
    clusters = Clustering.read(results / "groups/cohort/clusters.json")
    sources = [crops.Source(folder / f"slides/{name}.png", results / name / "masks.parquet") for name in "ab"]
    (folder / "views").mkdir()
    views.draw(clusters, sources, folder / "views", per_cluster=3, threads=2)
    return folder, clusters, sources


def test_each_view_shows_other_representatives_of_its_cluster(drawn):
    folder, clusters, _ = drawn
    shown = views.read(folder / "views")
    assert {path.name for path in (folder / "views").glob("*.png")} == {view.file for view in shown}
    sizes = [view.size for view in shown]
    assert sizes == sorted(sizes, reverse=True), "the budget is spent on the largest first"
    for entry in clusters.entries:
        own = [view for view in shown if view.cluster == entry.id]
        assert len(own) == 3
        assert sorted(row for view in own for row in view.cells) == sorted(entry.representatives)
        assert own[0].cells[0] == entry.representatives[0], "the most typical one is seen first"
        assert {view.size for view in own} == {entry.size}
        assert own[0].share == pytest.approx(entry.size / 270)


def test_facts_are_those_of_all_cells_of_the_cluster(drawn):
    import geopandas

    folder, clusters, sources = drawn
    area = np.concatenate([geopandas.read_parquet(source.masks).area.to_numpy() for source in sources]) * MPP**2
    cluster_id = clusters.cluster_id
    for view in views.read(folder / "views"):
        assert view.median_area_um2 == pytest.approx(np.median(area[cluster_id == view.cluster]), abs=0.06)
        assert view.usual_area_um2 == pytest.approx(np.median(area), abs=0.06)
        assert set(view.mpp) == {MPP}


def test_each_crop_has_its_cell_in_the_middle_outlined_thinly_and_as_large_as_it_is(drawn):
    import geopandas

    folder, _, sources = drawn
    polygons = np.concatenate([geopandas.read_parquet(source.masks).geometry.to_numpy() for source in sources])
    for view in views.read(folder / "views"):
        picture = np.asarray(Image.open(folder / "views" / view.file))
        # The slides are all of light colours; the numbers are black.
        green = (picture[..., 0] < 110) & (picture[..., 1] > 150) & (picture[..., 2] < 110)
        columns = int(np.ceil(np.sqrt(len(view.cells))))
        px_per_um = SIDE_PX / view.side_um
        for place, row in enumerate(view.cells):
            x, y = place % columns * (SIDE_PX + 6), place // columns * (SIDE_PX + 6)
            high, wide = np.nonzero(green[y : y + SIDE_PX, x : x + SIDE_PX])
            assert abs(wide.min() + wide.max() + 1 - SIDE_PX) <= 8
            assert abs(high.min() + high.max() + 1 - SIDE_PX) <= 8
            left, _, right, _ = polygons[row].bounds
            assert wide.max() - wide.min() == pytest.approx((right - left) * MPP * px_per_um, abs=4)
            assert len(wide) < 3 * polygons[row].length * MPP * px_per_um, "a line of a pixel or two"


def test_the_scale_bar_is_as_long_as_it_says(drawn):
    folder, *_ = drawn
    view = views.read(folder / "views")[0]
    picture = np.asarray(Image.open(folder / "views" / view.file))
    strip = (picture[-34:] < 40).all(axis=-1)
    longest = max(np.diff(np.flatnonzero(np.diff(np.r_[0, row.astype(int), 0]))).max(initial=0) for row in strip)
    assert longest == pytest.approx(20 / view.side_um * SIDE_PX, abs=2)
    assert view.side_um >= 40


def test_drawing_again_gives_the_same_bytes(drawn, tmp_path):
    """Or the cache would know none of them."""
    folder, clusters, sources = drawn
    views.draw(clusters, sources, tmp_path, per_cluster=3)
    for path in tmp_path.glob("*.png"):
        assert path.read_bytes() == (folder / "views" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("cells", "wanted", "dealt"),
    [
        (range(5), 2, [[0, 2, 4], [1, 3]]),
        (range(2), 3, [[0], [1]]),
        (range(40), 2, [list(range(0, 18, 2)), list(range(1, 18, 2))]),
        ([], 3, []),
    ],
)
def test_cells_are_dealt_out_in_turn(cells, wanted, dealt):
    assert views.deal(list(cells), wanted) == dealt


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_pictures_of_any_number_of_cells_fit(count):
    picture = np.asarray(views.montage([np.full((256, 256, 3), palette.rgb("#aa3377"), np.uint8)] * count, 40))
    assert (picture == palette.rgb("#aa3377")).all(axis=-1).sum() > count * 256**2 * 0.98
    assert max(picture.shape) <= 820


def test_files_of_different_runs_are_an_error(drawn, tmp_path):
    _, clusters, sources = drawn
    with pytest.raises(ClusterfirstError, match="different numbers of cells"):
        views.draw(clusters, sources[:1], tmp_path, per_cluster=1)
