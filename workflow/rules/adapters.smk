# The plan of the run as rules take it: functions of wildcards for input, params and resources, and nothing else.
from functools import partial

import yaml
from clusterfirst import segmentation, weights
from clusterfirst.export import FORMATS
from clusterfirst.health import survey
from clusterfirst.plan import checks, jobs, units, wanted
from clusterfirst.plan.groups import A_SLIDE, any_of
from clusterfirst.plan.layout import ResultsFolder, SlideFolder
from clusterfirst.plan.plan import Plan
from clusterfirst.plan.resources import RESOURCES
from clusterfirst.plan.settings import draws_classes
from clusterfirst.plan.stages import STAGES
from clusterfirst.proposing import prompts


def read_schema(name):
    with workflow.sourcecache.open(HERE.join(f"../schemas/{name}.schema.yaml")) as file:
        return yaml.safe_load(file)


def is_there(path):
    """Whether a file of the sheet is there or will be; only the process that plans looks.

    Each job on a cluster reads the sheet again. A slide that has vanished must fail its own jobs, not everybody's.
    """
    # Snakemake itself looks for what lies in storage, and for all of it at once.
    return (
        not workflow.is_main_process
        or in_storage(path)
        or Path(path).is_file()
        or weights.is_sample_slide(path)
    )


with plainly():
    plan = Plan.read(
        config,
        {name: read_schema(name) for name in ("config", "slides")},
        exists=is_there,
        has_weights=lambda name: exists(named(name)),
        on_disk=relocated,
        in_storage=in_storage,
    )
for warning in checks.unused_tissues(plan):
    logger.warning(warning)
RESULTS, MODELS_DIR = plan.results, plan.models_dir
RESULTS_ON_DISK = relocated(RESULTS)
SHARING_SLIDE, GROUP = plan.groups.patterns


def unit_of(wildcards):
    """The slide or group that a job is of."""
    return wildcards.get("slide") or wildcards.group


# --- files ---


def slide_file(wildcards):
    return named(plan.sample(wildcards.slide).path)


def made(stage, key):
    """A file that a stage makes of the slide, by whichever trial first made it."""
    return lambda wildcards: plan.at(stage, wildcards.slide, key)


def of_group(stage, key):
    """That file of the group, or of the group that the slide belongs to."""
    return lambda wildcards: plan.at(
        stage, wildcards.get("group") or plan.groups.sharing[wildcards.slide], key
    )


def of_members(stage, key):
    """That file of every slide of the group."""
    return lambda wildcards: [
        plan.at(stage, member, key) for member in plan.members(wildcards.group)
    ]


def slides_of_members(wildcards):
    return [named(plan.sample(member).path) for member in plan.members(wildcards.group)]


def every(find):
    """What is wanted of the whole run: not a list, for jobs on a cluster parse the workflow, too, and want one slide's."""

    def ask(wildcards):
        with plainly():
            return find(plan)

    return ask


def every_slide(*files):
    """Those files of every slide."""
    return lambda wildcards: [
        plan.path(slide, file) for slide in plan.samples for file in files
    ]


def every_group(stage, key):
    """That file of every group, outside of any trial."""
    return lambda wildcards: [
        plan.at(stage, group, key) for group in plan.groups_in_run()
    ]


def weights_of(section):
    """The weights of a section's networks; known by their hash, so that a newer time stamp is no reason to begin again."""
    return lambda wildcards: [
        ancient(named(file))
        for file in plan.weights_files(section, wildcards.slide).values()
    ]


def needed_weights():
    """Every file of weights that this run needs and that can be fetched."""
    return [named(file) for file in plan.weights()]


def sample_slides():
    """Slides of the sheet that the workflow fetches itself."""
    paths = (sample.path for sample in plan.samples.values())
    return [named(path) for path in paths if weights.is_sample_slide(path)]


def still_to_fetch(files):
    """A pattern of the names of those files that are not there yet.

    What is there, put by hand or fetched before, has no rule: Snakemake might want to run it again (when its script is
    newer), and would then leave out all jobs that depend on it through ancient(). Jobs check what they use.
    """
    return any_of(Path(file).name for file in files if not exists(file))


def outlines_of(wildcards):
    """What the shards of a slide saw; or nothing, if its outlines come from elsewhere."""
    if plan.given(wildcards.slide):
        return []
    return gather.outlines(
        f"{RESULTS}/{wildcards.slide}/outlines/{{scatteritem}}.parquet"
    )


def objects_of(wildcards):
    """The outlines from elsewhere, if that is where they come from."""
    if not plan.given(wildcards.slide):
        return []
    return named(plan.sample(wildcards.slide).objects)


def truth_file(wildcards):
    with plainly():
        return named(plan.truth(wildcards.slide))


def classes_for(drawing):
    """What cells are called, if what is drawn of a slide needs to know."""
    return lambda wildcards: (
        plan.path(wildcards.slide, SlideFolder.labelled_cells)
        if draws_classes(getattr(plan.settings(wildcards.slide), drawing))
        else []
    )


def label_sources():
    """The files of each source of labels, as far as it has any for the slide."""
    return {
        name: lambda wildcards, find=find: find(plan, wildcards.slide)
        for name, find in wanted.LABELS.items()
    }


