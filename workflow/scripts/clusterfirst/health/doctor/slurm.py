"""Whether Slurm answers, what GPUs its partitions have, and how to ask for them."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterator

from .findings import Finding, tried_command

_GRES = re.compile(r"gpu(?::(?P<type>[^:,()\d][^:,()]*))?:(?P<count>\d+)")


def slurm(wanted: str | bool = "auto", *, needed: bool = False) -> Iterator[Finding]:
    """Look at Slurm, if its commands are here.

    Parameters
    ----------
    wanted
        `gpu` of the config.
    needed
        Whether jobs are to go there: what is wrong with Slurm is a problem then, and else a note.
    """
    wrong = "problem" if needed else "note"
    if not shutil.which("sinfo"):
        if needed:
            yield Finding("problem", "Slurm", "not on this machine", "start snakemake on a login node of the cluster")
        else:
            yield Finding("ok", "Slurm", "not on this machine: jobs run here")
        return
    answer = tried_command(["sinfo", "--noheader", "--format=%R|%a|%l|%D|%G"])
    if answer.why:
        advice = "ask whoever runs the cluster, or try another login node; runs on this machine alone do not need it"
        yield Finding(wrong, "Slurm", f"it does not answer: {answer.why}", advice)
        return
    rows = [line.strip().split("|") for line in answer.output.splitlines() if line.count("|") == 4]
    up = [row for row in rows if row[1] == "up"]
    if not up:
        yield Finding(wrong, "Slurm", "it answers, but has no partition that is up", "ask whoever runs the cluster")
        return
    names = ", ".join(dict.fromkeys(f"{name} (limit {limit})" for name, _, limit, _, _ in up))
    yield Finding("ok", "Slurm", f"partitions {names}")
    yield from _gpus(up, wanted)
    yield from _plugin(wrong)
    yield from _accounting()


def _gpus(rows: list[list[str]], wanted: str | bool) -> Iterator[Finding]:
    having = {name: _GRES.findall(gres) for name, _, _, _, gres in rows if _GRES.search(gres)}
    if not having:
        advice = "set `gpu: false` in the config, or its jobs wait for ever"
        yield Finding(
            "ok" if wanted is False else "note",
            "Slurm's GPUs",
            "no partition has any",
            "" if wanted is False else advice,
        )
        return
    kinds = sorted({kind for found in having.values() for kind, _ in found if kind})
    of_kind = f" ({', '.join(kinds)})" if kinds else ""
    text = f"in {', '.join(having)}{of_kind}. {_directive(kinds)}"
    yield Finding("ok", "Slurm's GPUs", text)


def _directive(kinds: list[str]) -> str:
    """How jobs ask for a GPU here: `--gpus` needs the newer selection plugin."""
    config = tried_command(["scontrol", "show", "config"])
    chosen = re.search(r"^SelectType\s*=\s*(\S+)", config.output, flags=re.M)
    kind = f":{kinds[0]}" if kinds else ""
    if chosen and not chosen[1].endswith("cons_tres"):
        return f"With {chosen[1]} jobs ask by `gres`, e.g. gres=gpu{kind}:1"
    model = f", and `gpu_model` for a kind, e.g. gpu_model={kinds[0]}" if kinds else ""
    return f"Jobs ask by `gpu`, as the rules do{model}"


def _plugin(wrong: str) -> Iterator[Finding]:
    if importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        yield Finding("ok", "executor plugin", "snakemake-executor-plugin-slurm is installed")
    else:
        advice = (
            "set the environment up again (README, 'Quick start'), or `pip install snakemake-executor-plugin-slurm`"
        )
        yield Finding(wrong, "executor plugin", "snakemake-executor-plugin-slurm is not installed", advice)


def _accounting() -> Iterator[Finding]:
    """Without a database of jobs Snakemake has to ask the queue what became of them."""
    if not shutil.which("sacct"):
        why = "there is no command sacct"
    else:
        why = tried_command(["sacct", "--allocations", "--noheader", "--starttime=now-1minutes"]).why
    if why:
        advice = "put `slurm-status-command: squeue` into the profile"
        yield Finding("note", "Slurm's accounting", f"it does not answer: {why}", advice)
    else:
        yield Finding("ok", "Slurm's accounting", "it answers")
