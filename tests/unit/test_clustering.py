"""Grouping cells, and what is said of every group."""

import json
import logging
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, pdist

from clusterfirst.clustering import NOISE, clusterer, clusters, palette
from clusterfirst.clustering import confidence as typical
from clusterfirst.clustering.clusters import NO_TYPICAL, Clusters
from clusterfirst.clustering.confidence import representatives
from clusterfirst.clustering.document import Clustering
from clusterfirst.clustering.neighbours import Points
from clusterfirst.clustering.noise import adopt
from clusterfirst.clustering.numbering import by_size, fingerprint, members
from clusterfirst.clustering.tree import Tree
from clusterfirst.io import ClusterfirstError

from .embeddings import STRAYS, blobs, cloud


@pytest.fixture
def said(caplog):
    """What the library logs."""
    caplog.set_level(logging.WARNING, "clusterfirst.clustering")
    return lambda: " | ".join(record.getMessage() for record in caplog.records)


@pytest.fixture
def keys(settings) -> dict:
    return settings["clustering"] | PLAIN


PLAIN = {"method": "dbscan", "groups": None}
"""As the density of the cells has it."""
TYPICAL = {"max_items": 12, "min_confidence": 0.0}


def cluster(values: np.ndarray, settings: dict, typical: dict = NO_TYPICAL) -> Clusters:
    return clusters.cluster(values, settings, typical)


def document(found: Clusters, settings: dict, typical: dict = NO_TYPICAL) -> dict:
    return Clustering.of(found, settings, typical).document()


def confidence(values: np.ndarray, cluster_id: np.ndarray, assigned=None) -> np.ndarray:
    return typical.cell_confidence(Points(values, seed=0), cluster_id, assigned)


names = st.sampled_from([NOISE, 0, 1, 2, 5, 7, 1_000_000])


@hypothesis_settings(max_examples=200, deadline=None)
@given(st.lists(names, max_size=40))
def test_groups_are_renumbered_by_size_and_stay_the_same_groups(given_names):
    groups = np.array(given_names, int)
    renamed = by_size(groups)
    assert renamed.shape == groups.shape
    np.testing.assert_array_equal(renamed == NOISE, groups == NOISE)
    pairs = set(zip(groups.tolist(), renamed.tolist(), strict=True))
    assert len(pairs) == len(np.unique(groups)) == len(np.unique(renamed))
    ids, first, sizes = np.unique(renamed[renamed != NOISE], return_index=True, return_counts=True)
    np.testing.assert_array_equal(ids, np.arange(len(ids)))
    order = list(zip(-sizes, first, strict=True))
    assert order == sorted(order)


def test_of_groups_of_one_size_the_one_met_first_comes_first():
    np.testing.assert_array_equal(by_size(np.array([9, -1, 3, 3, 9, 4])), [0, -1, 1, 1, 0, 2])


@pytest.fixture(scope="module")
def neighbours_by_a_border() -> tuple[np.ndarray, np.ndarray]:
    """Two clusters side by side, parted at x = 0."""
    values = np.random.default_rng(0).uniform((-10, -5), (10, 5), (1500, 2))
    return values, by_size((values[:, 0] > 0).astype(int))


def test_confidence_lies_between_0_and_1_and_noise_has_0():
    values, truth = blobs()
    sure = confidence(values, truth)
    assert sure.shape == truth.shape
    assert (sure[truth == NOISE] == 0).all()
    assert (sure[truth != NOISE] > 0).all()
    assert sure.max() <= 1


def test_confidence_is_higher_in_the_middle_than_at_the_border_to_another_cluster(neighbours_by_a_border):
    values, number = neighbours_by_a_border
    sure = confidence(values, number)
    from_border = np.abs(values[:, 0])
    middle = (from_border > 3) & (from_border < 7) & (np.abs(values[:, 1]) < 3)
    border = (from_border < 0.3) & (np.abs(values[:, 1]) < 3)
    assert sure[middle].mean() > sure[border].mean() + 0.3


def test_confidence_falls_towards_the_fringe_of_a_lone_cluster():
    values = cloud(500, 2)
    sure = confidence(values, np.zeros(500, int))
    away = np.linalg.norm(values, axis=1)
    assert sure[away < 0.5].mean() > sure[away > 2.5].mean() + 0.2


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_stretching_the_embedding_leaves_confidence_alone(factor, neighbours_by_a_border):
    values, number = neighbours_by_a_border
    assert confidence(values * factor, number) == pytest.approx(confidence(values, number), abs=1e-6)


