"""Where pictures of clusters will go, which is said before the first of them goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..proposing import server

if TYPE_CHECKING:
    from .plan import Plan


def announcement(plan: Plan, groups: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return to whom pictures of the clusters of some groups go.

    Raises
    ------
    ClusterfirstError
        It would end at a missing key or model.
    """
    receivers = set()
    for group in groups:
        settings = plan.settings(group).classify
        server.check(settings, environment)
        receivers.add(server.receivers(settings, environment))
    return (
        f"classify.per_cluster is not 0: pictures of the clusters of {len(groups)} slides or groups go to a model at "
        f"{'; '.join(sorted(receivers))}, unless its answers are known"
    )
