"""A run as an object: what rules ask of it, for each slide and group."""

import re

import pytest

from clusterfirst.export import FORMATS
from clusterfirst.health import survey
from clusterfirst.io import ClusterfirstError
from clusterfirst.plan import jobs, outside, units, wanted
from clusterfirst.plan.groups import A_GROUP, A_SLIDE, Groups
from clusterfirst.plan.layout import ResultsFolder, SlideFolder
from clusterfirst.plan.plan import Plan
from clusterfirst.plan.stages import FINISHED, PARTS, STAGES
from clusterfirst.plan.trials import ORDER

from ..defaults import section

SWEEP = {"clustering.groups": [5, 10], "segmentation.seam_overlap": [0.4]}
FIRST = "sweep/segmentation_seam_overlap~0.4"


@pytest.fixture
def make(schema, slide_schema, tmp_path, monkeypatch):
    """Plan a run of slides a, b (colon) and c, as configured."""
    monkeypatch.chdir(tmp_path)

    def plan(config=None, *, rows="a,a.svs,colon,\nb,b.svs,colon,b.geojson\nc,c.svs,,\n", **given):
        (tmp_path / "slides.csv").write_text(f"slide,path,tissue,truth\n{rows}")
        own = {"slides": "slides.csv", **(config or {})}
        schemas = {"config": schema, "slides": slide_schema}
        there = {"exists": lambda _: True, "has_weights": lambda _: False}
        return Plan.read(own, schemas, **there | given)

    return plan


def label(folder, slide="a"):
    """Write what the labelling app exports; nobody reads it here."""
    path = folder / "results" / slide / SlideFolder.labels / "2026-11-21T19-45-30.123Z.json"
    path.parent.mkdir(parents=True)
    path.touch()
    return str(path.relative_to(folder))


def test_problems_of_config_and_sheet_are_told_together_and_then_how_they_go_together(make):
    with pytest.raises(ClusterfirstError) as error:
        make({"tilling": {}}, rows="a,,colon,\n")
    assert "config: tilling: unknown key" in str(error.value)
    assert "row 2, column path: is empty" in str(error.value)
    wrong = {
        "segmentation": {"model": "precomputed"},
        "embedding": {"weights": {"resnet50": "nowhere.pth"}, "models": ["resnet50", "tokens:uni2-h"]},
        "reduction": {"balance": {"morphology": 2}},
        "classify": {"per_cluster": 1},
        "clustering": {"scope": "cohort"},
        "tissues": {"colon": {"reduction": {"components": 3}}},
    }
    with pytest.raises(ClusterfirstError) as error:
        make(wrong)
    told = str(error.value).splitlines()
    assert len(told) == len(set(told)) == 3 + 2 + 1 + 1 + 1
    for text in (
        "slides.csv: slide c has no file in column objects",
        "config: embedding: no file nowhere.pth for resnet50, and no weights of that name",
        "config: embedding: tokens:uni2-h needs a file that only its authors give",
        "config: reduction.balance: morphology is none of embedding.models (resnet50, tokens:uni2-h)",
        "which model is to be asked?",
        "config: reduction.components is 3 for slide a, but 10 for slide c",
    ):
        assert any(text in line for line in told), (text, told)


def test_slides_without_a_tissue_cannot_be_clustered_by_it_and_tissues_need_names_of_their_own(make):
    with pytest.raises(ClusterfirstError, match=r"slide c has none: fill in column 'tissue' of slides\.csv"):
        make({"clustering": {"scope": "tissue"}})
    with pytest.raises(ClusterfirstError, match="'a b', 'a-b' are written the same"):
        make({"clustering": {"scope": "tissue"}}, rows="a,a.svs,a b,\nb,b.svs,a-b,\n")