def test_moving_the_embedding_leaves_confidence_alone(neighbours_by_a_border):
    values, number = neighbours_by_a_border
    assert confidence(values + np.array([100, -37.5]), number) == pytest.approx(confidence(values, number), abs=1e-6)


def test_confidence_is_the_formula_of_its_docstring():
    values, truth = blobs()
    sure = confidence(values, truth)
    between = cdist(values, values)
    np.fill_diagonal(between, np.inf)
    near = np.argsort(between, axis=1)[:, :15]
    farthest = np.sort(between, axis=1)[:, 14]
    cell = 17
    usual = np.median(farthest[truth == truth[cell]])
    agreement = np.mean(truth[near[cell]] == truth[cell])
    assert sure[cell] == pytest.approx(agreement * min(1, 2 * usual / (usual + farthest[cell])), rel=1e-5)


def test_coinciding_cells_are_as_sure_as_can_be():
    np.testing.assert_array_equal(confidence(np.ones((20, 3)), np.zeros(20, int)), np.ones(20))


@pytest.fixture(scope="module")
def among_others() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """400 members of a cluster, scattered among 200 rows of others."""
    rng = np.random.default_rng(2)
    number = rng.permutation(np.repeat([0, 1], [400, 200]))
    values = rng.normal(size=(600, 4))
    values[number == 1] += 20
    return values, number, confidence(values, number)


def choose(among_others, wanted: int) -> np.ndarray:
    values, number, sure = among_others
    return representatives(values, np.flatnonzero(number == 0), sure, wanted, 0.0)


@pytest.mark.parametrize("wanted", [1, 2, 12, 300, 399, 400, 1000])
def test_representatives_are_distinct_members_and_as_many_as_wished(wanted, among_others):
    chosen = choose(among_others, wanted)
    assert len(chosen) == len(set(chosen.tolist())) == min(wanted, 400)
    assert (among_others[1][chosen] == 0).all()


def test_the_first_representative_lies_near_the_middle(among_others):
    values, number, _ = among_others
    members = values[number == 0]
    away = np.linalg.norm(members - members.mean(axis=0), axis=1)
    first = np.linalg.norm(values[choose(among_others, 12)[0]] - members.mean(axis=0))
    assert np.mean(away < first) < 0.03


def test_representatives_are_spread_over_the_cluster(among_others):
    values, number, _ = among_others
    members = values[number == 0]
    middle = members[np.linalg.norm(members - members.mean(axis=0), axis=1).argsort()[:12]]
    assert pdist(values[choose(among_others, 12)]).mean() > 2 * pdist(middle).mean()


def test_representatives_are_of_the_surer_half(among_others):
    _, number, sure = among_others
    assert sure[choose(among_others, 12)].min() >= np.median(sure[number == 0])


@pytest.mark.parametrize("least", [0.0, 0.5, 0.9, 0.97])
def test_no_representative_is_less_sure_than_wished(least, among_others):
    values, number, sure = among_others
    chosen = representatives(values, np.flatnonzero(number == 0), sure, 300, least)
    assert len(chosen)
    assert sure[chosen].min() >= least


def test_a_cluster_without_a_sure_cell_has_no_representatives_and_the_log_says_so(keys, said):
    typical = {"max_items": 5, "min_confidence": 1.01}
    values = blobs()[0]
    found = document(cluster(values, keys, typical), keys, typical)
    assert [entry["representatives"] for entry in found["clusters"]] == [[]] * len(found["clusters"])
    assert "no cell of cluster 0, 1" in said()
    assert found["settings"]["representatives"] == typical


def test_more_representatives_begin_with_the_same_ones(among_others):
    np.testing.assert_array_equal(choose(among_others, 12)[:5], choose(among_others, 5))


def test_a_large_cluster_is_thinned_before_it_is_searched(monkeypatch, among_others):
    monkeypatch.setattr("clusterfirst.clustering.confidence._CANDIDATES", 30)
    chosen = choose(among_others, 12)
    assert len(set(chosen.tolist())) == 12
    assert (among_others[1][chosen] == 0).all()


def test_representatives_of_coinciding_cells_are_distinct():
    chosen = representatives(np.ones((9, 2)), np.arange(2, 9), np.ones(9), 5, 0.0)
    assert len(set(chosen.tolist())) == 5
    assert chosen.min() >= 2


