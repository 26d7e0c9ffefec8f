"""Figures of clusters against people: cases with known answers, other people's implementations, and laws."""

import json
from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume
from hypothesis import given as examples
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn import metrics

from clusterfirst.evaluation import hungarian, partitions, pooled
from clusterfirst.evaluation.clusters import NAMES, Counts, by_class, count, figures
from clusterfirst.evaluation.pooled import ALL, Cohort, mean, pools, sizes, summarise, table
from clusterfirst.evaluation.truth import Truth, read
from clusterfirst.io import ClusterfirstError

from .. import defaults
from ..made import slide_facts

few = hypothesis_settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def counts(clusters, names, missed=None, tiles=None) -> Counts:
    """Count cells given as text: a letter for a class, a dot for none; a digit for a cluster, a dash for noise."""
    cluster_id = np.array([-1 if one == "-" else int(one) for one in clusters], int)
    name = np.array([None if one == "." else one for one in names] + [None], object)[:-1]
    tile = np.array(list(tiles or "0" * len(name)), str)
    return count(cluster_id, Truth("points", name, missed or {}), tile)


def alone(one: Counts):
    return Cohort({"s": one}, {"s": "s"}).units()


def told(*args, **kwargs) -> dict:
    return figures(alone(counts(*args, **kwargs)))


def random_counts(rng: np.random.Generator, cells=None, classes="abc") -> Counts:
    return count(*random_cells(rng, cells, classes))


def random_cells(rng, cells=None, classes="abc"):
    cells = rng.integers(0, 60) if cells is None else cells
    name = rng.choice([*classes, ""], cells).astype(object)
    name[name == ""] = None
    missed = {name: int(rng.integers(1, 5)) for name in classes if rng.random() < 0.5}
    return rng.integers(-1, 9, cells), Truth("points", name, missed), rng.integers(0, 4, cells)


# Label efficiency.


def test_perfect_clusters_are_right_after_as_many_names():
    one = counts("000112", "aaabbc")
    units = alone(one)
    assert units.curve().tolist() == [0, 3 / 6, 5 / 6, 1]
    out = figures(units)
    assert out["efficiency_5"] == out["efficiency_all"] == out["efficiency_all_of_true"] == 1
    assert out["ari"] == out["ami"] == out["homogeneity"] == out["completeness"] == 1
    assert out["hungarian_tile"] == out["hungarian_group"] == 1
    assert out["majority"] == out["hungarian_tile_one_cluster"] == out["hungarian_group_one_cluster"] == 1 / 2
    assert (out["noise_fraction"], out["units"]) == (0, 3)


def test_one_cluster_is_worth_the_majority():
    out = told("0000000", "aaaabbc")
    assert out["efficiency_5"] == out["majority"] == out["hungarian_group"] == pytest.approx(4 / 7)
    assert out["ari"] == out["homogeneity"] == out["ami"] == pytest.approx(0)
    assert out["completeness"] == 1


def test_noise_is_wrong_everywhere():
    out = told("------", "aabbcc")
    assert out["efficiency_all"] == out["hungarian_tile"] == out["hungarian_group"] == out["units"] == 0
    assert out["noise_fraction"] == 1
    assert out["majority"] == out["hungarian_tile_one_cluster"] == pytest.approx(1 / 3)
    out = told("000--1", "aaaaab")
    assert out["efficiency_all"] == out["hungarian_tile"] == pytest.approx(4 / 6)
    assert out["noise_fraction"] == pytest.approx(2 / 6)


def test_a_person_names_the_clusters_that_are_large_on_the_slide_not_in_the_truth():
    # Cluster 1 has two cells with a truth of the four, cluster 0 one of its five.
    one = counts("000001111", "a....bb..")
    units = alone(one)
    assert units.size.tolist() == [5, 4]
    assert units.curve() == pytest.approx([0, 1 / 3, 1])


def test_what_nobody_judged_costs_a_name_and_brings_nothing():
    assert alone(counts("000011", "....ab")).curve().tolist() == [0, 0, 0.5]


