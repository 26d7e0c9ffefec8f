# The plan of the run as rules take it: functions of wildcards for input, params and resources, and nothing else.
import atexit
from functools import partial

import yaml
from clusterfirst import segmentation, weights
from clusterfirst.export import FORMATS, PICTURE
from clusterfirst.health import survey
from clusterfirst.plan import checks, jobs, small, units, wanted
from clusterfirst.plan.contents import UNTOLD, Contents
from clusterfirst.plan.groups import A_SLIDE, any_of
from clusterfirst.plan.layout import ResultsFolder, SlideFolder
from clusterfirst.plan.outside import Outside
from clusterfirst.plan.plan import Plan
from clusterfirst.plan.resources import RESOURCES
from clusterfirst.plan.stages import CHAINS, NEEDED_FILES, SHARD, STAGES, stages_of
from clusterfirst.plan.targets import Targets
from clusterfirst.proposing import prompts
from clusterfirst.reports import costs
from clusterfirst.small import handing_out
from snakemake.io import IOFile, flag, is_flagged


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
        chains=CHAINED,
    )
for warning in checks.unused_tissues(plan):
    logger.warning(warning)
RESULTS, MODELS_DIR = plan.results, plan.models_dir
RESULTS_ON_DISK = relocated(RESULTS)
SHARING_SLIDE, GROUP = plan.groups.patterns


targets = Targets(workflow, WorkflowError)


def unit_of(wildcards):
    """The slide or group that a job is of."""
    return wildcards.get("slide") or wildcards.group


# --- files ---


def slide_file(wildcards):
    return named_as_it_is(plan.sample(wildcards.slide).path)


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


def of_found(find, stage, key):
    """That file of every slide that is found so in the plan."""
    return every(lambda plan: [plan.at(stage, slide, key) for slide in find(plan)])


def learnt_of_members(wildcards):
    """What an atlas says of every slide of the group, if only what is new to it is clustered."""
    of_novel = plan.settings(wildcards.group).of_novel
    return of_members("apply_atlas", "learnt")(wildcards) if of_novel else []


def slides_of_members(wildcards):
    return [
        named_as_it_is(plan.sample(member).path)
        for member in plan.members(wildcards.group)
    ]


def every(find):
    """What is wanted of the whole run: not a list, for jobs on a cluster parse the workflow, too, and want one slide's."""

    def ask(wildcards):
        with plainly():
            return find(plan)

    return targets.together(ask)


def every_slide(*files):
    """Those files of every slide."""
    return lambda wildcards: [
        plan.path(slide, file) for slide in plan.samples for file in files
    ]


def every_group(stage, key):
    """That file of every group, outside of any trial."""
    return lambda wildcards: [plan.at(stage, one, key) for one in plan.groups_in_run()]


