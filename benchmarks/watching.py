"""What a command costs from its start to its end: seconds, and the memory of its processes together."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from scale import held

EVERY = 0.2
"""Seconds between two looks at the memory."""


@dataclass(frozen=True)
class Cost:
    """Wall seconds, peak MiB (proportional set sizes, summed), and how it ended: empty, or why not well."""

    seconds: float
    mb: float
    ended: str = ""


def watch(command: list, log: Path, *, timeout: float, cwd: Path | None = None) -> Cost:
    """Run a command with its output in `log`; end it, and all that it started, after `timeout` seconds."""
    log.parent.mkdir(parents=True, exist_ok=True)
    peak, ended, start = 0, "", time.perf_counter()
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            [str(part) for part in command], stdout=out, stderr=subprocess.STDOUT, cwd=cwd, start_new_session=True
        )
        try:
            tree = psutil.Process(process.pid)
            while process.poll() is None:
                peak = max(peak, held(tree))
                if time.perf_counter() - start > timeout:
                    ended = f"more than {timeout:,.0f} s"
                    break
                time.sleep(EVERY)
            seconds = time.perf_counter() - start
        finally:
            with suppress(ProcessLookupError):  # its group, for it may have left workers behind
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if not ended and process.returncode:
        ended = f"failed with {process.returncode}"
    return Cost(seconds, peak / 2**20, ended)
