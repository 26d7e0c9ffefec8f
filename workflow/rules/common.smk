# The sample sheet, the settings of each slide, and what rules ask of them.
import importlib.util
import sys
import time
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

# Of this file: workflow.basedir is, in a module, that of the workflow around it.
HERE = workflow.current_basedir
if HERE.is_local:
    rules_folder = Path(HERE.get_path_or_uri(secret_free=True))
    sys.path.insert(0, str(rules_folder.parent / "scripts"))
try:
    import clusterfirst
except ModuleNotFoundError as error:
    raise WorkflowError(
        f"the package clusterfirst is not beside the workflow ({HERE}) and not installed: let `snakefile:` of the module "
        "name a clone on this machine, or install the package from the same commit"
    ) from error

from clusterfirst import weights as registry
from clusterfirst.plan import settings as book
from clusterfirst.plan import trials as sweeps
from clusterfirst.io import ClusterfirstError

started = time.time()
# What a finished slide consists of. All of it is asked for, so that a deleted file is made again.
CONTRACT = """
    tiles.parquet filtered.parquet filtered.png masks.parquet failed_tiles.csv embeddings.npy embeddings.json
    umap.npy umap2d.npy reduction.json clusters.json clusters.png annotated settings.yaml
""".split()
# Settings that only Cellpose knows.
CELLPOSE = {
    "flow_threshold",
    "cellprob_threshold",
    "diameter",
    "resample",
    "min_size",
    "batch_size",
}
# Settings of the segmentation that concern what the tiles saw together, not what each of them sees.
SETTLING = {"min_area_um2", "seams", "seam_overlap", "max_failed_tiles", "shards"}


def read_schema(name):
    with workflow.sourcecache.open(HERE.join(f"../schemas/{name}.schema.yaml")) as file:
        return yaml.safe_load(file)


SCHEMA = read_schema("config")


def is_there(path):
    """Whether a file of the sheet is there or will be; only the process that plans looks.

    Each job on a cluster reads the sheet again. A slide that has vanished must fail its own jobs, not everybody's.
    """
    # Snakemake itself looks for what lies in storage, and for all of it at once.
    return (
        not workflow.is_main_process
        or in_storage(path)
        or Path(path).is_file()
        or registry.is_sample_slide(path)
    )


def validated():
    """Return config with defaults, and samples by slide; report every problem of both at once."""
    problems = [f"config: {line}" for line in book.check_config(config, SCHEMA)]
    full = book.merge(book.defaults(SCHEMA), config)
    samples = []
    if isinstance(full["slides"], str):
        try:
            samples = book.read_sheet(
                full["slides"],
                read_schema("slides"),
                exists=is_there,
            )
        except ClusterfirstError as error:
            problems.append(str(error))
    if problems:
        raise WorkflowError("\n".join(problems))
    warn_of_unused_tissues(full, samples)
    return full, {sample.slide: sample for sample in samples}


def warn_of_unused_tissues(full, samples):
    """A misspelt tissue would silently do nothing."""
    present = {sample.tissue for sample in samples}
    for name in set(full["tissues"] or {}) - present:
        has = ", ".join(sorted(filter(None, present))) or "none"
        logger.warning(
            f"config: tissues.{name} concerns no slide; tissues in the sheet: {has}"
        )


def fetched_weights(settings):
    """The names of the weights that can be fetched."""
    named = {
        name
        for stage in registry.weights_names(settings).values()
        for name in stage.values()
    }
    return {name for name in named if registry.is_asset(name)}


CONFIG, SAMPLES = validated()
# As Path writes it: ./results would be another file to Snakemake than results, and no size of it would be known.
RESULTS = Path(CONFIG["results"]).as_posix()
RESULTS_ON_DISK = relocated(RESULTS)
STORED = in_storage(f"{RESULTS}/")
MODELS_DIR = CONFIG["models_dir"].rstrip("/")


def made(section, file):
    """An input function: a file that a section's stage makes of the slide, by whichever trial first made it."""
    return lambda wildcards: at(section, wildcards.slide, file)


def at(section, folder, file):
    """Where a file of a slide or group lies that depends on no section after that one."""
    trial, name = trial_and_name(folder)
    return f"{RESULTS}/{folder_at(section, trial)}{name}/{file}"


def stage(name):
    """A params function: one stage's settings for the slide or group, so that a change reruns this stage and what follows."""
    return lambda wildcards: settings_of(wildcards.get("slide") or wildcards.group)[
        name
    ]


def segmentation(without):
    """The same for the segmentation, without what its model does not look at, and with the weights by name."""

    def get(wildcards):
        settings = settings_of(wildcards.slide)
        names = registry.weights_names(settings).get("segmentation", {})
        used = settings["segmentation"] | {
            "weights": names.get(settings["segmentation"]["model"])
        }
        hidden = without | (CELLPOSE if used["model"] != "cellpose" else set())
        return {key: value for key, value in used.items() if key not in hidden}

    return get


def slide_file(wildcards):
    return named(sample_of(wildcards.slide).path)


def weights_of(name):
    """An input function: the weights files of a stage."""

    def find(wildcards):
        files = weights_files(name, wildcards).values()
        # Weights are known by their hash: a newer time stamp of the same file is no reason to segment again.
        return [ancient(named(file)) for file in files]

    return find


def weights_files(name, wildcards):
    """The weights files of a stage, by model."""
    names = registry.weights_names(settings_of(wildcards.slide)).get(name, {})
    return {
        model: str(registry.weights_file(weights, MODELS_DIR))
        for model, weights in names.items()
    }


