# What only Snakemake can know: where files lie, how a run begins and ends, and what went wrong in it.
import logging
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

from clusterfirst import text
from clusterfirst.health import causes, lock, machines
from clusterfirst.io import ClusterfirstError
from clusterfirst.paths import import_first
from clusterfirst.plan import verbatim
from clusterfirst.proposing import server

if RULES_FOLDER:
    import_first(RULES_FOLDER.parent / "scripts")

started = time.time()
# Where a path lies once Snakemake has put a module's prefix before it.
relocated = workflow.modifier.path_modifier.replace_prefix
IN_MODULE = relocated("results") != "results"
# Only then: with --report-after-run, the run comes first.
REPORTING = (
    any(word.split("=")[0] == "--report" for word in sys.argv)
    and "--report-after-run" not in sys.argv
)
# Snakemake passes on what the scheduler said of single jobs, but not of groups.
REFUSED = (
    "sbatch failed, or it never started: `snakemake --verbose` shows the command, "
    "try it by hand to see what it says"
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
    if left := machines.left_in_slurm(str(Path.cwd())):
        logger.warning(
            f"{len(left)} jobs that an earlier run of this folder sent are still in Slurm's queue, and what they do is "
            f"now done twice: wait for them and start again, or stop them with\n  scancel {' '.join(left)}"
        )


def announce_asking(plan):
    """Say where pictures will go; stop before anything is done if it would end at a missing key or model."""
    if workflow.touch:
        return
    groups = [
        job.wildcards.group
        for job in workflow.dag.needrun_jobs()
        if job.rule.name == "classify_clusters"
    ]
    receivers = set()
    for group in groups:
        settings = plan.settings(group).classify
        server.check(settings, os.environ)
        receivers.add(server.receivers(settings, os.environ))
    if groups:
        logger.warning(
            f"classify.per_cluster is not 0: pictures of the clusters of {len(groups)} slides or groups go to a model at "
            f"{'; '.join(sorted(receivers))}, unless its answers are known"
        )


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


class Failed(logging.Handler):
    """Remembers what Snakemake says of failed jobs: by job, those that failed with it, their logs, and the message.

    Not each that failed once has failed for good: it may have been tried again.
    """

    def __init__(self):
        super().__init__()
        self.jobs = {}
        self.logs = {}
        self.messages = {}

    def emit(self, record):
        event = getattr(record, "event", None)
        if event == LogEvent.GROUP_ERROR:
            together = [job["jobid"] for job in record.job_error_info]
            for jobid in together:
                self.jobs[jobid] = together
                self.logs[jobid] = list(filter(None, record.aux_logs))
                self.messages[jobid] = None if record.aux_logs else REFUSED
        # Snakemake goes on to list the jobs of a failed group one by one.
        elif event == LogEvent.JOB_ERROR and not record.indent:
            self.jobs[record.jobid] = [record.jobid]
            self.logs[record.jobid] = list(record.log)
            self.messages[record.jobid] = record.rule_msg


failed = Failed()
logger.addHandler(failed)


def report_failures(plan):
    """Say at the very end which slide failed in which stage, why, and where to read on."""
    jobs = {workflow.dag.jobid(job): job for job in workflow.dag.needrun_jobs()}
    told = False
    for jobid, together in failed.jobs.items():
        if jobid not in jobs or workflow.dag.finished(jobs[jobid]):
            continue
        errors = {
            other: causes.last_error(log, since=started)
            for other in together
            for log in jobs[other].log
        }
        error = errors.get(jobid)
        if not error and (
            any(errors.values()) or jobid not in stopped_at(together, jobs)
        ):
            continue
        own = list(jobs[jobid].log)
        scheduler = [log for log in failed.logs[jobid] if log not in own]
        cause = (
            error
            or causes.no_room(plan.results)
            or causes.why_stopped(scheduler, failed.messages[jobid])
        )
        logger.error(
            f"failed: {described(jobs[jobid], plan)}: {cause}\n  log: {', '.join(map(str, [*own, *scheduler]))}"
        )
        told = True
    if told:
        logger.error(
            "Mend the cause, then start the same command again: what is done stays done."
        )


def stopped_at(together, jobs):
    """Of jobs that failed together, those that it can have been: their files are not there, but all they depend on is."""
    if len(together) == 1:
        return together
    unmade = [
        jobid
        for jobid in together
        if not all(Path(file).exists() for file in jobs[jobid].output)
    ]
    return [
        jobid
        for jobid in unmade
        if not any(
            jobs[other] in workflow.dag.dependencies[jobs[jobid]] for other in unmade
        )
    ]


def described(job, plan):
    """A job in words: the slide or group that it concerns, and its rule (with the number of a shard)."""
    values = list(job.wildcards)
    if job.rule.name == "fetch_weights":
        waiting = text.a_few(plan.slides_that_need(values[0]), most=5)
        return f"{waiting} (fetch_weights {values[0]})"
    return (
        f"{values[0]} ({'-'.join([job.rule.name, *values[1:]])})"
        if values
        else job.rule.name
    )