def weights_of(section):
    """The weights of a section's networks; known by their hash, so that a newer time stamp is no reason to begin again."""
    return lambda wildcards: [
        ancient(named_as_it_is(file))
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

    What is there has no rule: Snakemake might want to run it again (when its script is newer), and would then leave out
    all jobs that depend on it through ancient(). Jobs check what they use.
    """
    return any_of(Path(file).name for file in files if not exists(file))


def outlines_of(wildcards):
    """What the shards of a slide saw; or nothing, if its outlines come from elsewhere."""
    pattern = f"{RESULTS}/{wildcards.slide}/outlines/{{scatteritem}}.parquet"
    return [] if plan.given(wildcards.slide) else gather.outlines(pattern)


def objects_of(wildcards):
    """The outlines from elsewhere, if that is where they come from."""
    if not plan.given(wildcards.slide):
        return []
    return named_as_it_is(plan.sample(wildcards.slide).objects)


def truth_file(wildcards):
    with plainly():
        return named_as_it_is(plan.truth(wildcards.slide))


def classes_for(drawing):
    """What cells are called, if what is drawn of a slide needs to know."""
    return lambda wildcards: wanted.classes(plan, wildcards.slide, drawing) or []


def label_sources():
    """The files of each source of labels, as far as it has any for the slide."""
    from_outside = STAGES["label_cells"].outside

    def of_source(name):
        files = lambda wildcards: wanted.LABELS[name](plan, wildcards.slide)
        return by_content("label_cells", files) if name in from_outside else files

    return {name: of_source(name) for name in wanted.LABELS}


def parts_of(name):
    """What a format is made from besides the cells."""
    needs = FORMATS[name].needs
    needed = [NEEDED_FILES.get(need, {}) for need in needs]
    files = {name: made(*where) for part in needed for name, where in part.items()}
    slide = by_content(f"export_{name}", pictured_slide)
    return files | ({"slide": slide} if PICTURE in needs else {})


def pictured_slide(wildcards):
    """The slide, if its picture is wanted beside its cells."""
    pictured = plan.settings(wildcards.slide).export["image"]
    return slide_file(wildcards) if pictured else []


def atlas_file(wildcards):
    """The atlas that is asked about a slide. It is learnt in runs that are asked to, and no others."""
    atlas = plan.settings(wildcards.slide).apply["atlas"]
    if atlas == wanted.own_atlas(plan) and not (learns() or exists(named(atlas))):
        raise WorkflowError(
            f"there is no atlas {atlas} yet: run `snakemake learn` first"
        )
    return named_as_it_is(atlas)


def learns():
    """Whether this call is asked to learn; jobs on a cluster are told what they are to do."""
    # The rules are read before Snakemake says what its targets are.
    asked = {"learn", wanted.own_atlas(plan)} & {*sys.argv}
    return not workflow.is_main_process or bool(asked)


def atlas_to_learn():
    """The atlas of this run, and its page."""
    return [wanted.own_atlas(plan), wanted.atlas_page(plan)]


def slides_that_teach(wildcards):
    with plainly():
        slides = wanted.teaching_slides(plan)
    return [ancient(named_as_it_is(plan.sample(slide).path)) for slide in slides]


def learnable():
    """Names of atlases that can be learnt; that which labels slides of this run, only if that is asked for."""
    own = wanted.own_atlas(plan)
    applied = any(settings.apply["atlas"] == own for settings in plan.every_settings())
    return any_of([]) if applied and not learns() else "[^/]+"


def prompt_file(group):
    """The file that says what is asked about a group's clusters."""
    prompt = plan.settings(group).classify["prompt"]
    tissues = {plan.sample(member).tissue for member in plan.members(group)}
    folder = RULES_FOLDER and RULES_FOLDER.parent.parent / "resources/prompts"
    return str(prompts.of_tissues(prompt, tissues, folder) or prompt)


def prompt_of(wildcards):
    return named_as_it_is(prompt_file(wildcards.group))


def asked_for_as_well(*pages):
    """What the other targets of this call ask for, other than pages that tell of it (names of rules)."""
    return lambda wildcards: targets.beside(pages, wildcards)


# --- files from outside ---

contents = Contents(Path(".snakemake/contents.json").absolute())
if workflow.is_main_process:
    atexit.register(contents.save)


def kept_params(stage, unit, shard):
    """The params that Snakemake kept of a job; None if it did not run, or nobody knows."""
    first = next(iter(STAGES[stages_of(stage)[0]].files.values()))
    shard = shard or f"1-of-{plan.config['segmentation']['shards']}"
    output = relocated(plan.path(unit, first.replace(SHARD, shard)))
    return None if plan.stored else workflow.persistence.params(IOFile(output, None))


from_outside = Outside(plan, contents, kept_params, prompt_file, in_storage)


def job_of(stage, wildcards):
    return stage, unit_of(wildcards), wildcards.get("scatteritem")


def by_content(stage, find):
    """Files from outside that a stage takes; once their content is known, when they were written does not matter."""

    def ask(wildcards):
        found = find(wildcards)
        if not found or is_flagged(found, "storage_object"):
            return found
        known = from_outside.is_known(*job_of(stage, wildcards))
        return ancient(found) if known else found

    return ask


def contents_of(stage):
    """What the files from outside hold that a stage reads, so that it is done again when that changes, and only then."""
    looks = workflow.is_main_process and not plan.stored
    return lambda wildcards: (
        from_outside.param(*job_of(stage, wildcards)) if looks else UNTOLD
    )


# --- settings and facts ---


def section(name):
    """A section of the settings, so that a change reruns this stage and what follows."""
    return lambda wildcards: getattr(plan.settings(unit_of(wildcards)), name)


def of_segmentation(without):
    """The same of the segmentation, without what its model does not look at, and with the weights by name."""
    return lambda wildcards: plan.segmentation(wildcards.slide, without=without)


def given(wildcards):
    """How outlines from elsewhere are taken, if that is where they come from."""
    return section("given")(wildcards) if plan.given(wildcards.slide) else {}


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
        wanted_gpus if jobs.uses_gpu(stage) else {}
    )