def parts_of(format):
    """What a format is made from besides the cells."""
    known = {
        "embedding": {
            "embeddings": made("embed", "embeddings"),
            "columns": made("embed", "columns"),
            "reduced": made("reduce", "umap"),
        },
        "tiles": {
            "tiles": made("filter_tiles", "tiles"),
            "pictures": made("export_tiles", "folder"),
        },
        "picture": {
            "slide": lambda wildcards: (
                slide_file(wildcards)
                if plan.settings(wildcards.slide).export["image"]
                else []
            )
        },
    }
    return {name: find for need in format.needs for name, find in known[need].items()}


def prompt_of(group):
    """The file that says what is asked about a group's clusters."""
    prompt = plan.settings(group).classify["prompt"]
    tissues = {plan.sample(member).tissue for member in plan.members(group)}
    folder = RULES_FOLDER and RULES_FOLDER.parent.parent / "resources/prompts"
    own = prompts.of_tissues(prompt, tissues, folder)
    return local(str(own)) if own else named(prompt)


def asked_for_as_well(wildcards):
    """What the other targets of this call ask for."""
    files = []
    for target in sorted({*workflow.dag_settings.targets} - {"cohort"}):
        known = workflow.is_rule(target)
        for one in workflow.get_rule(target).input if known else [target]:
            found = one(wildcards) if callable(one) else one
            files += [found] if isinstance(found, str) else found
    page = f"{RESULTS}/{ResultsFolder.cohort_page}"
    return [file for file in dict.fromkeys(files) if file != page]


# --- settings and facts ---


def section(name):
    """A section of the settings, so that a change reruns this stage and what follows."""
    return lambda wildcards: getattr(plan.settings(unit_of(wildcards)), name)


def of_segmentation(without):
    """The same of the segmentation, without what its model does not look at, and with the weights by name."""
    return lambda wildcards: {
        key: value
        for key, value in plan.segmentation(wildcards.slide).items()
        if key not in without
    }


def category(wildcards):
    """Where a picture stands in the report."""
    kinds = {"sweep": "Sweep", "groups": "Slides together"}
    return kinds.get(Path(unit_of(wildcards)).parts[0], "Slides")


def asks(stage):
    """What a stage's jobs ask for: memory, minutes, disk, and a GPU if it can use one; more with every attempt."""

    def need(resource):
        def ask(wildcards, threads, attempt):
            unit = {name: wildcards.get(name) for name in ("slide", "group")}
            return jobs.needs(
                plan, stage, resource, **unit, threads=threads, attempt=attempt
            )

        return ask

    wanted_gpus = {"gpu": lambda wildcards: jobs.gpus(plan, stage, unit_of(wildcards))}
    return {name: need(name) for name in RESOURCES} | (
        wanted_gpus if STAGES[stage].gpu else {}
    )


# --- how far it has come ---


def there(file):
    """Whether a file has been made."""
    return exists(relocated(file))


def finished_slides():
    return wanted.finished(plan, there)


def what_there_is(wildcards):
    """What a report shows. Snakemake itself would refuse one as long as one slide of hundreds has failed."""
    slides = finished_slides()
    if not slides:
        raise WorkflowError(
            f"there is nothing to report: no slide of {plan.config['slides']} is finished in {RESULTS_ON_DISK}/; run "
            "snakemake first"
        )
    if left_out := [slide for slide in plan.samples if slide not in slides]:
        logger.warning(
            f"not in the report, because they, or slides they are clustered with, are not finished: {', '.join(left_out)}"
        )
        # For its first page.
        config["left_out"] = ", ".join(left_out)
    return wanted.reported(plan, slides, there)


def results_folder():
    """Where the rules write, on this disk."""
    if plan.stored:
        raise WorkflowError(
            "status and the cohort page look at files on this disk, but the results go to a storage: see docs/cloud.md"
        )
    return RESULTS_ON_DISK


def described_units():
    return units.described(plan, results_folder())


def benchmark_files(wildcards):
    """Every file of times and memory, by slide or group, with the time it was written."""
    # With a storage, the copies on this disk.
    results = ResultsFolder(workflow.inputfile(RESULTS_ON_DISK))
    found = {
        name: {
            file.as_posix(): file.stat().st_mtime_ns
            for file in results.slide(name).benchmarks.glob("*.tsv")
        }
        for name in dict.fromkeys([*plan.samples, *plan.groups_in_run()])
    }
    if not any(found.values()):
        raise WorkflowError(
            f"no stage of any slide has been run in {RESULTS_ON_DISK}/: there is nothing to tabulate"
        )
    return found


def groups_of_finished(wildcards):
    """The group of every finished slide."""
    if slides := finished_slides():
        return {slide: plan.groups.of_slide(slide) for slide in slides}
    raise WorkflowError(
        f"no slide of {plan.config['slides']} is finished in {results_folder()}/, so there is nothing to show: run "
        "snakemake first (`snakemake status` says what is missing)"
    )


def newest_exports(wildcards):
    """The latest export of labels, of those finished slides that have one."""
    found = {slide: plan.newest_labels(slide) for slide in finished_slides()}
    return {slide: Path(file).name for slide, file in found.items() if file}


def unfinished_slides(wildcards):
    """What all other slides wait for, or why they failed; so that the page is made again for news."""
    return survey.unfinished(plan, results_folder(), {*finished_slides()})


wildcard_constraints:
    slide=A_SLIDE,
    group=GROUP,