def test_missed_cells_are_wrong_in_the_second_denominator_only():
    out = told("0011", "aabb", missed={"a": 3, "z": 1})
    assert (out["efficiency_5"], out["efficiency_5_of_true"]) == (1, 0.5)


def test_more_clusters_than_classes_cost_names_but_are_right():
    out = told("0011223344556677", "aabbaabbaabbaabb")
    assert out["efficiency_5"] == pytest.approx(10 / 16)
    assert out["efficiency_10"] == out["homogeneity"] == 1
    # One cluster for each of the two classes.
    assert out["hungarian_group"] == out["hungarian_tile"] == pytest.approx(4 / 16)


def test_fewer_clusters_than_classes_leave_classes_without_a_name():
    units = alone(counts("000001111", "aaabbccdd"))
    assert figures(units)["efficiency_all"] == pytest.approx(5 / 9)
    # Of "c" and "d", equally common in the second cluster, the first of the alphabet.
    assert by_class(units)["recall_all"] == [1, 0, 1, 0]
    assert by_class(units)["precision_all"] == [3 / 5, None, 2 / 4, None]


def test_confusion_counts_cells_by_truth_and_name():
    units = alone(counts("0001122-", "aabbbbaa", missed={"c": 1}))
    assert units.confusion(None).tolist() == [[3, 0, 0, 1], [2, 2, 0, 0], [0, 0, 0, 0]]
    assert units.confusion(1).tolist() == [[2, 0, 0, 2], [1, 0, 0, 3], [0, 0, 0, 0]]
    assert units.confusion(0)[:, -1].tolist() == [4, 4, 0]
    assert by_class(units)["recall_all"] == [3 / 4, 2 / 4, None]
    assert by_class(units)["precision_all"] == [3 / 5, 1, None]


@pytest.mark.parametrize(("clusters", "names"), [("", ""), ("0011", "...."), ("--", "..")])
def test_without_judged_cells_figures_are_none_not_numbers(clusters, names):
    out = told(clusters, names, missed={"a": 2})
    assert out["efficiency_5"] is out["hungarian_tile"] is out["ari"] is out["ami"] is out["majority"] is None
    assert out["efficiency_25_of_true"] == 0
    assert told(clusters, names)["efficiency_25_of_true"] is None
    json.dumps(summarise({"s": counts(clusters, names)}, {"s": "s"}).document(), allow_nan=False)


def units_of(seed):
    return alone(random_counts(np.random.default_rng(seed)))


@few
@examples(seeds)
def test_more_names_are_never_worse_and_never_beat_purity(seed):
    units = units_of(seed)
    assume(units.judged)
    curve, out = units.curve(), figures(units)
    assert (np.diff(curve) >= 0).all()
    assert curve[-1] <= 1 - units.noise_table.sum() / units.judged + 1e-12
    assert out["hungarian_group"] <= out["efficiency_all"] + 1e-12
    for names in NAMES:
        assert out[f"efficiency_{names}"] == pytest.approx(curve[min(names, len(units.size))])
        assert out[f"efficiency_{names}_of_true"] <= out[f"efficiency_{names}"]
    assert out["hungarian_tile"] <= 1 - units.noise_table.sum() / units.judged + 1e-12


@few
@examples(seeds)
def test_neither_the_numbers_of_clusters_nor_the_order_of_cells_change_anything(seed):
    rng = np.random.default_rng(seed)
    cluster_id, truth, tile = random_cells(rng)
    renamed, order = np.append(rng.permutation(9), -1)[cluster_id], rng.permutation(len(cluster_id))
    again = Truth(truth.kind, truth.name[order], truth.missed)
    one, other = count(cluster_id, truth, tile), count(renamed[order], again, tile[order])
    shuffled = {"hungarian_tile_shuffled"}  # which cells swap is chance
    for function in (figures, by_class):
        first, second = function(alone(one)), function(alone(other))
        for key in first.keys() - shuffled:
            assert first[key] == pytest.approx(second[key])