def test_one_stray_does_not_vouch_for_another():
    values, truth = blobs()
    number = np.where(truth == NOISE, 0, truth)
    sure = confidence(values, number, truth == NOISE)
    members_alone = truth != NOISE
    assert sure[members_alone] == pytest.approx(confidence(values, truth)[members_alone])
    assert sure[~members_alone].mean() < 0.2
    assert (sure[~members_alone] < confidence(values, number)[~members_alone] + 1e-12).all()


@hypothesis_settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(NOISE, 6), max_size=60))
def test_members_are_the_rows_of_each_group(given_numbers):
    numbers = by_size(np.array(given_numbers, int))
    rows = members(numbers)
    assert len(rows) == numbers.max(initial=NOISE) + 1
    for number, found in enumerate(rows):
        np.testing.assert_array_equal(found, np.flatnonzero(numbers == number))


def test_strays_join_what_most_of_their_neighbours_are_in():
    values, truth = blobs()
    adopted = adopt(Points(values, seed=0), truth)
    np.testing.assert_array_equal(adopted[truth != NOISE], truth[truth != NOISE])
    assert (adopted != NOISE).all()
    touching = np.flatnonzero(truth == NOISE)
    _, near = Points(values, seed=0).nearest(15)
    for cell in touching:
        votes = truth[near[cell]]
        votes = votes[votes != NOISE]
        if len(votes):
            kinds, counts = np.unique(votes, return_counts=True)
            assert adopted[cell] in kinds[counts == counts.max()]


def test_islands_of_noise_join_the_nearest_mean():
    values = np.vstack([cloud(30, 2), np.add(cloud(30, 2), (50, 0)), np.add(cloud(40, 2) / 10, (30, 0))])
    groups = np.repeat([0, 1, NOISE], [30, 30, 40])
    assert (adopt(Points(values, seed=0), groups)[60:] == 1).all()


def test_noise_joins_step_by_step():
    # A line of noise leads away from group 0, farther than any cell's 15 neighbours reach, past the mean of group 1.
    line = np.column_stack([np.arange(100.0), np.zeros(100)])
    groups = np.full(130, NOISE)
    groups[:5], groups[100:] = 0, 1
    values = np.vstack([line, cloud(30, 2) / 10 + np.array([90, 40])])
    assert (adopt(Points(values, seed=0), groups)[:100] == 0).all()


def test_where_all_is_noise_it_remains():
    assert (adopt(Points(cloud(20), seed=0), np.full(20, NOISE)) == NOISE).all()
    assert adopt(Points(np.empty((0, 3)), seed=0), np.empty(0, int)).shape == (0,)


METHODS = ("dbscan", "hdbscan", "kmeans", "leiden")

CASES = {
    "no cells": (np.empty((0, 50), np.float32), None),
    "one cell": (cloud(1, 50), None),
    "two cells": (cloud(2, 50), None),
    "few cells": (cloud(4, 50), None),
    "all noise": (cloud(60), 1e-9),
    "one cluster": (cloud(60), 100.0),
    "all alike": (np.ones((30, 3), np.float32), None),
    "many clusters": (np.repeat(np.arange(70.0)[:, None] * 10, 6, axis=0) + cloud(420, 1) / 10, 1.0),
    "blobs": (blobs()[0], None),
}


def written(values, keys, eps=None) -> tuple[Clusters, dict]:
    used = keys | {"eps": eps}
    found = cluster(values, used, TYPICAL)
    return found, document(found, used, TYPICAL)


@pytest.mark.parametrize("case", CASES)
def test_the_document_adds_up_and_is_json(case, keys):
    values, eps = CASES[case]
    made, found = written(values, keys, eps)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    ids = np.array(found["cells"]["cluster_id"], int)
    counts = found["counts"]
    assert counts["cells"] == len(values) == len(ids) == len(found["cells"]["confidence"])
    assert counts["noise"] == np.count_nonzero(ids == NOISE)
    assert counts["noise_fraction"] == (counts["noise"] / len(values) if len(values) else 0)
    assert counts["clusters"] == len(found["clusters"])
    assert sum(entry["size"] for entry in found["clusters"]) + counts["noise"] == len(values)
    np.testing.assert_array_equal(made.cluster_id, ids)