def test_a_slide_has_the_settings_of_its_tissue_and_trial_and_a_group_those_of_its_slides(make):
    plan = make({"sweep": SWEEP, "tissues": {"colon": {"clustering": {"fine": 50}}}})
    assert (plan.settings("a").clustering["fine"], plan.settings("c").clustering["fine"]) == (50, 300)
    trial = plan.settings(f"{FIRST}__clustering_groups~10/a")
    assert (trial.clustering["groups"], trial.clustering["fine"]) == (10, 50)
    assert plan.settings("a") is plan.settings("b")
    together = make({"clustering": {"scope": "tissue"}}, rows="a,a.svs,colon,\nb,b.svs,colon,\n")
    assert together.settings("groups/tissue-colon") is together.settings("a")


def test_slides_of_a_tissue_with_limits_are_filtered_where_others_are_not(make):
    sweep = {"filter.min_tissue": [0.3], "clustering.groups": [5]}
    plan = make({"filter": False, "tissues": {"colon": {"filter": {"max_dark_ratio": 1}, "sweep": sweep}}})
    limits = section("filter", max_dark_ratio=1)
    assert (plan.settings("a").filter, plan.settings("c").filter) == (limits, False)
    assert plan.settings("sweep/filter_min_tissue~0.3/a").filter == limits | {"min_tissue": 0.3}


def test_what_trials_share_is_made_once_by_the_first_that_needs_it(make):
    plan = make({"sweep": SWEEP})
    five, ten = (f"{FIRST}__clustering_groups~{groups}/a" for groups in (5, 10))
    assert plan.at("filter_tiles", five, "tiles") == "results/a/filtered.parquet"
    assert plan.at("segment", five, "cells") == plan.at("segment", ten, "cells") == f"results/{FIRST}/a/masks.parquet"
    assert plan.at("cluster", ten, "clusters") == f"results/{ten}/clusters.json"
    assert plan.at("evaluate_slide_clusters", ten, "scores") == f"results/{ten}/evaluation/clusters.json"


def test_what_nobody_makes_is_said_to_be_nobodys(make):
    plan = make()
    for ask, unit in (
        (plan.settings, "d"),
        (plan.members, "groups/cohort"),
        (plan.sample, "sweep/x~1/a"),
        (lambda unit: plan.at("tile", unit, "tiles"), "sweep/x~1/a"),
    ):
        with pytest.raises(ClusterfirstError, match=r"belongs to no slide of slides\.csv"):
            ask(unit)


def test_slides_are_clustered_alone_by_tissue_or_all_together(make):
    assert make().groups.members == {"a": ["a"], "b": ["b"], "c": ["c"]}
    plan = make({"clustering": {"scope": "cohort"}})
    assert plan.groups.members == {"groups/cohort": ["a", "b", "c"]}
    assert plan.names("groups/cohort") == ["a", "b", "c"]
    assert plan.groups.of_slide("b") == "groups/cohort"
    mixed = make({"tissues": {"colon": {"clustering": {"scope": "tissue"}}}})
    assert mixed.groups.members == {"groups/tissue-colon": ["a", "b"], "c": ["c"]}
    moved = Groups.of({"": "bca", "sweep/x/": "cab"}, lambda trial, _: f"{trial}groups/cohort")
    assert moved.members == {
        "groups/cohort": ["a", "b", "c"],
        "sweep/x/groups/cohort": ["sweep/x/a", "sweep/x/b", "sweep/x/c"],
    }
    assert mixed.groups_in_run() == ["groups/tissue-colon", "c"]


@pytest.mark.parametrize("scope", ["slide", "cohort"])
def test_wildcards_do_not_grow_with_the_sheet_where_all_slides_are_alike(make, scope):
    few, many = (
        make({"clustering": {"scope": scope}}, rows="".join(f"s{n},s.svs,,\n" for n in range(count)))
        for count in (2, 50)
    )
    assert few.groups.patterns == many.groups.patterns
    assert set(few.groups.patterns) <= {A_SLIDE, A_GROUP, "(?!)"}