@few
@examples(seeds)
def test_a_document_holds_all_that_figures_need(seed):
    one = random_counts(np.random.default_rng(seed))
    again = Counts.from_document(json.loads(json.dumps(one.document(), allow_nan=False)))
    assert again.classes == one.classes
    assert again.tiles == one.tiles
    assert figures(alone(again)) == figures(alone(one))


# Indices, against scikit-learn.


@few
@examples(seeds, st.sampled_from([1, 2, 5]), st.integers(1, 40))
def test_indices_are_scikit_learns(seed, parts, cells):
    rng = np.random.default_rng(seed)
    cluster, label = rng.integers(0, parts, (2, cells))
    both = metrics.cluster.contingency_matrix(cluster, label)
    assert partitions.ari(both) == pytest.approx(metrics.adjusted_rand_score(label, cluster))
    assert partitions.ami(both) == pytest.approx(metrics.adjusted_mutual_info_score(label, cluster))
    assert partitions.homogeneity(both) == pytest.approx(metrics.homogeneity_score(label, cluster))
    assert partitions.completeness(both) == pytest.approx(metrics.completeness_score(label, cluster))


def test_noise_is_one_more_cluster_to_the_indices():
    name, cluster = list("aabbbcab"), [0, 0, 1, 1, -1, -1, 2, 2]
    out = told("0011--22", "aabbbcab")
    assert out["ari"] == pytest.approx(metrics.adjusted_rand_score(name, cluster))
    assert out["ami"] == pytest.approx(metrics.adjusted_mutual_info_score(name, cluster))
    assert out["homogeneity"] == pytest.approx(metrics.homogeneity_score(name, cluster))


# The paper's accuracy.


@few
@examples(seeds)
def test_the_assignment_is_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    both = rng.integers(0, 9, (rng.integers(1, 5), rng.integers(1, 5)))
    wide = both if both.shape[0] <= both.shape[1] else both.T
    best = max(wide[np.arange(len(wide)), list(order)].sum() for order in permutations(range(wide.shape[1]), len(wide)))
    assert hungarian.right(both) == best


def test_tiles_are_assigned_each_for_itself():
    # In the second tile the clusters mean the opposite.
    one = counts("00110011", "aabbbbaa", tiles="LLLLRRRR")
    out = figures(alone(one))
    assert (out["hungarian_tile"], out["hungarian_group"]) == (1, 0.5)
    assert one.tiles.judged == 8
    assert one.tiles.one_cluster == 4


def test_one_cluster_beats_many_where_a_tile_holds_one_class():
    one = counts("00110123", "aaaabbba", tiles="LLLLRRRR")
    assert (one.tiles.clusters, one.tiles.one_cluster) == (2 + 2, 4 + 3)


@few
@examples(seeds)
def test_per_tile_is_the_sum_over_tiles(seed):
    rng = np.random.default_rng(seed)
    cluster, label, tile = (rng.integers(low, 4, 50) for low in (-1, 0, 0))
    wanted = 0
    for number in range(4):
        some = (tile == number) & (cluster >= 0)
        both = np.zeros((4, 4), int)
        np.add.at(both, (cluster[some], label[some]), 1)
        wanted += hungarian.right(both)
    out = hungarian.per_tile(cluster, label, tile, seed=0)
    assert out.clusters == wanted
    assert out.one_cluster == sum(np.bincount(label[tile == number]).max() for number in range(4))


def test_shuffled_clusters_are_worse_than_good_ones_and_seeded():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 600)
    tile = rng.integers(0, 5, 600)
    first, second, other = (hungarian.per_tile(label, label, tile, seed=seed) for seed in (1, 1, 2))
    assert first == second
    assert first.shuffled != other.shuffled
    assert first.clusters == 600
    # By chance a third, and the best assignment of 120 cells to 3 × 3 a little more.
    assert 0.33 < first.shuffled / 600 < 0.45


# Pooling.