@pytest.mark.parametrize("case", CASES)
def test_clusters_are_numbered_by_size_and_described(case, keys):
    values, eps = CASES[case]
    made, found = written(values, keys, eps)
    for number, entry in enumerate(found["clusters"]):
        members = made.cluster_id == number
        assert entry["id"] == number
        assert entry["size"] == np.count_nonzero(members) > 0
        assert entry["colour"] == palette.colour(number)
        assert entry["mean_confidence"] == pytest.approx(made.confidence[members].mean(), abs=1e-4)
        assert members[entry["representatives"]].all()
        assert len(entry["representatives"]) == min(12, entry["size"])
    sizes = [entry["size"] for entry in found["clusters"]]
    assert sizes == sorted(sizes, reverse=True)


def test_clusters_of_some_cells_stand_among_all_others_as_noise(tmp_path, keys):
    rng = np.random.default_rng(0)
    values, some = rng.normal(size=(200, 3)), np.sort(rng.choice(200, 60, replace=False))
    settings = keys | {"method": "kmeans", "groups": 4}
    alone = cluster(values[some], settings, TYPICAL)
    among = alone.among(200, some)
    np.testing.assert_array_equal(among.cluster_id[some], alone.cluster_id)
    others = np.setdiff1d(np.arange(200), some)
    assert (among.cluster_id[others] == NOISE).all()
    assert (among.leaf_id[others] == NOISE).all()
    assert not among.confidence[others].any()
    written = Clustering.of(among, settings, TYPICAL)
    written.write(tmp_path / "clusters.json")
    read = Clustering.read(tmp_path / "clusters.json")
    assert (read.counts.cells, read.counts.noise, read.counts.clusters) == (200, 140, 4)
    assert set(read.typical_rows) <= set(some)


@pytest.mark.parametrize(("case", "count"), [("all noise", 0), ("one cluster", 1), ("all alike", 1), ("blobs", 3)])
def test_the_number_of_clusters_is_as_the_data_has_it(case, count, keys):
    assert written(CASES[case][0], keys, CASES[case][1])[1]["counts"]["clusters"] == count


def test_seventy_groups_are_seventy_clusters(keys):
    found = written(*CASES["many clusters"][:1], keys, 1.0)[1]
    assert found["counts"]["clusters"] == 70
    assert found["counts"]["noise"] == 0


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("no cells", "there are no cells"),
        ("one cell", "100 % of the cells are noise"),
        ("all noise", "100 % of the cells are noise"),
        ("one cluster", "one cluster only"),
    ],
)
def test_a_result_of_no_use_is_told_of(case, words, keys, said):
    written(CASES[case][0], keys, CASES[case][1])
    assert words in said()


def test_a_good_result_is_not_warned_of(keys, said):
    written(*CASES["blobs"][:1], keys)
    assert said() == ""


@pytest.mark.parametrize(("eps", "source"), [(None, "knee"), (0.6, "given")])
def test_the_document_tells_the_settings_and_the_eps_that_was_used(eps, source, keys):
    made, found = written(blobs()[0], keys, eps)
    assert found["settings"].items() >= (keys | {"eps": made.clusterer.k_distance.eps}).items()
    assert found["settings"]["eps_source"] == source
    assert eps is None or found["settings"]["eps"] == eps


def test_the_backend_takes_its_own_keys(keys):
    found = clusterer(keys | {"eps": 0.3, "min_samples": 7})
    assert (found.eps, found.min_samples) == (0.3, 7)


def test_a_method_nobody_knows_is_refused(keys):
    with pytest.raises(KeyError):
        clusterer(keys | {"method": "astrology"})


def distance(one: str, other: str) -> float:
    return float(np.linalg.norm(np.subtract(palette.rgb(one), palette.rgb(other))))


def test_two_hundred_colours_are_colours():
    assert all(re.fullmatch("#[0-9a-f]{6}", palette.colour(number)) for number in range(-1, 200))


def test_the_first_colours_are_well_apart():
    first = [palette.colour(number) for number in range(12)]
    assert min(distance(a, b) for i, a in enumerate(first) for b in first[:i]) > 45


def test_no_two_of_a_hundred_clusters_share_a_colour():
    assert len({palette.colour(number) for number in range(100)}) == 100


def looks(count: int) -> np.ndarray:
    """How unlike the first colours look, in OKLab: count × count × (most readers, without green cones)."""
    seen = palette.seen([palette.rgb(palette.colour(number)) for number in range(count)])
    return np.linalg.norm(seen[:, None] - seen[None], axis=-1) + 9 * np.eye(count)[..., None]


