"""Scores of outlines: against other people's implementations, every possible matching, and by hand."""

import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from clusterfirst.clustering import palette
from clusterfirst.evaluation import drawing
from clusterfirst.evaluation.matching import match, overlaps, valid
from clusterfirst.evaluation.segmentation import THRESHOLDS, Scores, agreement, hits, pool, score, table
from clusterfirst.slide.slide import Slide

few = hypothesis_settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="session")
def cellpose_metrics():
    """An implementation that many use, and that follows StarDist's."""
    from cellpose import metrics

    return metrics


def pixels(labels: np.ndarray) -> np.ndarray:
    """Exact outlines of the objects of a label image, one for each label, in pieces and with holes if they have any."""
    y, x = np.indices(labels.shape)
    boxes = shapely.box(x, y, x + 1, y + 1)
    values = np.unique(labels[labels > 0])
    return np.array([shapely.union_all(boxes[labels == value]) for value in values], object)


def cells(rng: np.random.Generator, count: int, size: int = 24) -> np.ndarray:
    """Label cells that touch, on some background."""
    centres = rng.uniform(0, size, (count, 2))
    distance = np.linalg.norm(np.indices((size, size)).transpose(1, 2, 0)[:, :, None] - centres, axis=-1)
    labels = np.where(distance.min(axis=2) < rng.uniform(2, 6), distance.argmin(axis=2) + 1, 0)
    return numbered(labels)


def numbered(labels: np.ndarray) -> np.ndarray:
    """Labels without gaps, as Cellpose's functions want them."""
    return np.searchsorted(np.unique(np.r_[0, labels.ravel()]), labels)


def disturbed(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """Move, merge, drop and fray objects as a network may."""
    out = np.roll(labels, rng.integers(-1, 2, 2), axis=(0, 1))
    for value in np.unique(out[out > 0]):
        kind = rng.random()
        if kind < 0.15:
            out[out == value] = 0
        elif kind < 0.3:
            out[out == value] = rng.integers(1, labels.max() + 1)
    out[rng.random(out.shape) < rng.uniform(0, 0.2)] = 0
    return numbered(out)


@few
@given(seeds, st.integers(1, 12))
def test_hits_are_those_that_cellpose_counts(cellpose_metrics, seed, count):
    rng = np.random.default_rng(seed)
    truth = cells(rng, count)
    found = disturbed(rng, truth)
    wanted = cellpose_metrics.average_precision(truth, found, threshold=list(THRESHOLDS))
    _, tp, fp, fn = (np.asarray(row) for row in wanted)
    mine = score(pixels(found), pixels(truth))
    assert list(mine.hits) == tp.tolist()
    assert mine.found - np.array(mine.hits) == pytest.approx(fp)
    assert mine.truth - np.array(mine.hits) == pytest.approx(fn)
    assert (mine.found, mine.truth) == (found.max(), truth.max())


def aji_as_published(found: np.ndarray, truth: np.ndarray) -> float:
    """Algorithm 1 of Kumar et al. 2017, pixel by pixel; of two that are equally alike, the one that shares more."""
    shared = union = 0
    used = set()
    for g in range(1, truth.max() + 1):
        both = [((truth == g) & (found == p)).sum() for p in range(1, found.max() + 1)]
        either = [((truth == g) | (found == p)).sum() for p in range(1, found.max() + 1)]
        if not any(both):
            union += (truth == g).sum()
            continue
        best = max(range(len(both)), key=lambda p: (both[p] / either[p], both[p]))
        shared += both[best]
        union += either[best]
        used.add(best + 1)
    return shared / (union + sum((found == p).sum() for p in range(1, found.max() + 1) if p not in used))


@few
@given(seeds, st.integers(1, 12))
def test_aji_is_as_published(seed, count):
    rng = np.random.default_rng(seed)
    truth = cells(rng, count)
    found = disturbed(rng, truth)
    assert score(pixels(found), pixels(truth)).aji == pytest.approx(aji_as_published(found, truth))


@few
@given(seeds)
def test_aji_is_cellposes_where_each_object_meets_at_most_one(cellpose_metrics, seed):
    # Elsewhere Cellpose's function is another (see `score`).
    rng = np.random.default_rng(seed)
    truth, found = np.zeros((32, 32), int), np.zeros((32, 32), int)
    for number, (row, column) in enumerate(np.ndindex(4, 4), start=1):
        for labels in (truth, found):
            (top, left), (high, wide) = rng.integers(0, 3, 2), rng.integers(2, 6, 2)
            labels[8 * row + top :, 8 * column + left :][:high, :wide] = number if rng.random() < 0.8 else 0
    truth, found = numbered(truth), numbered(found)
    wanted = cellpose_metrics.aggregated_jaccard_index([truth], [found])[0] if truth.any() and found.any() else 0
    assert score(pixels(found), pixels(truth)).aji == pytest.approx(wanted)


# The matching, where objects of one set overlap and pairs are not unique.


def best_by_trying(i, j, iou, threshold) -> tuple[int, float]:
    """Most pairs, and their greatest summed IoU, of all one-to-one matchings."""
    good = [pair for pair in range(len(i)) if iou[pair] >= threshold]
    for count in range(len(good), 0, -1):
        sums = [
            sum(iou[pair] for pair in some)
            for some in combinations(good, count)
            if len({i[pair] for pair in some}) == len({j[pair] for pair in some}) == count
        ]
        if sums:
            return count, max(sums)
    return 0, 0.0


@hypothesis_settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 4), st.integers(0, 4)), st.sampled_from([0.3, 0.5, 0.51, 0.7, 0.9, 1.0]), max_size=10
    ),
    st.sampled_from([0.3, 0.5, 0.7]),
)
def test_no_matching_is_better(pairs, threshold):
    i, j = np.array(list(pairs), int).reshape(-1, 2).T
    iou = np.array(list(pairs.values()))
    chosen = match(i, j, iou, threshold)
    assert (iou[chosen] >= threshold).all()
    assert (np.diff(chosen) > 0).all()
    assert len(np.unique(i[chosen])) == len(np.unique(j[chosen])) == len(chosen)
    assert (len(chosen), iou[chosen].sum()) == pytest.approx(best_by_trying(i, j, iou, threshold))