def cohort(rng, slides=4):
    """Cells of several slides, and their counts."""
    cells = {f"s{number}": random_cells(rng, classes="abcd"[: rng.integers(1, 5)]) for number in range(slides)}
    return cells, {name: count(*one) for name, one in cells.items()}


@few
@examples(seeds)
def test_slides_clustered_together_are_pooled_as_if_they_were_one(seed):
    cells, slides = cohort(np.random.default_rng(seed))
    missed = {}
    for _, truth, _ in cells.values():
        missed = {name: missed.get(name, 0) + truth.missed.get(name, 0) for name in {*missed, *truth.missed}}
    cluster_id, name = (
        np.concatenate(column) for column in zip(*((c, t.name) for c, t, _ in cells.values()), strict=True)
    )
    tile = np.concatenate([[f"{slide} {one}" for one in tiles] for slide, (_, _, tiles) in cells.items()])
    whole = count(cluster_id, Truth("points", name, missed), tile)
    together = Cohort(slides, dict.fromkeys(slides, "cohort")).units()
    first, second = figures(together), figures(alone(whole))
    for key in first.keys() - {"hungarian_tile_shuffled"}:
        assert first[key] == pytest.approx(second[key])
    assert by_class(together) == by_class(alone(whole))


@few
@examples(seeds)
def test_slides_clustered_one_by_one_are_pooled_as_if_their_clusters_had_other_numbers(seed):
    cells, slides = cohort(np.random.default_rng(seed), slides=3)
    apart = Cohort(slides, {slide: slide for slide in slides}).units()
    moved = {
        slide: count(np.where(cluster < 0, -1, cluster + 9 * number), truth, tile)
        for number, (slide, (cluster, truth, tile)) in enumerate(cells.items())
    }
    together = Cohort(moved, dict.fromkeys(slides, "cohort")).units()
    first, second = figures(apart), figures(together)
    for key in ("efficiency_5", "efficiency_10", "efficiency_all", "majority", "noise_fraction", "units"):
        assert first[key] == pytest.approx(second[key])


def test_in_a_group_one_name_serves_all_slides_and_names_are_counted_over_all_groups():
    slides = {"a": counts("0001", "aaab"), "b": counts("0011", "bbaa"), "c": counts("00", "aa")}
    apart = Cohort(slides, {name: name for name in slides}).units()
    assert apart.size[apart.order].tolist() == [3, 2, 2, 2, 1]
    assert apart.curve() == pytest.approx([0, 0.3, 0.5, 0.7, 0.9, 1])
    together = Cohort(slides, {"a": "g", "b": "g", "c": "c"}).units()
    assert together.size[together.order].tolist() == [5, 3, 2]
    assert together.curve() == pytest.approx([0, 0.3, 0.5, 0.7])


def test_a_slide_drawn_twice_is_two_slides_alone_but_one_cluster_in_a_group():
    slides = {"a": counts("0001", "aaab", missed={"b": 1}), "b": counts("0-", "b.")}
    apart = Cohort(slides, {"a": "a", "b": "b"}).units(np.array([2, 0]))
    assert apart.size.tolist() == [3, 1, 3, 1]
    assert apart.missed.tolist() == [0, 2]
    together = Cohort(slides, {"a": "g", "b": "g"}).units(np.array([2, 1]))
    assert together.size.tolist() == [7, 2]
    assert together.table.tolist() == [[6, 1], [0, 2]]
    assert together.noise == 1


@pytest.mark.parametrize("scope", ["slide", "cohort"])
def test_intervals_hold_their_value_and_are_seeded(scope):
    rng = np.random.default_rng(3)
    slides = {f"s{number}": random_counts(rng, 80) for number in range(6)}
    groups = {slide: slide if scope == "slide" else "all" for slide in slides}
    first, second, other = (summarise(slides, groups, seed=seed, replicates=60) for seed in (0, 0, 1))
    assert first.figures == second.figures
    assert first.figures["efficiency_5"] != other.figures["efficiency_5"]
    for key, figure in first.figures.items():
        if key == "units" or (key.startswith("efficiency") and key.endswith("shuffled")):
            assert figure.low is figure.high is None
        else:
            assert figure.low <= figure.value <= figure.high
            assert figure.low < figure.high


