# What went wrong in a run, in a few words at its end.
import logging
import shutil
import subprocess

from clusterfirst.health import causes as failures
from snakemake_interface_logger_plugins.common import LogEvent

# Snakemake passes on what the scheduler said of single jobs, but not of groups.
REFUSED = (
    "sbatch failed, or it never started: `snakemake --verbose` shows the command, "
    "try it by hand to see what it says"
)


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


def report_failures():
    """Say at the very end which slide failed in which stage, why, and where to read on."""
    jobs = {workflow.dag.jobid(job): job for job in workflow.dag.needrun_jobs()}
    told = False
    for jobid, together in failed.jobs.items():
        if jobid not in jobs or workflow.dag.finished(jobs[jobid]):
            continue
        errors = {
            other: failures.last_error(log, since=started)
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
            or failures.no_room(RESULTS)
            or failures.why_stopped(scheduler, failed.messages[jobid])
        )
        logger.error(
            f"failed: {described(jobs[jobid])}: {cause}\n  log: {', '.join(map(str, [*own, *scheduler]))}"
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


def described(job):
    """A job in words: the slide or group that it concerns, and its rule (with the number of a shard)."""
    values = list(job.wildcards)
    if job.rule.name == "fetch_weights":
        waiting = [
            slide
            for slide in SAMPLES
            if values[0] in map(file_of_weights, fetched_weights(settings_of(slide)))
        ]
        more = ", …" if len(waiting) > 5 else ""
        return f"{', '.join(waiting[:5])}{more} (fetch_weights {values[0]})"
    return (
        f"{values[0]} ({'-'.join([job.rule.name, *values[1:]])})"
        if values
        else job.rule.name
    )


def file_of_weights(name):
    return registry.weights_file(name, MODELS_DIR).name


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


def warn_of_orphans():
    """Jobs go on in Slurm when the snakemake that sent them was killed; this run would send them once more."""
    if not shutil.which("squeue"):
        return
    listed = subprocess.run(
        ["squeue", "--me", "--noheader", "--format=%i|%k|%Z"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    rows = [line.split("|", 2) for line in listed.splitlines() if line.count("|") >= 2]
    here = str(Path.cwd())
    # The executor writes what a job is for into its comment.
    left = [
        job for job, what, folder in rows if what.startswith("rule_") and folder == here
    ]
    if left:
        logger.warning(
            f"{len(left)} jobs that an earlier run of this folder sent are still in Slurm's queue, and what they do is "
            f"now done twice: wait for them and start again, or stop them with\n  scancel {' '.join(left)}"
        )