@few
@given(seeds)
def test_overlapping_outlines_are_matched_as_well_as_can_be(seed):
    rng = np.random.default_rng(seed)
    found, truth = (
        shapely.box(*(corner := rng.integers(0, 5, (2, 4))), *(corner + rng.integers(3, 6, (2, 4)))) for _ in range(2)
    )
    pairs = overlaps(found, truth)
    mine = score(found, truth)
    wanted = [best_by_trying(pairs.i, pairs.j, pairs.iou, threshold) for threshold in THRESHOLDS]
    assert list(mine.hits) == [count for count, _ in wanted]
    assert mine.iou == pytest.approx(wanted[0][1])


def test_more_pairs_are_better_than_one_perfect_pair():
    # The found 0 fits both; taking its perfect partner would leave the found 1 without any.
    i, j, iou = np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([1.0, 0.5, 0.5])
    assert match(i, j, iou, 0.5).tolist() == [1, 2]
    assert match(i, j, iou, 0.6).tolist() == [0]


def test_an_iou_at_the_threshold_is_a_hit():
    found, truth = shapely.box([0], [0], [2], [1]), shapely.box([0], [0], [1], [1])
    assert score(found, truth).hits == (1, *[0] * 9)


@few
@given(seeds)
def test_overlaps_are_the_areas_that_pixels_share(seed):
    rng = np.random.default_rng(seed)
    first, second = cells(rng, 8), cells(rng, 8)
    pairs = overlaps(pixels(first), pixels(second))
    wanted = pd.crosstab(first.ravel(), second.ravel())
    wanted = wanted.drop(index=0, columns=0, errors="ignore").stack()
    wanted = wanted[wanted > 0]
    assert [(i + 1, j + 1) for i, j in zip(pairs.i, pairs.j, strict=True)] == wanted.index.tolist()
    assert pairs.shared == pytest.approx(wanted.to_numpy())
    for i, j, shared, iou in zip(*pairs, strict=True):
        assert iou == pytest.approx(shared / ((first == i + 1) | (second == j + 1)).sum())


def test_neighbours_that_touch_do_not_overlap():
    assert len(overlaps(shapely.box([0, 0], [0, 5], [1, 1], [1, 6]), shapely.box([1], [0], [2], [1])).i) == 0


def test_outlines_that_cross_themselves_are_measured_by_what_they_enclose():
    bow_tie = shapely.Polygon([(0, 0), (4, 4), (4, 0), (0, 4)])
    assert shapely.area(valid(np.array([bow_tie]))).tolist() == [8]
    mine = score(np.array([bow_tie]), np.array([shapely.box(0, 0, 4, 4)]))
    assert (mine.hits[0], mine.iou, mine.aji) == pytest.approx((1, 0.5, 0.5))


# By hand.


