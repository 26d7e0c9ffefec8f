"""Which files a run is asked for: of finished slides, for other tools, of labels, scores, trials."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..export import FORMATS
from ..io import ClusterfirstError
from ..labels import blind
from .layout import ResultsFolder, SlideFolder
from .settings import draws_classes
from .stages import CELLS, FINISHED, STAGES, UNASKED
from .trials import in_sweep

if TYPE_CHECKING:
    from .plan import Plan


def file_of(name: str) -> str:
    """Return what a format is called in the folder of a slide."""
    return SlideFolder.labelled_cells if name == CELLS else FORMATS[name].file


# --- labels and proposals ----------------------------------------------------------------------------------------


def exported_labels(plan: Plan, slide: str) -> list[str]:
    """Return the latest export of a slide's labels, if there is one."""
    return list(filter(None, [plan.newest_labels(slide)]))


def proposals(plan: Plan, slide: str) -> list[str]:
    """Return the proposals for the clusters of a slide, of its group if it shares them; or nothing."""
    if not plan.is_asked(slide):
        return []
    return [plan.at("classify_clusters", plan.groups.of_slide(slide), "classes")]


def learnt(plan: Plan, slide: str) -> list[str]:
    """Return what an atlas says of the cells of a slide, if one is asked."""
    return [plan.at("apply_atlas", slide, "learnt")] if plan.settings(slide).apply["atlas"] else []


LABELS: Mapping[str, Callable[[Plan, str], list[str]]] = {
    "labels": exported_labels,
    "learnt": learnt,
    "proposals": proposals,
}
"""Where a slide's labels come from: files of each source, by the source's name (see `labels.SOURCES`)."""


def has_labels(plan: Plan, slide: str) -> bool:
    """Whether anybody says, or will say, what the cells of a slide are."""
    return any(find(plan, slide) for find in LABELS.values())


def classes(plan: Plan, slide: str, drawing: str) -> str | None:
    """Return the file that says what cells are called, if what is drawn of a slide needs to know; else None.

    Parameters
    ----------
    drawing
        Which keys of its settings decide: ``annotation`` or ``drawing_of_representatives``.
    """
    drawn = draws_classes(getattr(plan.settings(slide), drawing))
    return plan.path(slide, SlideFolder.labelled_cells) if drawn else None


def label_files(plan: Plan, slides: Iterable[str]) -> list[str]:
    """Return what becomes of labels, of those slides that have some."""
    files = (*(file_of(name) for name in UNASKED), SlideFolder.drawn_by_label)
    return [plan.path(slide, file) for slide in slides if has_labels(plan, slide) for file in files]


def labelled_slides(plan: Plan) -> list[str]:
    """Return the same of slides that people have labelled.

    Raises
    ------
    ClusterfirstError
        There are none.
    """
    if files := label_files(plan, filter(plan.newest_labels, plan.samples)):
        return files
    if plan.stored:
        raise ClusterfirstError(
            "labels are files that the labelling app writes on this disk, but the results go to a storage: copy them "
            "to a folder, label there, and run `snakemake labels` there (docs/cloud.md)"
        )
    results = plan.on_disk(plan.results)
    raise ClusterfirstError(
        f"nobody has exported labels of any slide of {plan.config['slides']} yet: name clusters with "
        f"`clusterfirst-label {results}` (or `make label`), press Export, and run again"
    )


def own_atlas(plan: Plan) -> str:
    """Return the file of the atlas that the run learns."""
    return _of_atlas(plan, ResultsFolder.atlas)


def atlas_page(plan: Plan) -> str:
    """Return the page of that atlas."""
    return _of_atlas(plan, ResultsFolder.atlas_page)


def _of_atlas(plan: Plan, file: str) -> str:
    return f"{plan.results}/{file}".format(atlas=plan.config["learning"]["atlas"])


def teaching_slides(plan: Plan) -> list[str]:
    """Return the slides that people have labelled; see `labelled_slides`."""
    labelled_slides(plan)
    return list(filter(plan.newest_labels, plan.samples))


def teaching_labels(plan: Plan) -> list[str]:
    """Return the latest export of each of these slides."""
    return [plan.newest_labels(slide) for slide in teaching_slides(plan)]


