# The sample sheet, the settings of each slide, and what rules ask of them.
import sys
import time
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from clusterfirst import models as registry
from clusterfirst import settings as book
from clusterfirst.io import ClusterfirstError

SLIDES_DIR = "resources/slides"
started = time.time()
# What a finished slide consists of. All of it is asked for, so that a deleted file is made again.
CONTRACT = """
    tiles.parquet filtered.parquet filtered.png masks.parquet embeddings.npy embeddings.json
    umap.npy umap2d.npy clusters.json k_distance.png annotated settings.yaml
""".split()
STAGES = "tile filter_tiles export_tiles segment embed reduce cluster annotate".split()


def read_schema(name):
    return yaml.safe_load(
        (Path(workflow.basedir) / "schemas" / f"{name}.schema.yaml").read_text("utf-8")
    )


SCHEMA = read_schema("config")


def is_sample_slide(path):
    """Whether the workflow itself can fetch that slide."""
    return path in {f"{SLIDES_DIR}/{name}" for name in registry.SLIDES}


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
                exists=lambda path: Path(path).is_file() or is_sample_slide(path),
            )
        except ClusterfirstError as error:
            problems.append(str(error))
    if not problems:
        problems = missing_weights(full, samples)
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


def weights_names(settings):
    """The weights that a slide's settings ask for, by stage; an embedder without weights asks for none."""
    return {
        name: settings[name]["weights"]
        for name in ("segmentation", "embedding")
        if settings[name]["model"] != "morphology"
    }


def missing_weights(full, samples):
    """Weights that are neither registered nor a file."""
    named = {}
    for tissue in dict.fromkeys(sample.tissue for sample in samples):
        named |= weights_names(book.resolve(full, SCHEMA, tissue))
    return [
        f"config: {key}.weights: no file {name}, and no weights of that name (known: {', '.join(registry.WEIGHTS)})"
        for key, name in named.items()
        if name not in registry.WEIGHTS and not Path(name).is_file()
    ]


CONFIG, SAMPLES = validated()
RESULTS = CONFIG["results"].rstrip("/")
MODELS_DIR = CONFIG["models_dir"].rstrip("/")


wildcard_constraints:
    slide="|".join(map(re.escape, SAMPLES)),


def settings_of(slide):
    """All settings that hold for a slide."""
    return book.resolve(CONFIG, SCHEMA, SAMPLES[slide].tissue)


def stage(name):
    """A params function: one stage's settings for the slide, so that a change reruns this stage and what follows."""
    return lambda wildcards: settings_of(wildcards.slide)[name]


def slide_file(wildcards):
    return SAMPLES[wildcards.slide].path


def weights_of(name):
    """An input function: the weights file of a stage, if it has weights."""

    def find(wildcards):
        weights = weights_names(settings_of(wildcards.slide)).get(name)
        # Weights are known by their hash: a newer time stamp of the same file is no reason to segment again.
        return (
            ancient(str(registry.weights_file(weights, MODELS_DIR))) if weights else []
        )

    return find


def needed_weights():
    """Every registered weights file that this run needs."""
    names = {
        name for slide in SAMPLES for name in weights_names(settings_of(slide)).values()
    }
    return sorted(
        str(registry.weights_file(name, MODELS_DIR))
        for name in names & set(registry.WEIGHTS)
    )


def exported_tiles():
    """Folders of exported tiles, for slides that want them."""
    wanted = [slide for slide in SAMPLES if settings_of(slide)["tiling"]["export"]]
    return expand(f"{RESULTS}/{{slide}}/tiles", slide=wanted)


def gpus(stage_name):
    """A resource function: one GPU for a backend that can use it, unless the config says never."""

    def count(wildcards):
        settings = settings_of(wildcards.slide)
        return int(
            stage_name in weights_names(settings) and settings["gpu"] is not False
        )

    return count


def report_failures():
    """Say at the very end which slide failed in which stage, why, and where to read on."""
    for slide in SAMPLES:
        for name in STAGES:
            log = Path(f"{RESULTS}/{slide}/logs/{name}.log")
            if log.exists() and log.stat().st_mtime >= started:
                errors = [
                    line
                    for line in log.read_text("utf-8").splitlines()
                    if " ERROR " in line
                ]
                if errors:
                    logger.error(
                        f"failed: {slide} ({name}): {errors[-1].split(' ERROR ', 1)[1]}\n  log: {log}"
                    )


def hold_results():
    """Keep other runs out of the results folder for as long as this process lives.

    The operating system drops this lock however the run ends. Snakemake's own (switched off by `nolock` in the
    profiles) stays behind after kill -9 or a power cut and refuses the next run until somebody unlocks by hand.
    """
    import fcntl

    Path(RESULTS).mkdir(parents=True, exist_ok=True)
    global results_lock
    results_lock = open(f"{RESULTS}/.lock", "w")
    try:
        fcntl.flock(results_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise WorkflowError(
            f"another run is at work in {RESULTS}/: wait for it, or set another `results` folder"
        )
    except OSError as error:
        logger.warning(
            f"{RESULTS}/ lies on a file system without locks ({error}): start one run at a time"
        )
