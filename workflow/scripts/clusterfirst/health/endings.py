"""Which jobs of a run failed for good, and why: what is said at its very end."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..plan.stages import CHAINS
from ..text import a_few
from . import causes

if TYPE_CHECKING:
    from ..plan.plan import Plan

# Snakemake passes on what the scheduler said of single jobs, but not of groups.
REFUSED = (
    "sbatch failed, or it never started: `snakemake --verbose` shows the command, try it by hand to see what it says"
)


class Failed(logging.Handler):
    """Remembers what Snakemake says of failed jobs: by job, those that failed with it, their logs, and the message.

    Not each that failed once has failed for good: it may have been tried again.

    Parameters
    ----------
    of_group, of_job
        What Snakemake marks such messages with.
    """

    def __init__(self, of_group: object, of_job: object):
        super().__init__()
        self._of_group, self._of_job = of_group, of_job
        self.jobs: dict[int, list[int]] = {}
        self.logs: dict[int, list[str]] = {}
        self.messages: dict[int, str | None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Take in a message."""
        event = getattr(record, "event", None)
        if event == self._of_group:
            together = [job["jobid"] for job in record.job_error_info]
            for jobid in together:
                self.jobs[jobid] = together
                self.logs[jobid] = list(filter(None, record.aux_logs))
                self.messages[jobid] = None if record.aux_logs else REFUSED
        # Snakemake goes on to list the jobs of a failed group one by one.
        elif event == self._of_job and not record.indent:
            self.jobs[record.jobid] = [record.jobid]
            self.logs[record.jobid] = list(record.log)
            self.messages[record.jobid] = record.rule_msg


def account(failed: Failed, dag: Any, plan: Plan, *, since: float) -> Iterator[str]:
    """Yield what is to be said: which slide failed in which stage, why, and where to read on.

    Parameters
    ----------
    failed
        What was heard.
    dag
        Snakemake's jobs: of it are asked `jobid`, `needrun_jobs`, `finished` and `dependencies`.
    plan
        The run.
    since
        When it began, in seconds since the epoch.
    """
    jobs = {dag.jobid(job): job for job in dag.needrun_jobs()}
    told = False
    for jobid, together in failed.jobs.items():
        if jobid not in jobs or dag.finished(jobs[jobid]):
            continue
        errors = {other: _error(jobs[other], since) for other in together}
        error, log = errors[jobid]
        alone = any(found for found, _ in errors.values())
        if not error and (alone or jobid not in _stopped_at(together, jobs, dag)):
            continue
        own = [log] if log else list(jobs[jobid].log)
        scheduler = [one for one in failed.logs[jobid] if one not in jobs[jobid].log]
        cause = error or causes.no_room(plan.results) or causes.why_stopped(scheduler, failed.messages[jobid])
        yield f"failed: {_described(jobs[jobid], log, plan)}: {cause}\n  log: {', '.join(map(str, [*own, *scheduler]))}"
        told = True
    if told:
        yield "Mend the cause, then start the same command again: what is done stays done."


def _error(job: Any, since: float) -> tuple[str | None, str | None]:
    """The last error that a job wrote in this run, and in which of its logs."""
    found = [(error, log) for log in job.log if (error := causes.last_error(log, since=since))]
    return found[-1] if found else (None, None)


def _stopped_at(together: Sequence[int], jobs: Mapping[int, Any], dag: Any) -> list[int]:
    """Of jobs that failed together, those that it can have been: without files, though all they depend on is there."""
    if len(together) == 1:
        return [*together]
    unmade = [jobid for jobid in together if not all(Path(file).exists() for file in jobs[jobid].output)]
    return [jobid for jobid in unmade if not any(jobs[other] in dag.dependencies[jobs[jobid]] for other in unmade)]


def _described(job: Any, log: str | None, plan: Plan) -> str:
    """A job in words: the slide or group that it concerns, and its stage (with the number of a shard)."""
    values, rule = list(job.wildcards), job.rule.name
    if rule == "fetch_weights":
        return f"{a_few(plan.slides_that_need(values[0]), most=5)} (fetch_weights {values[0]})"
    if rule in CHAINS and log:
        # Its log is called as that of a job which does nothing else.
        return f"{values[0]} ({Path(log).stem})"
    return f"{values[0]} ({'-'.join([rule, *values[1:]])})" if values else rule