def test_where_some_slides_share_and_others_do_not_only_names_can_tell(make):
    plan = make({"tissues": {"colon": {"clustering": {"scope": "tissue"}}}, "sweep": {"clustering.groups": [5]}})
    sharing, group = plan.groups.patterns
    trial = "sweep/clustering_groups~5"
    for unit in ("a", "b", f"{trial}/a"):
        assert re.fullmatch(sharing, unit)
        assert not re.fullmatch(group, unit)
    for unit in ("c", f"{trial}/c", "groups/tissue-colon", f"{trial}/groups/tissue-colon"):
        assert re.fullmatch(group, unit)
        assert not re.fullmatch(sharing, unit)


def test_a_run_wants_all_files_of_finished_slides_and_what_follows_from_names(make, tmp_path):
    plan = make()
    assert wanted.whole_run(plan) == [f"results/{slide}/{file}" for slide in "abc" for file in FINISHED]
    newest = label(tmp_path)
    assert wanted.exported_labels(plan, "a") == [newest]
    more = [f"results/a/{file}" for file in ("cells.parquet", "cells.geojson.gz", "annotated_by_label")]
    assert wanted.whole_run(plan)[-3:] == wanted.labelled_slides(plan) == more
    assert wanted.exported_labels(make(in_storage=lambda path: True), "a") == []


def test_what_is_exported_is_what_the_settings_of_each_slide_say(make):
    with pytest.raises(ClusterfirstError, match=r"nothing to export.*known: cells, qupath, h5ad, "):
        wanted.all_exports(make())
    export = {"formats": ["cells", "coco"], "nuclei_mask": True}
    plan = make({"tissues": {"colon": {"export": export}}, "tiling": {"export": True}})
    of_a = ["cells.parquet", "cells.coco.json", "nuclei_mask.tiff", "tiles"]
    assert wanted.export_files(plan, "ac") == [*(f"results/a/{file}" for file in of_a), "results/c/tiles"]


def test_a_model_is_asked_about_groups_and_its_answers_are_those_of_their_slides(make):
    asked = {"classify": {"per_cluster": 2, "model": "seer"}, "clustering": {"scope": "cohort"}}
    plan = make(asked)
    assert wanted.asked_proposals(plan) == ["results/groups/cohort/classes.json"]
    assert wanted.asked_views(plan) == ["results/groups/cohort/views"]
    assert wanted.proposals(plan, "b") == ["results/groups/cohort/classes.json"]
    assert "results/groups/cohort/classes.json" in wanted.whole_run(plan)
    assert wanted.proposals(make(), "b") == []
    with pytest.raises(ClusterfirstError, match=r"classify\.per_cluster is 0"):
        wanted.asked_groups(make())


def test_scores_are_of_slides_whose_truth_is_known(make):
    plan = make()
    assert wanted.truths(plan, "evaluate_slide_clusters") == ["results/b/evaluation/clusters.json"]
    points = make(rows="a,a.svs,,points.csv\n")
    assert wanted.truths(points, "evaluate_slide_clusters") == ["results/a/evaluation/clusters.json"]
    with pytest.raises(ClusterfirstError, match=r"no slide has a truth.*outlines that people drew"):
        wanted.truths(points, "evaluate_slide_segmentation", outlines=True)
    with pytest.raises(ClusterfirstError, match="nothing to sweep"):
        wanted.trial_scores(plan)
    swept = make({"sweep": SWEEP})
    assert len(wanted.trial_scores(swept)) == 2
    assert len(wanted.trial_validity(swept)) == 2 * 3
    assert [trial["values"]["clustering.groups"] for trial in wanted.described_trials(swept)] == [5, 10]