FOUND = shapely.box([0, 20, 40, 90], 0, [10, 28, 60, 95], [10, 10, 10, 5])
TRUTH = shapely.box([0, 20, 40, 50, 70], 0, [10, 30, 50, 60, 75], [10, 10, 10, 10, 10])
"""Alike; four fifths of it; one over two (each half of it); nothing found; and one found over nothing."""


def test_the_figures_of_a_small_example():
    mine = score(FOUND, TRUTH)
    assert (mine.found, mine.truth) == (4, 5)
    # IoU 1, 0.8, and 0.5 for one of the two.
    assert mine.hits == (3, 2, 2, 2, 2, 2, 2, 1, 1, 1)
    assert mine.precision == pytest.approx([hit / 4 for hit in mine.hits])
    assert mine.recall == pytest.approx([hit / 5 for hit in mine.hits])
    assert mine.f1 == pytest.approx([2 * hit / 9 for hit in mine.hits])
    assert mine.mean_f1 == pytest.approx(2 * 18 / 9 / 10)
    assert mine.sq == pytest.approx((1 + 0.8 + 0.5) / 3)
    assert mine.dq == pytest.approx(3 / (3 + 0.5 * 1 + 0.5 * 2))
    assert mine.pq == pytest.approx((1 + 0.8 + 0.5) / (3 + 0.5 * 1 + 0.5 * 2))
    # The found one that lies over two true ones is taken twice; 50 of a miss, 25 of a false alarm.
    assert mine.aji == pytest.approx((100 + 80 + 100 + 100) / (100 + 100 + 200 + 200 + 50 + 25))


def test_every_object_is_told_what_became_of_it():
    found_hit, truth_hit = hits(FOUND, TRUTH)
    assert found_hit.tolist() == [True, True, True, False]
    assert truth_hit.tolist()[:2] == [True, True]
    assert sorted(truth_hit.tolist()[2:4]) == [False, True]
    assert not truth_hit[4]
    found_hit, truth_hit = hits(FOUND, TRUTH, threshold=0.9)
    assert found_hit.tolist() == [True, False, False, False]
    assert truth_hit.tolist() == [True, False, False, False, False]


def test_perfect_outlines_have_perfect_scores():
    figures = score(TRUTH, TRUTH).figures()
    assert set(figures.values()) == {1.0}


@few
@given(seeds)
def test_the_order_of_objects_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    truth = cells(rng, 10)
    found, truth = pixels(disturbed(rng, truth)), pixels(truth)
    mine, other = score(found, truth), score(rng.permutation(found), rng.permutation(truth))
    assert mine.hits == other.hits
    assert mine.figures() == pytest.approx(other.figures())


NONE = np.empty(0, object)


def test_where_there_is_nothing_and_nothing_found_no_figure_is_defined():
    mine = score(NONE, NONE)
    assert (mine.found, mine.truth, mine.hits) == (0, 0, (0,) * 10)
    assert set(mine.figures().values()) == {None}
    assert mine.recall == [None] * 10


def test_what_is_found_where_there_is_nothing_counts_against_it():
    mine = score(FOUND, NONE)
    assert (mine.precision[0], mine.recall[0]) == (0, None)
    assert (mine.f1[0], mine.mean_f1, mine.pq, mine.dq, mine.aji) == (0, 0, 0, 0, 0)
    assert mine.sq is None


def test_nothing_found_where_there_is_something_counts_against_it():
    mine = score(NONE, TRUTH)
    assert (mine.precision[0], mine.recall[0]) == (None, 0)
    assert (mine.f1[0], mine.mean_f1, mine.pq, mine.dq, mine.aji) == (0, 0, 0, 0, 0)
    assert [part.tolist() for part in hits(NONE, TRUTH)] == [[], [False] * 5]


@pytest.mark.parametrize(("found", "truth"), [(FOUND, TRUTH), (NONE, TRUTH), (FOUND, NONE), (NONE, NONE)])
def test_a_document_is_json_and_gives_the_scores_back(found, truth):
    mine = score(found, truth)
    document = json.loads(json.dumps(mine.document(), allow_nan=False))
    assert Scores.from_document(document) == mine
    assert document["objects"] == {"found": len(found), "truth": len(truth)}
    assert [row["iou"] for row in document["thresholds"]] == list(THRESHOLDS)
    assert [row["f1"] for row in document["thresholds"]] == mine.f1
    assert (document["pq"], document["aji"]) == (mine.pq, mine.aji)


# Several slides.


