"""What has been found so far, as a table that is whole at any moment."""

import json
import os
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from .meter import Meter
from .scale import Scale


@dataclass
class Row:
    """A row of the first table; None: not measured, or means nothing here."""

    network: str
    shown: str
    at_once: int | str
    unit: str
    per_s: float
    s_per_mm2: float | None
    tflops: float | None
    share: float | None
    gpu: float | None
    cores: float
    memory_gb: float
    at_work: float | None = None


@dataclass
class Report:
    """What has been found so far, and how much time is left.

    Attributes
    ----------
    ends : float
        When all must be over, as `time.monotonic` counts.
    """

    out: Path
    device: torch.device
    scale: Scale
    rehearsal: bool
    threads: int
    ends: float
    bf16: float = 0.0
    facts: str = ""
    rows: list[Row] = field(default_factory=list)
    same: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def say(self, text: str) -> None:
        """Tell whoever watches, with the time."""
        print(f"[{time.monotonic() - self._began:6.1f} s, {self.left:4.0f} s left] {text}", flush=True)

    @property
    def left(self) -> float:
        return self.ends - time.monotonic()

    def add(self, row: Row) -> None:
        """Keep a row."""
        self.rows.append(row)
        self.say(" | ".join(_cells(row)))

    def rate(
        self, network: str, shown: str, at_once, unit: str, count: int, meter: Meter, *, mm2=None, work=None, **more
    ):
        """Keep what was measured: `count` units in the meter's time, each of `mm2` and of `work` operations."""
        per_s = count / meter.seconds
        tflops = None if work is None else per_s * work / 1e12
        self.add(
            Row(
                network,
                shown,
                at_once,
                unit,
                per_s,
                None if not mm2 else 1 / (per_s * mm2),
                tflops,
                None if tflops is None else tflops / self.bf16,
                meter.gpu,
                meter.cores,
                meter.memory / 1e9,
                **more,
            )
        )

    def write(self) -> None:
        """Write table and rows, whole or not at all."""
        with self._writing:
            rows = {"rows": [asdict(row) for row in self.rows], "same": self.same, "bf16_tflops": self.bf16}
            for name, text in (("gpu.md", self._table()), ("gpu.json", json.dumps(rows, indent=1, ensure_ascii=False))):
                part = self.out / f".{name}.part"
                part.write_text(text + "\n", encoding="utf-8")
                os.replace(part, self.out / name)

    def _table(self) -> str:
        lines = ["# Networks on a GPU", ""]
        if self.rehearsal:
            lines += [
                f"**A rehearsal on {self.threads} CPU cores: no GPU has run this yet.** It shows that the script runs "
                "where only the packages of the GPU's machine are, and what is brought. Its sizes are tiny, and their "
                "numbers mean nothing.",
                "",
            ]
        lines += [self.facts, "", "| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
        lines += ["| " + " | ".join(_cells(row)) + " |" for row in self.rows]
        lines += ["", WHAT_IT_SAYS, "", "| network | compared | with | agreement |", "|---|---|---|---|"]
        lines += ["| " + " | ".join(row) + " |" for row in self.same]
        lines += ["", *(f"- {note}" for note in self.notes)]
        lines += [f"- **Not measured:** {what}" for what in self.missing]
        return "\n".join(lines)


COLUMNS = (
    "network",
    "shown",
    "at once",
    "a second",
    "s/mm²",
    "TFLOP/s",
    "of the bf16 ceiling",
    "GPU at work",
    "host cores busy",
    "memory, GB",
    "network at work",
)


WHAT_IT_SAYS = (
    "`a second` and what follows from it count from the first call of a network on. `network at work` is the share "
    "that the library's pipeline logs, of its whole time: in a job of its own, with the start of its processes. "
    "`memory` is the most that torch had allocated on a GPU; on a CPU, what all processes held."
)


def _cells(row: Row) -> tuple[str, ...]:
    def share(value: float | None) -> str:
        return "" if value is None else f"{value:.0%}"

    return (
        row.network,
        row.shown,
        str(row.at_once),
        f"{row.per_s:,.3g} {row.unit}" if row.per_s < 100 else f"{row.per_s:,.0f} {row.unit}",
        "" if row.s_per_mm2 is None else f"{row.s_per_mm2:.3g}",
        "" if row.tflops is None else f"{row.tflops:.3g}",
        share(row.share),
        share(row.gpu),
        f"{row.cores:.1f}",
        f"{row.memory_gb:.1f}",
        share(row.at_work),
    )