def test_clusters_after_each_other_differ_plainly():
    assert np.diagonal(looks(200)[..., 0], 1).min() > 0.13


@pytest.mark.parametrize(("count", "most", "without_green"), [(12, 0.15, 0.07), (25, 0.12, 0.04), (48, 0.09, 0.03)])
def test_no_two_colours_are_twins(count, most, without_green):
    # 0.02 is what one just sees, side by side.
    least = looks(count).min(axis=(0, 1))
    assert least[0] > most
    assert least[1] > without_green


def test_how_colours_look_is_oklab():
    ((white, _), (black, _), (red, _)) = palette.seen([(255, 255, 255), (0, 0, 0), (255, 0, 0)])
    np.testing.assert_allclose(white, (1, 0, 0), atol=1e-3)
    np.testing.assert_allclose(black, (0, 0, 0), atol=1e-6)
    np.testing.assert_allclose(red, (0.628, 0.225, 0.126), atol=1e-3)


def test_no_cluster_is_as_grey_as_noise():
    assert palette.colour(NOISE) == palette.NOISE
    assert min(distance(palette.colour(number), palette.NOISE) for number in range(200)) > 40


def test_rgb_takes_a_colour_apart():
    assert palette.rgb("#0a80ff") == (10, 128, 255)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("assign_noise", [False, True])
@pytest.mark.parametrize("groups", [None, 1, 2, 7, 1000])
def test_any_method_can_be_joined_to_groups_and_the_tree_tells_it_again(method, groups, assign_noise, keys):
    values, _ = blobs()
    used = keys | {"method": method, "groups": groups, "assign_noise": assign_noise, "fine": 12, "eps": 0.4}
    found = document(cluster(values, used), used)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    leaf, number = (np.array(found["cells"][name]) for name in ("leaf_id", "cluster_id"))
    leaves = found["tree"]["leaves"]
    assert leaves == np.bincount(leaf[leaf >= 0]).tolist() == sorted(leaves, reverse=True)
    assert len(found["clusters"]) == found["counts"]["clusters"] == min(groups or len(leaves), len(leaves))
    again = np.append(Tree.read(found["tree"]).cut(found["tree"]["groups"]), NOISE)[leaf]
    np.testing.assert_array_equal(again, number)
    for entry in found["clusters"]:
        assert entry["leaves"] == np.unique(leaf[number == entry["id"]]).tolist()
    if groups is None:
        np.testing.assert_array_equal(leaf, number)
    if assign_noise:
        assert found["counts"]["noise"] == 0
    else:
        assert found["counts"]["assigned"] == 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("groups", [None, 2])
def test_few_cells_make_a_valid_document(method, count, groups, keys):
    used = keys | {"method": method, "groups": groups, "assign_noise": True}
    found = document(cluster(cloud(count, 50), used), used)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["counts"]["cells"] == count
    assert sum(entry["size"] for entry in found["clusters"]) + found["counts"]["noise"] == count


def test_assigned_noise_is_counted_and_less_sure(keys):
    values, _ = blobs()
    used = keys | {"assign_noise": True}
    made = cluster(values, used)
    assert document(made, used)["counts"]["assigned"] == made.assigned.sum() > STRAYS / 2
    assert made.confidence[made.assigned].mean() < 0.5 * made.confidence[~made.assigned].mean()


def test_joined_groups_are_the_blobs(keys):
    values, truth = blobs()
    values, truth = values[truth != NOISE], truth[truth != NOISE]
    used = keys | {"method": "kmeans", "fine": 40, "groups": 3}
    np.testing.assert_array_equal(cluster(values, used).cluster_id, truth)


def test_fewer_clusters_than_wished_are_told_of(keys, said):
    cluster(blobs()[0], keys | {"groups": 10})
    assert "only 3 clusters were found, not 10" in said()


@pytest.fixture(scope="module")
def three_slides(settings):
    """Blobs on three slides, the second without cells, the third without any of cluster 2."""
    values, truth = blobs()
    used = settings["clustering"] | PLAIN | {"eps": 0.6}
    order = np.argsort(truth == 2, kind="stable")[::-1]
    values = values[order]
    whole = Clustering.of(cluster(values, used, TYPICAL), used, TYPICAL)
    counts = [150, 0, len(values) - 150]
    ends = np.cumsum(counts)
    parts = [
        whole.of_slide(values[end - count : end], start=end - count) for end, count in zip(ends, counts, strict=True)
    ]
    return whole, parts, counts