def blind_answers(plan: Plan) -> list[str]:
    """Return what people said of cells of these slides without seeing clusters, if that is to teach, too."""
    if not plan.config["learning"]["blind"]:
        return []
    teach = teaching_slides(plan)
    folders = {slide: plan.path(slide, SlideFolder.labels) for slide in plan.samples}
    found = {slide: blind.files(plan.on_disk(folder)) for slide, folder in folders.items()}
    if alone := [slide for slide in plan.samples if found[slide] and slide not in teach]:
        raise ClusterfirstError(
            f"config: learning.blind: people answered blind about {', '.join(alone)}, but nobody has exported labels "
            "there, and only slides with an export teach: name a cluster, press Export, and run again"
        )
    return [f"{folders[slide]}/{blind.FOLDER}/{path.name}" for slide in teach for path in found[slide]]


def teaching_settings(plan: Plan, find: Callable[[Plan], list[str]] = teaching_slides) -> dict[str, Mapping]:
    """Return what holds for all of some slides: how they are prepared, and how it is learnt from them.

    Raises
    ------
    ClusterfirstError
        They differ in it, as slides of different tissues may.
    """
    first, *others = find(plan)
    shared = {name: getattr(plan.settings(first), name) for name in ("reduction", "learning")}
    for other in others:
        for name, values in shared.items():
            own = getattr(plan.settings(other), name)
            if different := [key for key in values if values[key] != own[key]]:
                raise ClusterfirstError(
                    f"config: {name}.{different[0]} is {values[different[0]]} for slide {first}, but "
                    f"{own[different[0]]} for slide {other}: slides that teach one atlas need the same"
                )
    return shared


def applied(plan: Plan) -> list[str]:
    """Return what atlases say of all slides that they are asked about.

    Raises
    ------
    ClusterfirstError
        There are none.
    """
    if files := [file for slide in plan.samples for file in learnt(plan, slide)]:
        return files
    raise ClusterfirstError(
        "config: apply.atlas names no atlas for any slide: give the file that `snakemake learn` made "
        f"({own_atlas(plan)}, say)"
    )


def asked_groups(plan: Plan) -> list[str]:
    """Return the groups about whose clusters a model is asked.

    Raises
    ------
    ClusterfirstError
        There are none.
    """
    if groups := list(filter(plan.is_asked, plan.groups_in_run())):
        return groups
    raise ClusterfirstError(
        "config: classify.per_cluster is 0, so no model is asked: set it to 3, say, and classify.model, and see "
        "`snakemake classify_preview` for what would be sent (docs/classification.md)"
    )


def asked_proposals(plan: Plan) -> list[str]:
    """Return what is proposed for the clusters of all groups that a model is asked about; see `asked_groups`."""
    return [plan.at("classify_clusters", group, "classes") for group in asked_groups(plan)]


def asked_views(plan: Plan) -> list[str]:
    """Return the pictures that a model would be shown; see `asked_groups`."""
    return [plan.at("cluster_views", group, "folder") for group in asked_groups(plan)]


# --- slides ------------------------------------------------------------------------------------------------------


def of_slides(plan: Plan, slides: Iterable[str]) -> list[str]:
    """Return all that is made of some slides, labels aside."""
    slides = list(slides)
    return [*(plan.path(slide, file) for slide in slides for file in FINISHED), *export_files(plan, slides)]


def whole_run(plan: Plan) -> list[str]:
    """Return all that is made if nothing else is asked for."""
    asked = any(map(plan.is_asked, plan.groups_in_run()))
    proposed = asked_proposals(plan) if asked else []
    return [*of_slides(plan, plan.samples), *label_files(plan, plan.samples), *proposed]


def tile_pictures(plan: Plan) -> list[str]:
    """Return the folders of plain tiles, of slides that want them."""
    wanted = (slide for slide in plan.samples if plan.settings(slide).tiling["export"])
    return [plan.path(slide, SlideFolder.tile_pictures) for slide in wanted]


def export_files(plan: Plan, slides: Iterable[str]) -> list[str]:
    """Return the files for other tools that the settings of slides ask for."""
    return [plan.path(slide, file) for slide in slides for file in _exports(plan, slide)]


def _exports(plan: Plan, slide: str) -> Iterator[str]:
    settings = plan.settings(slide)
    for name in settings.export["formats"]:
        yield file_of(name)
    if settings.export["nuclei_mask"]:
        yield SlideFolder.nuclei_mask
    if settings.tiling["export"]:
        yield SlideFolder.tile_pictures