def test_finished_are_slides_whose_files_and_those_of_their_group_are_there(make):
    files = set(wanted.of_slides(make(), "ab"))
    assert wanted.finished(make(), files.__contains__) == ["a", "b"]
    assert wanted.finished(make({"clustering": {"scope": "cohort"}}), files.__contains__) == []
    shown = wanted.reported(make(), ["a", "b"], files.__contains__)
    assert set(shown) == files
    scores = {"results/evaluation/clusters.html", "results/b/evaluation/clusters.json"}
    everything = {*wanted.of_slides(make(), "abc"), *scores, "results/benchmarks.html", "results/benchmarks.csv"}
    assert set(wanted.reported(make(), list("abc"), everything.__contains__)) == everything - {
        "results/b/evaluation/clusters.json"
    }


def test_each_slide_and_group_goes_through_its_stages_in_order_after_what_they_need(make):
    plan = make({"clustering": {"scope": "cohort"}})
    steps = {f"{step.unit}/{step.stage}": step.after for step in units.steps(plan, "", "b")}
    assert steps["b/tile"] == []
    assert steps["b/segment"] == ["b/filter_tiles", "b/outline"]
    assert steps["groups/cohort/reduce"] == ["b/segment", "b/embed"]
    assert steps["b/share_clusters"] == ["groups/cohort/cluster", "groups/cohort/reduce"]
    assert steps["b/annotate"] == ["b/filter_tiles", "b/segment", "b/share_map", "b/share_clusters"]
    assert steps["groups/cohort/validate_clusters"] == ["groups/cohort/reduce", "groups/cohort/cluster"]
    assert "b/evaluate_slide_clusters" in steps
    assert not any(name.endswith(("label_cells", "export_tiles", "nuclei_mask", "cluster_views")) for name in steps)


def test_stages_that_concern_no_slide_of_a_run_are_left_out(make, tmp_path):
    def stages(config, trial="", slide="a"):
        return [step.stage for step in units.steps(make(config), trial, slide)]

    assert "evaluate_slide_clusters" not in stages({})
    assert "export_coco" in stages({"export": {"formats": ["coco"]}})
    assert {"label_cells", "export_tiles"} <= set(stages({"export": {"formats": ["coco"]}}))
    trial = f"{FIRST}__clustering_groups~5/"
    assert stages({"sweep": SWEEP}, trial)[-2:] == ["cluster", "validate_clusters"]
    label(tmp_path)
    assert {"label_cells", "annotate_labels", "export_qupath"} <= set(stages({}))


def test_the_survey_is_told_of_every_job_and_what_is_fetched(make, tmp_path):
    plan = make({"segmentation": {"shards": 2}})
    told = units.described(plan)
    assert list(told["units"]) == ["a", "b", "c", "weights"]
    assert told["units"]["a"]["stages"][0] == ("tile", [], ["a.svs"], [])
    first, _ = told["stages"]["outline"]["jobs"]
    assert first == (["outlines/1-of-2.parquet"], "logs/outline-1-of-2.log", "benchmarks/outline-1-of-2.tsv")
    assert told["stages"]["share_map"]["column"] == "reduce"
    assert told["stages"]["representatives"]["optional"]
    assert list(told["units"]["weights"]["stages"]) == [("instanseg-brightfield_nuclei-0.1.1.pt", [], [], [])]
    assert plan.slides_that_need("instanseg-brightfield_nuclei-0.1.1.pt") == list("abc")


def test_of_slides_that_are_not_finished_it_is_known_where_they_stand(make):
    waiting = ("tile", "waiting", "its turn")
    plan = make()
    assert survey.unfinished(plan, ["a"]) == {"b": waiting, "c": waiting}
    assert wanted.groups_of(plan, ["a"]) == {"a": "a"}
    with pytest.raises(ClusterfirstError, match=r"no slide of slides\.csv is finished in results/"):
        wanted.groups_of(plan, [])
    with pytest.raises(ClusterfirstError, match="there is nothing to report"):
        wanted.reported(plan, [], lambda _: False)
    with pytest.raises(ClusterfirstError, match="the results go to a storage"):
        survey.unfinished(make(in_storage=lambda _: True), [])


