"""The scripts of stages, one after the other in a process: told what Snakemake would tell them, measured as it would.

A stage is its script, whoever runs it: nothing of what stages do stands here.
"""

from __future__ import annotations

import os
import resource
import runpy
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ..io import AWAITED, atomic
from ..io import log as package_log

SCRIPTS = Path(__file__).parents[2]


class Named(dict):
    """Values by name, also as attributes; as Snakemake's lists, it goes through values."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __iter__(self) -> Iterator:
        return iter(self.values())


def run(stage: Mapping[str, Any], *, log: str, threads: int) -> None:
    """Run a stage; what went wrong stands in its log, as if the stage were alone.

    Parameters
    ----------
    stage
        ``name``, ``input``, ``output``, ``params`` and ``wildcards`` (by name), ``benchmark`` (a path).
    log, threads
        For the stage.

    Raises
    ------
    Exception
        Whatever the script raises.
    """
    job = SimpleNamespace(
        **{key: Named(stage[key]) for key in ("input", "output", "params", "wildcards")},
        log=[log],
        threads=threads,
    )
    # Of an earlier attempt: Snakemake removes it, too.
    Path(stage["benchmark"]).unlink(missing_ok=True)
    try:
        with _measured(stage["benchmark"]):
            runpy.run_path(str(SCRIPTS / f"{stage['name']}.py"), init_globals={"snakemake": job}, run_name="__main__")
    except BaseException:
        # `log_to` has set it: the log of the stage gets what it would get if the process ended here.
        sys.excepthook(*sys.exc_info())
        raise
    package_log.info(AWAITED)


@contextmanager
def _measured(path: str) -> Iterator[None]:
    """Write down what the block took, in the form of Snakemake's ``benchmark`` directive, if it ends well."""
    _forget_peak()
    begun, cpu, of_children = time.monotonic(), _cpu_seconds(), _children().ru_utime
    yield
    seconds, cpu = time.monotonic() - begun, _cpu_seconds() - cpu
    # The largest child that ever ended, if any did: none is larger.
    memory = _peak_mb() + (_in_mb(_children().ru_maxrss) if _children().ru_utime > of_children else 0)
    hours, rest = divmod(round(seconds), 3600)
    row = {
        "s": f"{seconds:.4f}",
        "h:m:s": f"{hours}:{rest // 60:02}:{rest % 60:02}",
        "max_rss": f"{memory:.2f}",
        **dict.fromkeys(("max_vms", "max_uss", "max_pss", "io_in", "io_out"), "NA"),
        "mean_load": f"{100 * cpu / max(seconds, 1e-9):.2f}",
        "cpu_time": f"{cpu:.2f}",
    }
    with atomic(path) as part:
        part.write_text("\t".join(row) + "\n" + "\t".join(row.values()) + "\n", encoding="utf-8")


def _cpu_seconds() -> float:
    return sum(os.times()[:4])


def _forget_peak() -> None:
    """Have Linux count the most memory that the process has held from now on."""
    # Where that fails, it is the most that it has held at any time.
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_mb() -> float:
    """The most memory that this process has held, in MB."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
    except (OSError, StopIteration):
        return _in_mb(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _children() -> resource.struct_rusage:
    return resource.getrusage(resource.RUSAGE_CHILDREN)


def _in_mb(ru_maxrss: int) -> float:
    """As Snakemake counts them, 1,048,576 bytes; macOS gives bytes, others kilobytes."""
    return ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
