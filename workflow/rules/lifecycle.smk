# What only Snakemake can know: where files lie, how a run begins and ends, and what went wrong in it.
import os
import sys
import time
from pathlib import Path

from snakemake import io, pathvars
from snakemake.exceptions import WorkflowError
from snakemake_interface_logger_plugins.common import LogEvent

# Of this file: workflow.basedir is, in a module, that of the workflow around it.
HERE = workflow.current_basedir
# This folder, if it lies on this disk.
RULES_FOLDER = Path(HERE.get_path_or_uri(secret_free=True)) if HERE.is_local else None
if RULES_FOLDER:
    sys.path.insert(0, str(RULES_FOLDER.parent / "scripts"))
try:
    import clusterfirst
except ModuleNotFoundError as error:
    raise WorkflowError(
        f"the package clusterfirst is not beside the workflow ({HERE}) and not installed: let `snakefile:` of the module "
        "name a clone on this machine, or install the package from the same commit"
    ) from error

from clusterfirst.health import endings, lock, machines
from clusterfirst.io import ClusterfirstError
from clusterfirst.paths import import_first
from clusterfirst.plan import asking, verbatim

if RULES_FOLDER:
    import_first(RULES_FOLDER.parent / "scripts")

started = time.time()
# Where a path lies once Snakemake has put a module's prefix before it.
relocated = workflow.modifier.path_modifier.replace_prefix
IN_MODULE = relocated("results") != "results"
# One job can do several stages if it can start them all: their scripts lie on this disk, and what it is to do is written
# as the run begins, which modules are not told.
CHAINED = bool(RULES_FOLDER) and workflow.modifier.is_main_snakefile()
PYTHON = "python" if workflow.deployment_settings.deployment_method else sys.executable
# Only then: with --report-after-run, the run comes first.
REPORTING = (
    any(word.split("=")[0] == "--report" for word in sys.argv)
    and "--report-after-run" not in sys.argv
)


# --- storage ---


def in_storage(path):
    """Whether a file that the user names lies elsewhere: a URL, or below the prefix of the default storage."""
    elsewhere = workflow.storage_settings.default_storage_provider is not None
    return "://" in path or (elsewhere and not Path(path).is_absolute())


def named(path):
    """A file that the user names, as rules take it. Absolute paths are files on disk, whatever the storage."""
    if "://" in path:
        return storage(path)
    if IN_MODULE and not in_storage(path):
        # Its prefix is for results: what people name stays where it is.
        path = os.path.abspath(path)
    return local(path) if Path(path).is_absolute() else path


SEARCHERS = [(io, "apply_wildcards"), (pathvars.Pathvars, "apply")]


def named_as_it_is(path):
    """The same of one file, whatever its name holds."""
    if verbatim.is_odd(path):
        path = os.path.abspath(path) if IN_MODULE else path
        verbatim.take(path, SEARCHERS)
    return named(path)


def look_for_folders_again():
    """Have Snakemake see folders that a job made elsewhere.

    The plugin for S3 (0.3.6) looks for a folder once, before it is made, and then fails the finished job for it.
    """
    if workflow.storage_settings.default_storage_provider == "s3":
        from snakemake_storage_plugin_s3 import StorageObject

        StorageObject.is_dir = lambda self: any(self.get_subkeys())


look_for_folders_again()


# --- the beginning ---


def only_status():
    """Whether this snakemake is only asked how things stand: it does not need the results for itself."""
    return set(workflow.dag_settings.targets) == {"status"}


def begin(plan):
    """Keep other runs out, say what will leave the machine, and what an earlier run left at work."""
    global results_lock
    with plainly():
        results_lock = lock.hold(relocated(plan.results))
        announce_asking(plan)
    hand_out_chains(plan)
    if left := machines.left_in_slurm(str(Path.cwd())):
        logger.warning(
            f"{len(left)} jobs that an earlier run of this folder sent are still in Slurm's queue, and what they do is "
            f"now done twice: wait for them and start again, or stop them with\n  scancel {' '.join(left)}"
        )


def to_be_done(rule):
    """The wildcards of the jobs of a rule in this run."""
    return [
        job.wildcards for job in workflow.dag.needrun_jobs() if job.rule.name == rule
    ]


def announce_asking(plan):
    """Say where pictures will go; stop before anything is done if it would end at a missing key or model."""
    groups = (
        [] if workflow.touch else [one.group for one in to_be_done("classify_clusters")]
    )
    if groups:
        logger.warning(asking.announcement(plan, groups, os.environ))


class plainly:
    """What the library says of a person's mistakes, as Snakemake says it: without where in the code that was."""

    def __enter__(self):
        pass

    def __exit__(self, kind, error, trace):
        if isinstance(error, ClusterfirstError):
            raise WorkflowError(str(error)) from None


def let_vanished_slides_fail_alone():
    """Let a job start though its input is gone, so that it fails by itself, and says why.

    Where Snakemake itself runs the jobs, it would end the whole run over it, and with it the jobs of all other slides.
    """
    from snakemake import jobs

    wait = getattr(jobs, "wait_for_files", None)
    if wait is None:
        # Another version of Snakemake: it does as it does.
        return

    async def wait_and_go_on(files, **options):
        try:
            await wait(files, **options)
        except OSError as error:
            logger.error(str(error))

    jobs.wait_for_files = wait_and_go_on


let_vanished_slides_fail_alone()


# --- the end ---


failed = endings.Failed(LogEvent.GROUP_ERROR, LogEvent.JOB_ERROR)
logger.addHandler(failed)


def report_failures(plan):
    """Say at the very end which slide failed in which stage, why, and where to read on."""
    for line in endings.account(failed, workflow.dag, plan, since=started):
        logger.error(line)