def test_files_from_outside_are_those_that_people_name_or_put_there(make, tmp_path):
    plan = make(
        {
            "embedding": {"models": ["morphology", "instanseg", "resnet50", "nets/own.onnx"]},
            "segmentation": {"weights": "nets/nuclei.pt"},
            "clustering": {"scope": "cohort"},
            "export": {"formats": ["spatialdata"], "image": True},
            "classify": {"per_cluster": 1, "model": "m"},
        },
        has_weights=lambda _: True,
    )
    exported = label(tmp_path)

    def files(stage, unit):
        return outside.files(plan, stage, unit, prompt=lambda group: f"prompt of {group}")

    assert files("tile", "b") == ["b.svs"]
    assert files("outline", "b") == ["b.svs", "nets/nuclei.pt"]
    # What is fetched is known by its name; InstanSeg's encoder is the file that outlines nuclei.
    assert files("embed", "b")[0] == "b.svs"
    assert "nets/own.onnx" in files("embed", "b")
    assert not [file for file in files("embed", "b") if "resnet50" in file or "morphology" in file]
    assert files("segment", "b") == []
    assert files("evaluate_slide_clusters", "b") == ["b.geojson"]
    assert files("cluster_views", "groups/cohort") == ["a.svs", "b.svs", "c.svs"]
    assert files("classify_clusters", "groups/cohort") == ["prompt of groups/cohort"]
    assert files("label_cells", "a") == [exported]
    assert files("label_cells", "b") == []
    assert files("export_spatialdata", "a") == ["a.svs"]
    assert files("cluster", "groups/cohort") == []


def test_jobs_of_networks_ask_for_a_gpu_unless_told_not_to(make):
    plan, without = make(), make({"gpu": False, "embedding": {"models": ["morphology"]}})
    assert [jobs.gpus(plan, stage, "a") for stage in ("tile", "outline", "segment", "embed")] == [0, 1, 0, 1]
    assert not any(jobs.gpus(without, stage, "a") for stage in STAGES)
    morphology = make({"embedding": {"models": ["morphology"]}})
    assert jobs.gpus(morphology, "embed", "a") == 0


def test_what_concerns_a_whole_group_grows_with_it_and_what_does_not_does_not(make):
    alone, together = make(), make({"clustering": {"scope": "cohort"}})
    memory = {"resource": "mem_mb"}
    assert jobs.needs(together, "cluster", group="groups/cohort", **memory) > jobs.needs(
        alone, "cluster", group="a", **memory
    )
    assert jobs.needs(together, "share_clusters", slide="a", **memory) > jobs.needs(
        make({"clustering": {"scope": "cohort"}}, rows="a,a.svs,,\n"), "share_clusters", slide="a", **memory
    )
    assert jobs.needs(together, "embed", slide="a", **memory) == jobs.needs(alone, "embed", slide="a", **memory)
    assert jobs.needs(alone, "cohort", **memory) > 0


def test_outlines_depend_on_what_their_model_looks_at_and_on_nothing_else(make):
    plan = make({"segmentation": {"flow_threshold": 0.9}})
    assert "flow_threshold" not in plan.segmentation("a")
    assert plan.segmentation("a")["weights"] == "instanseg"
    cellpose = make({"segmentation": {"model": "cellpose", "flow_threshold": 0.9}})
    assert cellpose.segmentation("a")["flow_threshold"] == 0.9
    assert cellpose.segmentation("a")["weights"] == "cpsam"


def test_rows_name_stages_that_stand_before_them_and_files_of_the_layout():
    seen = set()
    for row in STAGES.values():
        assert seen >= {*row.after, *row.sometimes}, row.name
        seen.add(row.name)
    assert set(PARTS) | set(PARTS.values()) <= seen
    known = {*SlideFolder.names().values(), *ResultsFolder.names().values()}
    files = [file for row in STAGES.values() for file in row.files.values() if "{" not in file]
    assert {*files} <= known | {one.file for one in FORMATS.values()}
    assert {row.section for row in STAGES.values()} == {None, *ORDER}