def test_the_interval_of_a_mean_is_that_of_the_normal_law():
    # Every slide has 100 cells in one cluster, and a share of noise: efficiency is the mean of these shares.
    rng = np.random.default_rng(0)
    right = rng.integers(40, 90, 60)
    slides = {str(number): counts("0" * n + "-" * (100 - n), "a" * 100) for number, n in enumerate(right)}
    figure = summarise(slides, dict.fromkeys(slides, "all")).figures["efficiency_all"]
    error = 1.96 * right.std() / 100 / np.sqrt(60)
    assert figure.value == pytest.approx(right.mean() / 100)
    assert (figure.low, figure.high) == pytest.approx((figure.value - error, figure.value + error), abs=0.006)


def test_slides_all_alike_leave_no_doubt():
    slides = {str(number): counts("0011-", "aabab") for number in range(5)}
    for figure in summarise(slides, dict.fromkeys(slides, "all"), replicates=50).figures.values():
        assert figure.low is None or figure.low == pytest.approx(figure.value) == pytest.approx(figure.high)


def test_one_slide_has_no_interval_and_that_is_said():
    document = summarise({"s": counts("01", "ab")}, {"s": "s"}).document()
    assert document["interval"] is None
    assert "one slide" in document["interval_reason"]
    assert document["figures"]["efficiency_5"] == {"value": 1.0, "low": None, "high": None}


def test_a_class_of_one_slide_alone_has_no_interval():
    slides = {str(number): counts("0000", "aaaa") for number in range(8)} | {"odd": counts("0001", "aaab")}
    summary = summarise(slides, {slide: slide for slide in slides}, replicates=100)
    recall = dict(zip(summary.classes, summary.by_class["recall_all"], strict=True))
    assert recall["a"].low == recall["a"].high == 1
    assert recall["b"].value == 1
    # Two draws in three hold the odd slide, and it is the same each time.
    assert recall["b"].low is None
    assert summary.figures["efficiency_all"].value == 1


def test_shuffled_clusters_show_what_chance_gives():
    label = np.arange(400) % 2
    names = np.array(["a", "b"], object)[label]

    def shuffled(cluster):
        one = count(cluster, Truth("points", names, {}), np.zeros(400))
        out = summarise({"s": one}, {"s": "s"}).figures
        assert out["efficiency_all"].value == 1
        return out["efficiency_all_shuffled"].value

    # Two pure clusters are worth a half by chance; pure pairs are worth three quarters; single cells everything.
    assert shuffled(label) == pytest.approx(0.52, abs=0.03)
    pairs = np.empty(400, int)
    for value in (0, 1):
        rows = np.flatnonzero(label == value)
        pairs[rows] = 1000 * value + np.arange(len(rows)) // 2
    assert shuffled(pairs) == pytest.approx(0.75, abs=0.03)
    assert shuffled(np.arange(400)) == 1


def test_swapping_keeps_the_sizes_of_clusters_and_classes():
    rng = np.random.default_rng(0)
    before = rng.integers(0, 9, (5, 3))
    before[2] = 0
    after = pooled._swapped(before, rng)
    assert after.sum(axis=0).tolist() == before.sum(axis=0).tolist()
    assert after.sum(axis=1).tolist() == before.sum(axis=1).tolist()
    assert after.tolist() != before.tolist()


def test_pools_are_all_slides_and_each_of_several_tissues():
    slides = {"a": counts("01", "ab"), "b": counts("00", "ab"), "c": counts("00", "aa")}
    groups = {name: name for name in slides}
    assert list(pools(slides, groups, {"a": "colon", "b": "colon", "c": "colon"})) == [ALL]
    several = pools(slides, groups, {"a": "colon", "b": "skin", "c": ""})
    assert list(several) == [ALL, "tissue: colon", "tissue: skin"]
    assert [pool.slides for pool in several.values()] == [3, 1, 1]
    assert several["tissue: skin"].figures["efficiency_5"].value == 0.5