def all_exports(plan: Plan) -> list[str]:
    """Return the same of all slides, and what becomes of labels.

    Raises
    ------
    ClusterfirstError
        Nothing is wanted.
    """
    files = dict.fromkeys([*export_files(plan, plan.samples), *label_files(plan, plan.samples)])
    if not files:
        raise ClusterfirstError(
            "there is nothing to export: list what you want under `export:` in the config, e.g. formats: [cells, "
            f"qupath] (known: {', '.join([CELLS, *FORMATS])})"
        )
    return list(files)


# --- scores and trials -------------------------------------------------------------------------------------------

_POINTS = (".csv", ".tsv", ".txt")
"""Files of points, which are no outlines."""


def truths(plan: Plan, stage: str, *, outlines: bool = False) -> list[str]:
    """Return a stage's scores of all slides whose truth is known.

    Parameters
    ----------
    plan
        The run.
    stage
        The stage that scores.
    outlines
        Only of those whose truth is outlines.

    Raises
    ------
    ClusterfirstError
        No truth is known.
    """
    known = [
        slide
        for slide, sample in plan.samples.items()
        if sample.truth and not (outlines and sample.truth.lower().endswith(_POINTS))
    ]
    if known:
        return [plan.at(stage, slide, "scores") for slide in known]
    kinds = (
        "outlines that people drew (QuPath GeoJSON, GeoParquet or label images)"
        if outlines
        else "what people drew or named (QuPath GeoJSON, GeoParquet, CSV of points, classes by cell id)"
    )
    raise ClusterfirstError(
        f"no slide has a truth to be scored against: name files of {kinds} in column 'truth' of {plan.config['slides']}"
    )


def with_truth(plan: Plan, group: str) -> list[str]:
    """Return the slides of a group whose truth is known."""
    return [slide for slide in plan.members(group) if plan.sample(slide).truth]


def naming_moments(plan: Plan) -> list[str]:
    """Return what simulated people get right in each group of slides of which some have a truth.

    Raises
    ------
    ClusterfirstError
        No truth is known.
    """
    truths(plan, "evaluate_slide_clusters")
    groups = [group for group in plan.groups_in_run() if with_truth(plan, group)]
    return [plan.at("simulate_naming", group, "moments") for group in groups]


def split_slides(plan: Plan) -> list[str]:
    """Return the slides with a truth that teach or test, those that teach first.

    Raises
    ------
    ClusterfirstError
        One of both is lacking.
    """
    sides = {
        side: [slide for slide, sample in plan.samples.items() if sample.split == side and sample.truth]
        for side in ("teach", "test")
    }
    if lacking := [side for side, slides in sides.items() if not slides]:
        raise ClusterfirstError(
            f"no slide with a truth has split {lacking[0]}: fill in columns 'truth' and 'split' (teach, test) of "
            f"{plan.config['slides']}"
        )
    teach, test = (set(patients(plan, side)) for side in sides.values())
    if both := sorted(teach & test):
        raise ClusterfirstError(
            f"slides of patient '{both[0]}' are on both sides of the split, so that what is tested was taught: give "
            f"all slides of a patient the same in column 'split' of {plan.config['slides']}"
        )
    return [*sides["teach"], *sides["test"]]


def patients(plan: Plan, slides: Iterable[str]) -> list[str]:
    """Return whose each slide is, whatever the case; without a patient, it stands for one that nobody else is."""
    said = ((slide, plan.samples[slide].patient) for slide in slides)
    return [patient.casefold() if patient else f"the patient of slide {slide}" for slide, patient in said]


def trial_scores(plan: Plan) -> list[str]:
    """Return what is known of each trial from the truth of its slides.

    Raises
    ------
    ClusterfirstError
        Nothing is swept.
    """
    return [
        plan.at("evaluate_slide_clusters", trial + slide, "scores")
        for trial, slides in _trials(plan).items()
        for slide in slides
        if plan.samples[slide].truth
    ]


def trial_validity(plan: Plan) -> list[str]:
    """Return what is known of each trial without a truth.

    Raises
    ------
    ClusterfirstError
        Nothing is swept.
    """
    slides = ((trial, slide) for trial, slides in _trials(plan).items() for slide in slides)
    groups = dict.fromkeys(plan.group_of(trial, slide) for trial, slide in slides)
    return [plan.at("validate_clusters", group, "figures") for group in groups]