def test_slides_share_ids_colours_and_tree(three_slides):
    whole, parts, counts = three_slides
    assert [part.counts.cells for part in parts] == counts
    for part in parts:
        assert part.document()["tree"] == whole.document()["tree"]
        assert part.counts_in_group == whole.counts
        for entry, of_all in zip(part.entries, whole.entries, strict=True):
            assert (entry.id, entry.colour, entry.leaves) == (of_all.id, of_all.colour, of_all.leaves)
            assert entry.size_in_group == of_all.size
    for name in ("cluster_id", "leaf_id", "confidence"):
        np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))


def test_sizes_and_representatives_are_the_slides_own(three_slides):
    _, parts, _ = three_slides
    for part in parts:
        assert part.cell_id.tolist() == list(range(len(part)))
        assert part.counts.noise == np.count_nonzero(part.cluster_id == NOISE)
        for entry in part.entries:
            own = part.cluster_id == entry.id
            assert entry.size == own.sum()
            assert own[entry.representatives].all()
            assert len(entry.representatives) == min(12, entry.size)
            if own.any():
                assert entry.mean_confidence == pytest.approx(part.confidence[own].mean(), abs=1e-4)
            else:
                assert entry.mean_confidence is None


def test_a_cluster_that_a_slide_lacks_stays_listed(three_slides):
    _, (*_, last), _ = three_slides
    assert [entry.id for entry in last.entries] == [0, 1, 2]
    assert 0 in [entry.size for entry in last.entries]


def test_what_is_written_is_read_again_to_the_byte(three_slides, tmp_path):
    whole, parts, _ = three_slides
    for place, one in enumerate([whole, *parts]):
        path, again = tmp_path / f"{place}.json", tmp_path / "again.json"
        one.write(path)
        back = Clustering.read(path)
        back.write(again)
        assert again.read_bytes() == path.read_bytes()
        assert back.fingerprint == one.fingerprint == fingerprint(one.cluster_id)
        assert (back.counts, back.entries, back.groups) == (one.counts, one.entries, one.groups)
        assert Clustering.head(path) == (json.loads(path.read_text())["settings"], one.counts)


def test_the_head_is_read_without_the_cells_and_found_wherever_it_stands(three_slides, tmp_path):
    path, whole = tmp_path / "clusters.json", three_slides[0]
    document = whole.document()
    for indent, keys in ((None, document), (1, document), (None, list(document)[::-1])):
        path.write_text(json.dumps({key: document[key] for key in keys}, indent=indent))
        assert Clustering.head(path) == (document["settings"], whole.counts)
    whole.write(path)
    text = path.read_text()
    path.write_text(text[: text.index('"tree"')])
    assert Clustering.head(path).counts == three_slides[0].counts
    with pytest.raises(ClusterfirstError, match="cannot be read"):
        Clustering.read(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda document: document.pop("tree"),
        lambda document: document["cells"]["confidence"].pop(),
        lambda document: document["clusters"].pop(),
        lambda document: document["clusters"][0].pop("leaves"),
        lambda document: document["counts"].update(cells=3),
        lambda document: document["counts"].clear(),
        lambda document: document["counts"].update(clusters=1),
        lambda document: document["cells"].update(cluster_id=["one"]),
        lambda document: document["cells"]["leaf_id"].__setitem__(0, 0.7),
        lambda document: document["cells"]["leaf_id"].__setitem__(0, 999),
        lambda document: document["tree"]["merges"].pop(),
        lambda document: document["clusters"].reverse(),
        lambda document: document["clusters"][0]["representatives"].append(10**6),
        lambda document: document.update(settings=None),
        lambda document: document["settings"].pop("representatives"),
    ],
)
def test_what_does_not_fit_together_is_refused_with_the_file(damage, three_slides, tmp_path):
    document, path = three_slides[0].document(), tmp_path / "clusters.json"
    damage(document)
    path.write_text(json.dumps(document))
    for read in (Clustering.read, Clustering.head):
        try:
            read(path)
        except ClusterfirstError as error:
            assert re.search(r"clusters\.json cannot be read.*run `cluster` again", str(error))  # noqa: PT017
        else:
            assert read == Clustering.head, "it does not look at all"