# --- small images ---


def alone_in(stage, usual):
    """What a wildcard may be where a stage stands alone, as usual; but no slide that goes through it in a chain."""
    return small.patterns(plan, [one for one in CHAINS if stage in CHAINS[one]], usual)[
        1
    ]


def read_by(chain):
    """What the stages of a chain read and do not make."""
    weights_files = lambda wildcards: [
        ancient(named_as_it_is(file))
        for file in small.weights(plan, chain, wildcards.slide)
    ]
    made_before = lambda wildcards: small.made_before(plan, chain, wildcards.slide)
    slide = by_content(chain, slide_file)
    return {"slide": slide, "weights": weights_files, "made": made_before}


def made_by(chain):
    """What the stages of a chain make, as their own rules say it."""
    files = {}
    for stage in CHAINS[chain]:
        for key, file in workflow.get_rule(stage).output.items():
            name = STAGES[stage].files[key].replace(SHARD, small.ONLY_SHARD)
            made = f"{RESULTS}/{{slide}}/{name}"
            for word, value in file.flags.items():
                in_report = word == "report"
                value = value._replace(subcategory="{slide}") if in_report else value
                made = flag(made, word, value)
            files[f"{stage}_{key}"] = made
    return files


def threads_of_small_images():
    """Images side by side are faster than threads. On a cluster, nobody knows how many cores there are."""
    cores = workflow.resource_settings.cores or 1
    return max(1, min(8, cores // max(1, len(plan.small))))


def hand_out_chains(plan):
    """Write down what chains are to be done, for whichever process does them."""
    asked = {one: [job.slide for job in to_be_done(one)] for one in CHAINS}
    handing_out.hand_out(
        plan, asked, lambda chain, slide: from_outside.param(chain, slide, None)
    )


# --- how far it has come ---


def there(file):
    """Whether a file has been made."""
    return exists(relocated(file))


def of_finished(find):
    """What is to be known of the slides that are finished, or of all others."""
    return every(lambda plan: find(plan, wanted.finished(plan, there)))


def what_there_is(wildcards):
    """What a report shows. Snakemake itself would refuse one as long as one slide of hundreds has failed."""
    slides = wanted.finished(plan, there)
    with plainly():
        files = wanted.reported(plan, slides, there)
    if left_out := [slide for slide in plan.samples if slide not in slides]:
        logger.warning(
            f"not in the report, because they, or slides they are clustered with, are not finished: {', '.join(left_out)}"
        )
        # For its first page.
        config["left_out"] = ", ".join(left_out)
    return files


def benchmark_files(wildcards):
    """Every file of times and memory, by slide or group, with the time it was written."""
    # With a storage, the copies on this disk.
    folder = workflow.inputfile(RESULTS_ON_DISK)
    units = dict.fromkeys([*plan.samples, *plan.groups_in_run()])
    with plainly():
        return costs.files(folder, units, results=RESULTS_ON_DISK)


wildcard_constraints:
    slide=A_SLIDE,
    group=GROUP,