def _trials(plan: Plan) -> Mapping[str, list[str]]:
    if plan.whole_trials:
        return plan.whole_trials
    raise ClusterfirstError(
        "there is nothing to sweep: list values under `sweep:` in the config, e.g. clustering.groups: [15, 25]"
    )


def described_trials(plan: Plan) -> list[dict]:
    """Return per trial the values it tries, and per slide its tissue and group."""
    return [
        {
            "folder": trial,
            "values": dict(plan.trials.parts[trial].values),
            "slides": {
                slide: {"tissue": plan.samples[slide].tissue, "group": plan.group_of(trial, slide)} for slide in slides
            },
        }
        for trial, slides in plan.whole_trials.items()
    ]


# --- what is there -----------------------------------------------------------------------------------------------

Exists = Callable[[str], bool]


def finished(plan: Plan, exists: Exists) -> list[str]:
    """Return the slides whose files are all there, and those of the slides they are clustered with."""
    whole = {slide for slide in plan.samples if all(map(exists, of_slides(plan, [slide])))}
    return [slide for slide in plan.samples if whole.issuperset(plan.members(plan.group_of("", slide)))]


def groups_of(plan: Plan, slides: Sequence[str]) -> dict[str, str]:
    """Return the group of each finished slide.

    Raises
    ------
    ClusterfirstError
        There are none.
    """
    if slides:
        return {slide: plan.groups.of_slide(slide) for slide in slides}
    raise ClusterfirstError(
        f"no slide of {plan.config['slides']} is finished in {plan.local_results()}/, so there is nothing to show: run "
        "snakemake first (`snakemake status` says what is missing)"
    )


def names_of_exports(plan: Plan, slides: Iterable[str]) -> dict[str, str]:
    """Return the name of the latest export of labels, of those slides that have one."""
    files = {slide: plan.newest_labels(slide) for slide in slides}
    return {slide: Path(file).name for slide, file in files.items() if file}


def reported(plan: Plan, slides: Sequence[str], exists: Exists) -> list[str]:
    """Return what a report shows of finished slides: their files; labels, scores, sweep and costs if they are there.

    Raises
    ------
    ClusterfirstError
        There are none.
    """
    if not slides:
        raise ClusterfirstError(
            f"there is nothing to report: no slide of {plan.config['slides']} is finished in "
            f"{plan.on_disk(plan.results)}/; run snakemake first"
        )
    results = ResultsFolder.names()
    costs = [f"{plan.results}/{results[name]}" for name in ("costs_page", "costs_table")]
    return [
        *of_slides(plan, slides),
        *filter(exists, label_files(plan, slides)),
        *(_evaluations(plan, exists) if len(slides) == len(plan.samples) else []),
        *_made_sweep(plan, exists),
        *(filter(exists, [atlas_page(plan)]) if any(map(plan.newest_labels, plan.samples)) else []),
        *(costs if all(map(exists, costs)) else []),
    ]


def _evaluations(plan: Plan, exists: Exists) -> list[str]:
    """The pages of evaluations that have been made of all slides with a truth."""
    known = [slide for slide, sample in plan.samples.items() if sample.truth]
    pages = {
        ResultsFolder.segmentation_plot: "evaluate_slide_segmentation",
        ResultsFolder.clusters_page: "evaluate_slide_clusters",
    }
    parts = {
        f"{plan.results}/{page}": [plan.at(stage, slide, "scores") for slide in known] for page, stage in pages.items()
    }
    if known:
        parts[f"{plan.results}/{ResultsFolder.naming_page}"] = naming_moments(plan)
    if split := [slide for slide in known if plan.samples[slide].split]:
        truths = [plan.at("evaluate_slide_clusters", slide, "truth") for slide in split]
        parts[f"{plan.results}/{ResultsFolder.transfer_page}"] = truths
    return [page for page, scores in parts.items() if known and exists(page) and all(map(exists, scores))]


def _made_sweep(plan: Plan, exists: Exists) -> list[str]:
    """The page of the sweep, if all its trials have been made."""
    page = f"{plan.results}/{ResultsFolder.sweep_page}"
    plots = (plan.path(group, STAGES["cluster"].files["plot"]) for group in filter(in_sweep, plan.groups.members))
    return [page] if plan.whole_trials and exists(page) and all(map(exists, plots)) else []
