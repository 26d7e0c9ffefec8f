"""What work costs per unit of what it works on: memory, time and disk, as stages, backends and formats state them.

A scheduler is asked for sums of these (see `plan.resources`); measurements stand in benchmarks/resources.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields


@dataclass(frozen=True)
class Fit:
    """What something needs per unit (see `plan.resources.units`; ``job`` counts once).

    Attributes
    ----------
    memory : dict
        MB.
    seconds : dict
        That more threads do not shorten.
    core_seconds : dict
        That all threads share.
    gpu_seconds : dict
        That are spent instead of `core_seconds` where there is a GPU.
    disk : dict
        MB: what is written, and what is read and may have to be brought to the node first.
    """

    memory: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    core_seconds: Mapping[str, float] = field(default_factory=dict)
    gpu_seconds: Mapping[str, float] = field(default_factory=dict)
    disk: Mapping[str, float] = field(default_factory=dict)

    @property
    def units(self) -> set[str]:
        """What it is stated per."""
        return {unit for one in fields(self) for unit in getattr(self, one.name)}
