# How far a run has come: `snakemake status`, also while another snakemake is at work.
from snakemake.io import strip_wildcard_constraints

# The section that each stage belongs to, in order, and what a slide needs for it.
SECTION_OF = {
    "tile": "tiling",
    "filter_tiles": "filter",
    "outline": "segmentation",
    "segment": "segmentation",
    "embed": "embedding",
    "reduce": "reduction",
    "cluster": "clustering",
}
NEEDS = {
    "tile": [],
    "filter_tiles": ["tile"],
    "outline": ["filter_tiles"],
    "segment": ["filter_tiles", "outline"],
    "embed": ["filter_tiles", "segment"],
    "reduce": ["segment", "embed"],
    "cluster": ["reduce"],
    "annotate": ["filter_tiles", "segment", "reduce", "cluster"],
    "label_cells": ["segment", "reduce", "cluster"],
    "annotate_labels": ["filter_tiles", "cluster", "label_cells"],
    "export_qupath": ["label_cells"],
    "export_h5ad": ["label_cells", "embed", "reduce"],
    "export_spatialdata": ["label_cells", "embed", "reduce"],
    "export_csv": ["label_cells"],
    "export_coco": ["label_cells", "filter_tiles", "export_tiles"],
    "export_paper": ["label_cells", "filter_tiles", "export_tiles"],
    "cluster_views": ["segment", "cluster"],
    "classify_clusters": ["cluster_views", "cluster"],
    "export_tiles": ["filter_tiles"],
    "nuclei_mask": ["segment"],
    "representatives": ["filter_tiles", "segment", "cluster"],
    "annotate_representatives": [
        "filter_tiles",
        "segment",
        "cluster",
        "representatives",
    ],
    "evaluate_slide_segmentation": ["segment"],
    "evaluate_slide_clusters": ["segment", "cluster"],
    "validate_clusters": ["reduce", "cluster"],
}
# Where a group does a stage, its slides take their parts.
PART_OF = {"reduce": "share_map", "cluster": "share_clusters"}
# What only groups do.
OF_GROUPS = {"cluster_views", "classify_clusters", "validate_clusters"}


def only_status():
    """Whether this snakemake is only asked how things stand: it does not need the results for itself."""
    return set(workflow.dag_settings.targets) == {"status"}


def results_folder():
    """Where the rules write, on this disk."""
    if STORED:
        raise WorkflowError(
            "status and the cohort page look at files on this disk, but the results go to a storage: see docs/cloud.md"
        )
    return RESULTS_ON_DISK


def plan_of_status():
    """What to look at: slides, groups that share clusters, what is fetched; and trials of a sweep once it was begun."""
    trials = {"": list(SAMPLES)}
    results = results_folder()
    if Path(f"{results}/sweep").is_dir():
        trials |= whole_trials()
    units = {}
    for trial, slides in trials.items():
        for slide in slides:
            for unit, name, needs in stages_of_slide(trial, slide):
                stage = units.setdefault(unit, {}).setdefault(name, {})
                # A dict keeps the order. What a group does needs something of each slide.
                stage.update(dict.fromkeys(needs))
    stages = {name: jobs_of(name) for name in [*NEEDS, *PART_OF.values()]}
    fetched = [Path(file).name for file in needed_weights()]
    stages |= {
        file: {
            "column": None,
            "optional": True,
            "jobs": [([file], f"logs/{file}.log", f"logs/{file}.tsv")],
        }
        for file in fetched
    }
    folders = {unit: f"{results}/{unit}" for unit in units} | {"weights": MODELS_DIR}
    units["weights"] = {file: {} for file in fetched}
    return {
        "stages": stages,
        "units": {
            unit: {
                "folder": folders[unit],
                "stages": [
                    (name, list(needs), source_of(unit, name))
                    for name, needs in own.items()
                ],
            }
            for unit, own in units.items()
        },
    }


def stages_of_slide(trial, slide):
    """Yield folder, stage and needs of everything that a slide needs in a trial, or in the ordinary run ("")."""
    settings = settings_of(trial + slide)
    group = trial_and_name(group_of(trial, slide))[1]
    given = settings["segmentation"]["model"] == "precomputed"

    def folder(name, owner=slide):
        return (
            folder_at(SECTION_OF[name], trial) + owner
            if name in SECTION_OF
            else trial + owner
        )

    def own(name):
        return f"{folder(name)}/{PART_OF.get(name, name) if group != slide else name}"

    for name in wanted_stages(trial, slide, settings):
        needs = [own(need) for need in NEEDS[name] if not (given and need == "outline")]
        if given and name == "outline":
            continue
        if group == slide or name not in (*PART_OF, *OF_GROUPS):
            yield folder(name), name, needs
            continue
        of_group = [
            f"{folder(need, group)}/{need}"
            for need in NEEDS[name]
            if need in PART_OF or need in OF_GROUPS
        ]
        yield folder(name, group), name, of_group or needs
        if name in PART_OF:
            yield folder(name), PART_OF[name], [
                f"{folder(name, group)}/{name}",
                *of_group,
            ]


def wanted_stages(trial, slide, settings):
    """The stages that a run or trial has for a slide, in the order of the table."""
    for name in SECTION_OF:
        yield name
    if not trial:
        yield "annotate"
        if classified(slide):
            yield "cluster_views"
            yield "classify_clusters"
        yield from stages_of_exports(slide, settings)
        if settings["export"]["nuclei_mask"]:
            yield "nuclei_mask"
        yield "representatives"
        yield "annotate_representatives"
    if SAMPLES[slide].truth:
        if not trial:
            yield "evaluate_slide_segmentation"
        yield "evaluate_slide_clusters"
    yield "validate_clusters"


def stages_of_exports(slide, settings):
    """The stages that make files for other tools, and pictures by label."""
    named = newest_labels(slide) or classified(slide)
    wanted = set(settings["export"]["formats"]) | (
        {"cells", "qupath"} if named else set()
    )
    if wanted:
        yield "label_cells"
    if named:
        yield "annotate_labels"
    if settings["tiling"]["export"] or wanted & WITH_TILES:
        yield "export_tiles"
    for name in FORMATS:
        if name in wanted - {"cells"}:
            yield f"export_{name}"


def source_of(unit, name):
    """Files from outside, for the stages that read some."""
    if name == "label_cells":
        return [relocated(file) for file in filter(None, [newest_labels(unit)])]
    return [sample_of(unit).path] if name == "tile" else []


def jobs_of(name):
    """The jobs of a rule: their outputs, log and benchmark, inside the folder of a slide or group."""
    directives = getattr(rules, name)
    # Only `outline` has several.
    shards = gather.outlines("{scatteritem}") if name == "outline" else [""]

    def inside(file, shard):
        file = strip_wildcard_constraints(str(file)).split("}/", 1)[1]
        return file.replace("{scatteritem}", shard)

    columns = {part: whole for whole, part in PART_OF.items()}
    return {
        "column": columns.get(name, name),
        # Said only where it was begun.
        "optional": name.startswith(("evaluate_", "validate_"))
        or "representatives" in name,
        "jobs": [
            (
                [inside(file, shard) for file in directives.output],
                inside(directives.log[0], shard),
                inside(directives.benchmark, shard),
            )
            for shard in shards
        ],
    }
