"""What a table says about where it was made."""

import datetime
import os
import platform
from pathlib import Path


def machine(gpu: str = "no GPU used") -> str:
    """One line: date, processor, cores, memory, Python, GPU."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{datetime.date.today()}, {cpu}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}, {gpu}"
    )