def needed_weights():
    """Every weights file that this run needs and that can be fetched."""
    names = set().union(*map(fetched_weights, all_settings()))
    files = sorted(str(registry.weights_file(name, MODELS_DIR)) for name in names)
    return [named(file) for file in files]


def still_to_fetch(files):
    """A pattern of the names of those files that are not there yet.

    What is there, put by hand or fetched before, has no rule: Snakemake might want to run it again (when its script is
    newer), and would then leave out all jobs that depend on it through ancient(). Jobs check what they use.
    """
    return any_of(Path(file).name for file in files if not exists(file))


def exported_tiles(wildcards):
    """An input function: the folders of plain tiles, of slides that want them."""
    return [
        f"{RESULTS}/{slide}/tiles"
        for slide in SAMPLES
        if settings_of(slide)["tiling"]["export"]
    ]


def files_of(slides):
    """All that is made of some slides."""
    wanted = []
    for slide in slides:
        wanted += [f"{RESULTS}/{slide}/{file}" for file in CONTRACT]
    return [*wanted, *export_files(slides)]


def whole_run(wildcards):
    """An input function, not a list: jobs on a cluster parse the workflow, too, and want one slide's files only."""
    return [*files_of(SAMPLES), *label_files(SAMPLES), *proposal_files()]


def every_slide(*files):
    """An input function: those files of every slide."""
    return lambda wildcards: [
        f"{RESULTS}/{slide}/{file}" for slide in SAMPLES for file in files
    ]


def outlines_of(wildcards):
    """What the shards of a slide saw; or nothing, if its outlines come from elsewhere."""
    if settings_of(wildcards.slide)["segmentation"]["model"] == "precomputed":
        return []
    return gather.outlines(
        f"{RESULTS}/{wildcards.slide}/outlines/{{scatteritem}}.parquet"
    )


def objects_of(wildcards):
    """The outlines from elsewhere, if that is where they come from."""
    given = settings_of(wildcards.slide)["segmentation"]["model"] == "precomputed"
    return named(sample_of(wildcards.slide).objects) if given else []


def truth_file(wildcards):
    truth = sample_of(wildcards.slide).truth
    if not truth:
        raise WorkflowError(
            f"slide {wildcards.slide} has no truth: name its file in column 'truth' of {CONFIG['slides']}"
        )
    return named(truth)


def slides_with_truth(file, but=()):
    """An input function, so that a sheet without truths is an error only to those who ask for scores."""

    def find(wildcards):
        known = [
            slide
            for slide, sample in SAMPLES.items()
            if sample.truth and not sample.truth.lower().endswith(but)
        ]
        if not known:
            kinds = (
                "outlines that people drew (QuPath GeoJSON, GeoParquet or label images)"
                if but
                else "what people drew or named (QuPath GeoJSON, GeoParquet, CSV of points, classes by cell id)"
            )
            raise WorkflowError(
                f"no slide has a truth to be scored against: name files of {kinds} in column 'truth' of {CONFIG['slides']}"
            )
        return [f"{RESULTS}/{slide}/{file}" for slide in known]

    return find


def gpus(stage_name):
    """A resource function: one GPU for a backend that can use it, unless the config says never."""

    def count(wildcards):
        settings = settings_of(wildcards.slide)
        return int(
            stage_name in registry.weights_names(settings)
            and settings["gpu"] is not False
        )

    return count


# Looked for once: it searches the disk.
CUML_IS_HERE = importlib.util.find_spec("cuml") is not None


def rapids_gpus(wildcards):
    """A resource function: one GPU for what cuML can compute, if it is installed here and the config does not say never."""
    return int(CUML_IS_HERE and CONFIG["gpu"] is not False)


def category(wildcards):
    """Where a picture stands in the report."""
    folder = wildcards.get("slide") or wildcards.group
    kinds = {"sweep": "Sweep", "groups": "Slides together"}
    return kinds.get(Path(folder).parts[0], "Slides")


def hold_results():
    """Keep other runs out of the results folder for as long as this process lives.

    The operating system drops this lock however the run ends. Snakemake's own (switched off by `nolock` in the
    profiles) stays behind after kill -9 or a power cut and refuses the next run until somebody unlocks by hand.
    """
    Path(RESULTS_ON_DISK).mkdir(parents=True, exist_ok=True)
    global results_lock
    results_lock = open(f"{RESULTS_ON_DISK}/.lock", "a")
    try:
        flock_soon(results_lock)
    except BlockingIOError:
        raise WorkflowError(
            f"another run is at work in {RESULTS_ON_DISK}/: wait for it, or set another `results` folder"
        )
    except OSError as error:
        logger.warning(
            f"{RESULTS_ON_DISK}/ lies on a file system without locks ({error}): start one run at a time"
        )
    record_run(results_lock)


def flock_soon(file, attempts=5):
    """Lock a file; `status` holds its lock for an instant, so ask more than once."""
    import fcntl

    for left in reversed(range(attempts)):
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not left:
                raise
            time.sleep(0.1)


def record_run(file):
    """Say for `status` who holds the lock, and since when (the time of the file); until this process ends well."""
    import atexit
    import os
    import socket

    file.truncate(0)
    file.write(f"{socket.gethostname()}, process {os.getpid()}\n")
    file.flush()
    atexit.register(file.truncate, 0)