def slides_of_cells(seed: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Found and true outlines of several slides."""
    rng = np.random.default_rng(seed)
    truths = [cells(rng, int(rng.integers(1, 10))) for _ in range(count)]
    return [(pixels(disturbed(rng, truth)), pixels(truth)) for truth in truths]


@few
@given(seeds, st.integers(1, 4))
def test_pooled_figures_are_those_of_all_slides_side_by_side(seed, count):
    slides = slides_of_cells(seed, count)
    micro, _ = pool([score(found, truth) for found, truth in slides])
    apart = [
        [shapely.transform(part, lambda xy, number=number: xy + 100 * number) for part in slide]
        for number, slide in enumerate(slides)
    ]
    whole = score(*(np.concatenate(side) for side in zip(*apart, strict=True)))
    assert micro.hits == whole.hits
    assert micro.figures() == pytest.approx(whole.figures())


def test_the_mean_over_slides_weighs_them_alike_and_leaves_out_what_is_undefined():
    perfect, missed, empty = score(TRUTH, TRUTH), score(NONE, TRUTH[:1]), score(NONE, NONE)
    micro, mean = pool([perfect, missed, empty])
    assert (mean["f1"], mean["recall"], mean["precision"], mean["sq"]) == (0.5, 0.5, 1, 1)
    assert mean["f1_0.95"] == 0.5
    assert micro.f1[0] == pytest.approx(10 / 11)
    assert micro.recall[0] == pytest.approx(5 / 6)
    assert set(pool([empty])[1].values()) == {None}
    assert set(pool([])[1].values()) == {None}


def test_the_table_has_a_row_per_slide_and_two_for_all(tmp_path):
    rows = table({"a": score(FOUND, TRUTH), "b": score(NONE, NONE), "c": score(TRUTH, TRUTH)})
    assert rows["slide"].tolist() == ["a", "b", "c", "pooled (micro)", "mean over slides"]
    assert rows["found"].tolist()[:4] == [4, 0, 5, 9]
    assert rows["truth"].tolist()[:4] == [5, 0, 5, 10]
    assert rows["f1"].tolist()[3:] == pytest.approx([2 * 8 / 19, (2 * 3 / 9 + 1) / 2])
    assert rows["aji"].isna().tolist() == [False, True, False, False, False]
    rows.to_csv(tmp_path / "table.csv", index=False)
    first, *_, last = (tmp_path / "table.csv").read_text().splitlines()
    assert first.startswith("slide,found,truth,precision,recall,f1,mean_f1,pq,sq,dq,aji,f1_0.50,f1_0.55")
    assert last.startswith("mean over slides,,,")


# Two sets of outlines of the same tissue.


def test_agreement_is_the_share_of_each_side_that_has_a_partner():
    found = shapely.box([0, 20, 40], 0, [10, 28, 50], 10)
    reference = shapely.box([0, 20], 0, [10, 30], 10)
    result = agreement(found, reference)
    assert (result.of_found, result.of_reference, result.doubled) == (pytest.approx(2 / 3), 1, 0)
    assert agreement(found, reference, iou=0.81).of_reference == 0.5
    assert agreement(NONE, reference) == type(result)(None, 0, 0)


@pytest.mark.parametrize(("shift", "doubled"), [(0, 1), (6.9, 1), (7.1, 0), (10, 0), (50, 0)])
def test_objects_that_share_three_tenths_of_the_smaller_one_are_doubled(shift, doubled):
    found = np.array([shapely.box(0, 0, 100, 100).exterior.envelope, shapely.box(90 + shift, 0, 100 + shift, 10)])
    assert agreement(found, found).doubled == doubled


def test_a_doubled_object_has_no_partner():
    one = shapely.box([0], 0, [10], 10)
    result = agreement(np.r_[one, one], one)
    assert (result.of_found, result.of_reference, result.doubled) == (0.5, 1, 1)


# Pictures.


GREY = 235.0
COLOURS = {name: palette.rgb(palette.colour(rank)) for name, rank in (("hit", 1), ("missed", 0), ("false alarm", 5))}


def opened(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def where(image: np.ndarray, name: str) -> np.ndarray:
    """Pixels that a line of that colour covers by two fifths or more, on the grey of the slide."""
    full = np.array(COLOURS[name], float) - GREY
    covered = (image - GREY) @ full / (full @ full)
    return (covered > 0.4) & (np.abs(image - GREY - covered[..., None] * full) <= 3).all(axis=-1)


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("slide") / "slide.png"
    Image.fromarray(np.full((300, 500, 3), GREY, np.uint8)).save(path)
    with Slide(path, mpp=0.5) as opened_slide:
        yield opened_slide


PLACED = {
    "hit": (shapely.box(100, 50, 140, 90), shapely.box(100, 50, 140, 86)),
    "missed": (None, shapely.box(200, 100, 240, 140)),
    "false alarm": (shapely.box(300, 150, 340, 190), None),
}


def drawn(slide, folder, **options) -> np.ndarray:
    found, truth = (np.array([pair[side] for pair in PLACED.values() if pair[side]], object) for side in (0, 1))
    drawing.overlay(slide, found, truth, folder / "overlay.png", title="a slide", **options)
    assert [path.name for path in folder.iterdir()] == ["overlay.png"]
    return opened(folder / "overlay.png")


def test_hits_misses_and_false_alarms_lie_where_they_are_in_their_colours(slide, tmp_path):
    picture = drawn(slide, tmp_path)
    assert picture.shape[0] == 300
    assert picture.shape[1] > 600
    for name, (found, truth) in PLACED.items():
        rows, columns = np.nonzero(where(picture[:260, :500], name))
        bounds = shapely.total_bounds([shape for shape in (found, truth) if shape])
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == pytest.approx(bounds, abs=2.1)


def test_of_a_hit_both_outlines_are_drawn(slide, tmp_path):
    hit = where(drawn(slide, tmp_path), "hit")
    # The lower edges lie at 86 and 90; a line of one pixel there covers the rows on both sides.
    assert hit[80:95, 120].nonzero()[0].tolist() == [5, 6, 9, 10]


def test_the_legend_has_the_colours(slide, tmp_path):
    beside = drawn(slide, tmp_path)[:, 500:]
    for colour in COLOURS.values():
        assert (beside == colour).all(axis=-1).sum() >= 14 * 14


@pytest.mark.parametrize(("longest", "height"), [(250, 150), (100, 60), (9999, 300)])
def test_a_smaller_picture_shows_all_objects_still(longest, height, slide, tmp_path):
    picture = drawn(slide, tmp_path, longest=longest)[:, : min(longest, 500)]
    tissue = picture[: height // 2 + 30]
    for name in COLOURS:
        assert where(tissue, name).any()
    if longest == 250:
        rows, columns = np.nonzero(where(picture[:120], "missed"))
        assert (columns.min(), columns.max() + 1) == pytest.approx((100, 120), abs=2.1)
        assert (rows.min(), rows.max() + 1) == pytest.approx((50, 70), abs=2.1)


def test_the_threshold_decides_what_is_a_hit(slide, tmp_path):
    assert not where(drawn(slide, tmp_path, threshold=0.95)[:260, :500], "hit").any()


def test_an_overlay_of_nothing_is_the_slide(slide, tmp_path):
    drawing.overlay(slide, NONE, NONE, tmp_path / "overlay.png", title="")
    assert (opened(tmp_path / "overlay.png")[:250, :500] == GREY).all()


@pytest.mark.parametrize("documents", [[], [(FOUND, TRUTH)], [(FOUND, TRUTH), (TRUTH, TRUTH), (NONE, NONE)]])
def test_the_curve_is_drawn_of_any_slides(documents, tmp_path):
    scores = {str(number): score(*pair) for number, pair in enumerate(documents)}
    micro, _ = pool(scores.values())
    drawing.curve(scores, micro, tmp_path / "curve.png", title="segmentation")
    assert [path.name for path in tmp_path.iterdir()] == ["curve.png"]
    picture = opened(tmp_path / "curve.png")
    assert picture.shape == (900, 1200, 3)
    inside = picture[45:820, 95:1160]
    thick = (inside == (0, 114, 178)).all(axis=-1)
    # The line in the legend is 45 px long, the one of the scores 1,080.
    assert (thick.any(axis=0).sum() > 900) == bool(documents)


def test_the_curve_is_as_high_as_the_scores(tmp_path):
    perfect = score(TRUTH, TRUTH)
    heights = {}
    half = pool([perfect, score(NONE, TRUTH), score(NONE, TRUTH)])[0]
    for name, scores in {"one": perfect, "half": half}.items():
        drawing.curve({}, scores, tmp_path / "curve.png", title="F1")
        blue = (opened(tmp_path / "curve.png") == (0, 114, 178)).all(axis=-1)
        heights[name] = np.flatnonzero(blue.sum(axis=1) > 900).mean()
    # F1 0.5 lies half-way between 1 at the top and 0 above the figures of the lower axis.
    assert heights["one"] == pytest.approx(40, abs=20)
    assert 2 * heights["half"] - heights["one"] == pytest.approx(830, abs=15)
