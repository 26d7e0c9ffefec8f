"""From what people said to an atlas, from an atlas to what other cells are, and files that are none to be trusted."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clusterfirst.io import ClusterfirstError, read_metadata
from clusterfirst.labels import Labels, blind, learnt
from clusterfirst.learning import atlas as atlas_module
from clusterfirst.learning import page
from clusterfirst.learning.apply import ask, decide
from clusterfirst.learning.atlas import VERSION, Atlas
from clusterfirst.learning.calibration import Calibration, calibration_error, reliability, softmax
from clusterfirst.learning.learn import by_answers, confusions, learn
from clusterfirst.learning.novelty import Crowd, Novelty, choose, nearest, strangeness
from clusterfirst.learning.recipe import Recipe
from clusterfirst.learning.taught import Taught
from clusterfirst.learning.teaching import Lesson
from clusterfirst.reduction.inputs import Block, SlideEmbedding

CLASSES = [{"name": name, "colour": colour} for name, colour in (("epithelium", "#112233"), ("stroma", "#445566"))]
MODELS = [{"model": "m", "columns": [0, 6], "standardise": True, "weights_sha256": "ab"}]
EMBEDDING = {"settings": {"models": ["m"], "crop_um": 16, "engine": "auto"}, "models": MODELS, "columns": []}
REDUCTION = {"standardise": "auto", "clip": 5, "pca": None, "balance": {}}
LEARNING = {"neighbours": [3], "context_weight": 0.5, "random_features": 60}
USUAL = {"atlas": "x", "min_probability": 0.5, "max_novelty": 0.95, "priors": "taught"}


def slide(name, seed, count=240, classes=2):
    """A slide whose cells are drawn around a point for each class; and what they are."""
    rng = np.random.default_rng([seed, 7])
    truth = rng.integers(classes, size=count)
    values = (5 * np.eye(3, 6)[truth] + rng.normal(size=(count, 6))).astype(np.float32)
    return SlideEmbedding(name, values, rng.uniform(0, 200, (count, 2)), (Block("m", 0, 6, True),)), truth


def said(truth, *, reviewed=60, wrong=0.2, seed=0, classes=CLASSES):
    """Clusters are named, wrong for some cells; the first cells were looked at."""
    rng = np.random.default_rng(seed)
    names = np.array([entry["name"] for entry in classes], object)
    label = names[np.where(rng.random(len(truth)) < wrong, 1 - truth, truth)]
    label[:reviewed] = names[truth[:reviewed]]
    how = np.full(len(truth), "cluster", object)
    how[:reviewed] = "reviewed"
    nobody = np.full(len(truth), np.nan, np.float32)
    return Labels(label, how, np.full(len(truth), "Ada", object), nobody, classes, {})


def school(names="abc", patients=None, **options):
    """What teaches, the atlas, and what it says of cells left out."""
    slides, truths = zip(*(slide(name, ord(name)) for name in names), strict=True)
    lesson = Lesson.of(list(names), [said(truth, **options) for truth in truths], [{}] * len(names))
    taught = Taught.of(
        slides, lesson, Recipe.fit(slides, REDUCTION, LEARNING), features=60, patients=patients or names, threads=1
    )
    return taught, *learn("mine", taught, embedding=EMBEDDING, mpp=[0.5] * len(slides))


def taught(names="abc", **options):
    return school(names, **options)[1]


@pytest.fixture(scope="module")
def atlas():
    return taught()


@pytest.fixture(scope="module")
def file(atlas, tmp_path_factory):
    path = tmp_path_factory.mktemp("atlas") / "mine.atlas"
    atlas.write(path)
    return path


def asked(atlas, one, embedding=EMBEDDING, mpp=0.5, **changes):
    return decide(atlas, ask(atlas, one, embedding=embedding, mpp=mpp, threads=1), USUAL | changes)


# --- learning and applying ---


def test_an_atlas_labels_slides_that_taught_nothing(atlas):
    other, truth = slide("z", 99)
    found = asked(atlas, other)
    given_one = found.label >= 0
    assert given_one.mean() > 0.85
    assert (found.label == truth)[given_one].mean() > 0.95
    assert found.facts["labelled"] == {
        name: int((found.label == number).sum()) for number, name in enumerate(("epithelium", "stroma"))
    }
    assert sum(found.facts["labelled"].values()) + found.facts["novel"] + found.facts["doubtful"] == len(truth)


def test_what_was_measured_holds_on_slides_left_out(atlas):
    measured = atlas.measured
    assert (measured["left_out"], measured["cells"]) == ("slides", 720)
    assert (measured["reviewed"]["cells"], measured["named"]["cells"]) == (180, 540)
    assert measured["reviewed"]["right"] > 0.95
    assert 0.7 < measured["named"]["right"] < 0.9, "names are wrong for a fifth"
    assert np.sum(measured["confusion"]) == 720
    assert [one["slide"] for one in measured["slides"]] == ["a", "b", "c"]
    assert measured["low"] <= measured["right"] <= measured["high"]


def test_without_cells_that_somebody_looked_at_names_judge_and_that_is_said(tmp_path):
    one = taught(reviewed=0)
    assert one.measured["reviewed"] == {"cells": 0, "right": None}
    page.write(one, [], [], tmp_path / "page.html")
    assert "Of 720 cells people said only what their cluster is" in (tmp_path / "page.html").read_text()


def test_a_single_slide_is_cut_into_strips_and_that_is_said(tmp_path):
    one = taught("a")
    assert (one.measured["left_out"], one.measured["low"]) == ("strips", None)
    page.write(one, [], [], tmp_path / "page.html")
    assert "says nothing of other slides" in (tmp_path / "page.html").read_text()


def test_all_slides_of_a_patient_are_left_out_together():
    one, atlas, _ = school("abcd", patients=["p", "q", "p", "q"])
    assert (atlas.measured["left_out"], atlas.taught["patients"]) == ("patients", 2)
    folds = {"abcd"[slide]: set(one.fold[one.slide == slide].tolist()) for slide in range(4)}
    assert folds["a"] == folds["c"]
    assert folds["b"] == folds["d"]
    assert folds["a"] != folds["b"]
    assert atlas.measured["low"] is None, "two patients tell nothing of how much patients differ"
    # Of one patient only, slides are left out, and the page says what that is worth.
    _, atlas, _ = school("ab", patients="pp")
    assert (atlas.measured["left_out"], atlas.taught["patients"]) == ("slides", 1)


def test_more_answers_are_worth_more_as_far_as_names_are_wrong():
    one, atlas, _ = school(reviewed=80, wrong=0.45)
    curve = by_answers(one, atlas.measured["ridge"])
    assert [step["answers"] for step in curve] == [0, 25, 50, 100, 200, 240]
    assert curve[-1]["right"] == atlas.measured["reviewed"]["right"]
    assert curve[-1]["right"] > curve[0]["right"]
    few, atlas, _ = school(reviewed=10)
    assert by_answers(few, atlas.measured["ridge"]) == []


def test_confusions_are_the_commonest_pairs_and_begin_with_cells_that_somebody_looked_at():
    one, _, chances = school(wrong=0.3)
    found = confusions(one, chances, most=2, cells=5)
    matrix = np.zeros((2, 2), int)
    np.add.at(matrix, (one.truth, chances.argmax(axis=1)), 1)
    assert [(each.said, each.taken, each.count) for each in found] == sorted(
        ((said, 1 - said, matrix[said, 1 - said]) for said in (0, 1)), key=lambda each: -each[2]
    )
    sure = dict(zip(one.cell, chances.max(axis=1), strict=True))
    for each in found:
        assert len(each.cells) == 5
        gold = one.lesson.gold[each.cells] >= 0
        assert (np.diff(gold.astype(int)) <= 0).all()
        surest = [sure[cell] for cell in each.cells[~gold]]
        assert surest == sorted(surest, reverse=True)


def test_the_order_of_slides_hardly_matters_and_the_same_is_the_same_bytes(file, tmp_path):
    taught().write(tmp_path / "again.atlas")
    assert (tmp_path / "again.atlas").read_bytes() == file.read_bytes()
    one, other = Atlas.read(file), taught("cab")
    unseen, _ = slide("z", 99)
    np.testing.assert_array_equal(asked(one, unseen).label, asked(other, unseen).label)


def test_cells_of_a_class_that_nobody_taught_are_novel(atlas):
    other, truth = slide("z", 98, classes=3)
    strange = truth == 2
    assert strange.any()
    found = asked(atlas, other)
    assert (found.novelty[strange] > 0.95).mean() > 0.6
    assert (found.label[found.novelty > 0.95] == -1).all()


@hypothesis_settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.8, 0.9, 0.95]))
def test_the_stated_share_of_what_was_taught_is_called_novel(seed, most):
    rng = np.random.default_rng(seed)
    draw = lambda count: rng.normal(size=(count, 4)).astype(np.float32)  # noqa: E731
    exemplars = draw(300)
    # Look-alikes are novel together or not at all, so that one slide says little.
    left_out, others = ([draw(600) for _ in range(30)] for _ in range(2))
    novelty = Novelty.fit(exemplars, np.concatenate([strangeness(Crowd.of(one), exemplars)(one) for one in left_out]))
    found = np.concatenate([novelty.among(Crowd.of(one))(one) for one in others])
    assert (found > most).mean() == pytest.approx(1 - most, abs=0.04)


def test_look_alikes_make_a_cell_stranger_than_it_is_alone():
    rng = np.random.default_rng(0)
    draw = lambda count, far: rng.normal((far, 0, 0), 1, (count, 3)).astype(np.float32)  # noqa: E731
    exemplars, known, new = draw(500, 0), draw(900, 0), draw(100, 3)
    rows = np.concatenate([known, new])
    alone = nearest(rows, exemplars)[0]
    together = strangeness(Crowd.of(rows), exemplars)(rows)
    beats = lambda values: (values[900:, None] > values[:900]).mean()  # noqa: E731
    assert beats(together) > beats(alone) + 0.01
    # A slide with few cells, or none, has look-alikes, too: all of it, or nobody.
    assert len(strangeness(Crowd.of(rows[:3]), exemplars)(rows[:3])) == 3
    assert len(strangeness(Crowd.of(rows[:0]), exemplars)(rows[:0])) == 0


def test_exemplars_stand_for_rare_classes_too():
    rows = np.arange(5000, dtype=np.float32)[:, None]
    chosen = choose(rows, np.r_[np.zeros(4990, int), np.ones(10, int)], np.random.default_rng(0))
    assert len(chosen) == 1010
    assert set(range(4990, 5000)) <= set(chosen[:, 0].astype(int).tolist())


def test_distances_are_those_to_the_nearest():
    rng = np.random.default_rng(0)
    rows, exemplars = rng.normal(size=(50, 3)).astype(np.float32), rng.normal(size=(9, 3)).astype(np.float32)
    plain = np.linalg.norm(rows[:, None] - exemplars, axis=2).min(axis=1)
    found, which = nearest(rows, exemplars)
    np.testing.assert_allclose(found, plain, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(rows - exemplars[which], axis=1), plain, rtol=1e-3, atol=1e-3)


def test_slides_described_otherwise_are_refused_with_what_differs(atlas):
    other, _ = slide("z", 99)
    changed = EMBEDDING | {"settings": EMBEDDING["settings"] | {"crop_um": 24}}
    with pytest.raises(ClusterfirstError, match=r"slide z.*embedding\.crop_um was 16, here it is 24"):
        asked(atlas, other, changed)
    weights = EMBEDDING | {"models": [MODELS[0] | {"weights_sha256": "cd"}]}
    with pytest.raises(ClusterfirstError, match="weights_sha256 of m was ab, here it is cd"):
        asked(atlas, other, weights)
    with pytest.raises(ClusterfirstError, match=r"µm per pixel were 0\.5, here they are 0\.25"):
        asked(atlas, other, mpp=0.25)
    faster = EMBEDDING | {"settings": EMBEDDING["settings"] | {"engine": "torch"}}
    asked(atlas, other, faster, mpp=0.51)


def test_a_slide_without_cells_or_with_one_is_labelled(atlas):
    for count in (0, 1):
        found = asked(atlas, slide("z", 1, count=count)[0], priors="slide")
        assert len(found.label) == len(found.probability) == len(found.novelty) == count


def test_blind_answers_are_gold_and_what_people_disagree_about_teaches_nothing():
    truth = np.array([0, 1, 0, 1, 0, 1])
    one = said(truth, reviewed=2, wrong=0.0)
    no = [None] * 6
    ada = np.array(["epithelium", None, "stroma", "stroma", None, "gland"], object)
    bob = np.array(["epithelium", "Epithelium", None, "epithelium", None, None], object)
    lesson = Lesson.of(["a"], [one], [{"Ada": ada, "Bob": bob}])
    assert [entry["name"] for entry in lesson.classes] == ["epithelium", "gland", "stroma"]
    # All alike; a tie with what was reviewed; one says so; a tie; the name of its cluster; a class of its own.
    assert lesson.gold.tolist() == [0, -1, 2, -1, -1, 1]
    assert lesson.silver.tolist() == [-1, -1, -1, -1, 0, -1]
    assert lesson.agreement == {"cells": 3, "agreed": 1}
    # Two against one is no tie, and still no agreement.
    cid = np.array([no[0], "Stroma", *no[2:]], object)
    lesson = Lesson.of(["a"], [one], [{"Ada": ada, "Bob": bob, "Cid": cid}])
    assert (lesson.gold[1], lesson.agreement) == (2, {"cells": 3, "agreed": 1})


def test_a_person_counts_once_and_what_she_said_last_counts():
    one = said(np.array([0, 1]), reviewed=2, wrong=0.0)
    again = np.array(["stroma", None], object)
    lesson = Lesson.of(["a"], [one], [{"Ada": again}])
    assert (lesson.gold.tolist(), lesson.agreement) == ([0, 1], {"cells": 0, "agreed": 0})
    # Against somebody else, it is a tie.
    lesson = Lesson.of(
        ["a"], [said(np.array([0, 1, 0]), reviewed=3)], [{"Bob": np.array(["stroma", None, None], object)}]
    )
    assert lesson.gold.tolist() == [-1, 1, 0]


def test_a_class_about_all_of_whose_cells_people_disagree_is_not_taught(caplog):
    truth = np.array([0, 1, 0, 1])
    two = np.array([None, "epithelium", None, "epithelium"], object)
    with pytest.raises(ClusterfirstError, match="people disagree about every cell that any of them called stroma"):
        Lesson.of(["a"], [said(truth, reviewed=4)], [{"Bob": two}])
    three = np.array([None, "gland", "gland", "gland"], object)
    lesson = Lesson.of(
        ["a"], [said(truth, reviewed=4)], [{"Bob": three, "Cid": np.array([None, None, "gland", None], object)}]
    )
    assert [entry["name"] for entry in lesson.classes] == ["epithelium", "gland"]
    assert lesson.gold.tolist() == [0, -1, 1, -1]


def test_the_latest_blind_answers_of_each_person_are_read_and_only_of_these_cells(tmp_path):
    def write(name, who, time, cells, **about):
        facts = {"slide": "a", "who": who, "time": time, "cells_sha256": "ab"} | about
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"blind": facts, "cells": [{"cell_id": n, "class": word} for n, word in cells]}))
        return path

    files = [
        write("1", "Ada", "2026-01-01T00:00:00+00:00", [(0, "old")]),
        write("2", "Ada", "2026-01-02T00:00:00+00:00", [(0, "new"), (2, "x")]),
        write("3", "Bob", "2026-01-01T00:00:00+00:00", [(1, "y")]),
    ]
    found = blind.read(files, {"a": 3, "b": 5}, {"a": "ab", "b": "cd"})
    assert {who: label.tolist() for who, label in found["a"].items()} == {
        "Ada": ["new", None, "x"],
        "Bob": [None, "y", None],
    }
    assert found["b"] == {}
    for wrong in ({"cells_sha256": "other"}, {"slide": "z"}):
        with pytest.raises(ClusterfirstError, match="do not say that they are of these cells"):
            blind.read([write("4", "Ada", "2027", [], **wrong)], {"a": 3}, {"a": "ab"})
    (tmp_path / "5.json").write_text("[]")
    with pytest.raises(ClusterfirstError, match="cannot be read as blind answers"):
        blind.read([tmp_path / "5.json"], {"a": 3}, {"a": "ab"})


def test_there_is_nothing_to_learn_from_one_class():
    one = said(np.zeros(20, int), wrong=0)
    with pytest.raises(ClusterfirstError, match="all labels say epithelium"):
        Lesson.of(["a"], [one], [{}])


def test_a_lesson_has_each_cell_as_gold_or_silver_and_classes_whatever_their_capitals():
    first, second = (said(slide(name, ord(name))[1], seed=1) for name in "ab")
    louder = [entry | {"name": entry["name"].upper()} for entry in CLASSES]
    shouted = Labels(
        np.array([word.upper() for word in second.label], object),
        *(second.how, second.who, second.confidence),
        louder,
        {},
    )
    lesson = Lesson.of(["b", "a"], [shouted, first], [{}, {}])
    assert [entry["name"] for entry in lesson.classes] == ["epithelium", "stroma"]
    assert not ((lesson.gold >= 0) & (lesson.silver >= 0)).any()
    assert (lesson.gold >= 0).sum() == 120
    assert (lesson.known >= 0).all()


# --- calibration ---


@hypothesis_settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.2, 0.7, 1.5]))
def test_the_temperature_is_found_again(seed, temperature):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(8000, 3))
    chances = softmax(scores / temperature)
    truth = (chances.cumsum(axis=1) < rng.random((8000, 1))).sum(axis=1).clip(0, 2)
    found = Calibration.fit(scores, truth, skewed=False)
    assert not found.offsets.any()
    assert found.temperature == pytest.approx(temperature, rel=0.15)
    assert calibration_error(reliability(found.probabilities(scores), truth)) < 0.03
    np.testing.assert_allclose(found.priors.sum(), 1)


def test_offsets_undo_what_the_choice_of_answers_did_to_shares():
    rng = np.random.default_rng(0)
    truth = (rng.random(6000) < 0.2).astype(int)
    scores = np.eye(2)[truth] + 0.7 * rng.normal(size=(6000, 2))
    skewed = scores + np.array([0, 1.0])
    plain, found = (Calibration.fit(skewed, truth, skewed=one) for one in (False, True))
    right = [(one.probabilities(skewed).argmax(axis=1) == truth).mean() for one in (plain, found)]
    assert right[1] > right[0] + 0.1
    assert found.priors[1] == pytest.approx(0.2, abs=0.02)
    # A class that no cell has keeps an offset within bounds.
    wide = np.c_[scores, rng.normal(size=6000)]
    assert np.abs(Calibration.fit(wide, truth, skewed=True).offsets).max() <= 10


def test_priors_move_towards_a_slide_and_not_past_it():
    rng = np.random.default_rng(0)
    calibration = Calibration(1.0, np.zeros(2), np.array([0.5, 0.5]))
    truth = (rng.random(5000) < 0.9).astype(int)
    chances = softmax(np.c_[-3.0 * truth, -3.0 * (1 - truth)] + rng.normal(size=(5000, 2)))
    here = calibration.on(chances)
    assert 0.5 < here[1] < 0.9
    np.testing.assert_allclose(here.sum(), 1)
    np.testing.assert_allclose(calibration.moved(chances, calibration.priors), chances)


# --- the file ---


def test_an_atlas_comes_back_as_it_was(atlas, file):
    back, (other, _) = Atlas.read(file), slide("z", 99)
    one, two = asked(atlas, other), asked(back, other)
    for name in ("label", "probability", "novelty"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
    assert (back.classes, back.taught, back.measured) == (atlas.classes, atlas.taught, atlas.measured)
    names = zipfile.ZipFile(file).namelist()
    assert names[0] == "atlas.json"
    assert all(name.endswith((".json", ".npy")) for name in names)


def rewritten(file, path, change, compression=zipfile.ZIP_DEFLATED):
    """A copy of an atlas, whose members and document are changed, with hashes made to fit."""
    with zipfile.ZipFile(file) as packed:
        members = {name: packed.read(name) for name in packed.namelist()}
    document = json.loads(members.pop("atlas.json"))
    change(document, members)
    document["arrays"] = {name: atlas_module.hashlib.sha256(data).hexdigest() for name, data in members.items()}
    document["sha256"] = atlas_module._sha256({key: value for key, value in document.items() if key != "sha256"})
    with zipfile.ZipFile(path, "w", compression) as packed:
        packed.writestr("atlas.json", json.dumps(document))
        for name, data in members.items():
            packed.writestr(name, data)
    return path


def saved(array, **options):
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


class Hurts:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


def with_header(shape, kind="<f4"):
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": kind, "fortran_order": False, "shape": shape})
    return out.getvalue()


DAMAGES = {
    "newer": (lambda document, members: document.update(version=VERSION + 1), "a newer clusterfirst made it"),
    "earlier": (lambda document, members: document.update(version=VERSION - 1), "an earlier clusterfirst made it"),
    "other": (lambda document, members: document.update(clusterfirst="labels"), "something else"),
    "no classes": (lambda document, members: document.update(classes=[]), "classes"),
    "a class more": (lambda document, members: document["classes"].append(CLASSES[0]), "weights has the shape"),
    "pickle": (
        lambda document, members: members.update({"usual.npy": saved(np.array([Hurts()], object), allow_pickle=True)}),
        "which atlases never do",
    ),
    "bare pickle": (lambda document, members: members.update({"usual.npy": pickle.dumps(Hurts())}), "magic string"),
    "huge header": (lambda document, members: members.update({"usual.npy": with_header((1 << 60,))}), "holds 0 bytes"),
    "negative": (lambda document, members: members.update({"usual.npy": with_header((-4, -5))}), "holds 0 bytes"),
    "lacking": (lambda document, members: members.pop("usual.npy"), "usual is missing"),
    "not numbers": (
        lambda document, members: members.update({"usual.npy": saved(np.full(5, np.nan))}),
        "not finite",
    ),
    "falling": (lambda document, members: members.update({"usual.npy": saved(np.arange(9.0)[::-1].copy())}), "rise"),
    "integers": (lambda document, members: members.update({"usual.npy": saved(np.arange(9))}), "never do"),
    "a path": (lambda document, members: members.update({"../../evil.npy": saved(np.ones(3))}), "none of its arrays"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_no_atlas_is_refused_with_why(file, tmp_path, name):
    change, why = DAMAGES[name]
    with pytest.raises(ClusterfirstError, match=why):
        Atlas.read(rewritten(file, tmp_path / "bad.atlas", change))
    assert not list(tmp_path.parent.glob("**/evil.npy"))


def test_a_bomb_is_refused_before_it_is_unpacked(file, tmp_path):
    def bomb(document, members):
        members["usual.npy"] = bytes(200 << 20)

    with pytest.raises(ClusterfirstError, match="unpacked it would be larger than 128 MiB"):
        Atlas.read(rewritten(file, tmp_path / "bomb.atlas", bomb))


def test_a_figure_that_was_changed_is_noticed(file, tmp_path):
    with zipfile.ZipFile(file) as packed, zipfile.ZipFile(tmp_path / "better.atlas", "w") as better:
        for name in packed.namelist():
            data = packed.read(name)
            better.writestr(name, data.replace(b'"right": 0', b'"right": 1', 1) if name == "atlas.json" else data)
    with pytest.raises(ClusterfirstError, match=r"atlas\.json was changed since it was written"):
        Atlas.read(tmp_path / "better.atlas")


def test_what_is_missing_is_said_to_be_missing(tmp_path):
    with pytest.raises(ClusterfirstError, match="there is no atlas"):
        Atlas.read(tmp_path / "none.atlas")


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_files_are_refused_in_words_or_say_the_same(file, atlas, tmp_path, data):
    whole = bytearray(file.read_bytes())
    if data.draw(st.booleans(), "cut"):
        del whole[data.draw(st.integers(0, len(whole) - 1)) :]
    # Names, sizes and hashes stand at the ends; what lies between is compressed.
    ends = st.integers(0, 400) | st.integers(max(0, len(whole) - 1500), max(0, len(whole) - 1))
    for place in data.draw(st.lists(ends | st.integers(0, max(0, len(whole) - 1)), max_size=4), "places"):
        if place < len(whole):
            whole[place] = data.draw(st.integers(0, 255), "byte")
    path = tmp_path / "damaged.atlas"
    path.write_bytes(whole)
    try:
        back = Atlas.read(path)
    except ClusterfirstError:
        return
    assert back.weights.tobytes() == atlas.weights.tobytes()
    assert back.measured == atlas.measured


# --- what it says, as a source of labels ---


def test_cells_get_what_was_learnt_where_nobody_said_more(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from clusterfirst.labels import SOURCES

    masks = tmp_path / "masks.parquet"
    pq.write_table(pa.table({"cell_id": [0, 1, 2]}), masks)
    learnt.write(
        tmp_path / "learnt.parquet",
        cell_id=np.arange(3),
        label=np.array(["stroma", None, "stroma"], object),
        probability=np.array([0.9, 0.4, 0.7]),
        novelty=np.zeros(3),
        metadata={"atlas": {"name": "mine", "sha256": "00"}, "classes": CLASSES},
    )
    source = next(one for one in SOURCES if one.name == "learnt")
    found = source.read(tmp_path / "learnt.parquet", masks, None)
    assert found.label.tolist() == ["stroma", None, "stroma"]
    assert found.how.tolist() == ["learnt", None, "learnt"]
    assert found.who.tolist() == ["atlas mine", None, "atlas mine"]
    np.testing.assert_allclose(found.confidence, [0.9, np.nan, 0.7])
    assert (found.classes, found.by_people) == (CLASSES, False)
    assert read_metadata(tmp_path / "learnt.parquet")["learnt"]["atlas"]["name"] == "mine"
    pq.write_table(pa.table({"cell_id": [0, 1]}), masks)
    with pytest.raises(ClusterfirstError, match="is not of the cells of"):
        source.read(tmp_path / "learnt.parquet", masks, None)