def test_sizes_are_those_of_groups():
    slides = {"a": counts("01", "ab"), "b": counts("00", "ab"), "c": counts("-22", "aaa")}
    out = sizes(slides, {"a": "g", "b": "h", "c": "g"})
    assert {name: values.tolist() for name, values in out.items()} == {"g": [[1, 1, 0], [0, 0, 2]], "h": [[2]]}


def test_the_table_has_a_row_for_each_slide_three_for_pools_and_the_mean():
    slides = {"a": counts("01", "ab", missed={"a": 1}), "b": counts("00", "a.")}
    groups = {name: name for name in slides}
    each = {name: summarise({name: one}, groups) for name, one in slides.items()}
    out = table(each, {"all": summarise(slides, groups, replicates=20)}, {"a": "colon", "b": ""})
    assert out["slide"].tolist() == ["a", "b", "all", "all", "all", "mean over slides"]
    assert out["row"].tolist() == ["value", "value", "value", "low", "high", "value"]
    assert out["tissue"].tolist() == ["colon", "", "", "", "", ""]
    assert out[["detected", "with_truth", "not_detected"]].iloc[2].tolist() == [4, 3, 1]
    assert out["majority"].iloc[[0, 1, 5]].tolist() == [0.5, 1, 0.75]
    assert mean(each.values())["majority"] == 0.75
    assert mean([]) == {}


@pytest.mark.parametrize("table", [[[20], [0]], [[12], [5]], [[7, 3]], [[0, 0], [0, 0]], [[12, 3], [4, 6]]])
def test_shuffled_tables_keep_the_sums_of_rows_and_columns(table):
    table = np.array(table)
    swapped = pooled._swapped(table, np.random.default_rng(0))
    assert (swapped >= 0).all()
    assert swapped.sum(axis=0).tolist() == table.sum(axis=0).tolist()
    assert swapped.sum(axis=1).tolist() == table.sum(axis=1).tolist()


def test_a_blank_slide_beside_one_makes_nothing_surer():
    """Drawn again and again, the same slide would give an interval of no width."""
    some = {"a": random_counts(np.random.default_rng(0)), "blank": counts([], [])}
    told_of_both = summarise(some, {slide: slide for slide in some}, replicates=100)
    assert all(figure.low is None for figure in told_of_both.figures.values())
    assert told_of_both.document()["interval"] is None


def test_drawn_again_the_only_judged_slide_of_a_group_still_has_the_groups_clusters():
    slides = {"a": counts([0, 1, 1], ["x", "y", "y"])}
    assert len(Cohort(slides, {"a": "cohort"}).units(np.array([3])).size) == 2
    assert len(Cohort(slides, {"a": "a"}).units(np.array([3])).size) == 6


def test_a_truth_that_meets_hardly_a_cell_is_pointed_out(caplog, tmp_path):
    """As when somebody gives the truth of another slide; if it is the right one in µm, that is an error."""
    import shapely

    cells = shapely.buffer(shapely.points([(x, y) for x in range(100, 500, 40) for y in range(100, 500, 40)]), 8)
    places = shapely.get_coordinates(shapely.centroid(cells))
    size = {"slide": slide_facts(width=600, height=600, mpp=0.25), "given": defaults.section("given")}

    def write(points):
        (tmp_path / "truth.csv").write_text("\n".join(["x,y,class", *(f"{x},{y},a" for x, y in points)]))

    for shift, told in ((0, False), (20, True)):
        write(places + shift)
        caplog.clear()
        read(tmp_path / "truth.csv", cells, **size)
        assert ("meet no detected one" in caplog.text) is told
    for points, units in ((places / 4, "µm"), (places / 8, "pixels of a level 8 times smaller")):
        write(points)
        with pytest.raises(ClusterfirstError, match=f"100% of its points .* if coordinates were {units}"):
            read(tmp_path / "truth.csv", cells, **size)
