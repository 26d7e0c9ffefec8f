"""Tiles that could not be read: told, and no more of them than the user allows."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ..io import ClusterfirstError


def failed_tiles(tiles: pd.DataFrame, by_rule: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """Return the tiles that could not be read.

    Parameters
    ----------
    tiles
        See `grid.grid`.
    by_rule
        For each rule that read tiles, why it could not, by ``tile_id``.

    Returns
    -------
    pandas.DataFrame
        ``tile_id``, core ``x, y, width, height`` (level-0 px), ``rule`` and ``reason``.
    """
    rows = [(tile_id, rule, reason) for rule, why in by_rule.items() for tile_id, reason in why.items()]
    failed = pd.DataFrame(rows, columns=["tile_id", "rule", "reason"])
    return tiles[["tile_id", "x", "y", "width", "height"]].merge(failed, on="tile_id")


def check(failed: pd.DataFrame, *, tiles: int, share: float) -> None:
    """Raise if more than `share` of the slide's `tiles` failed."""
    if len(failed) > share * tiles:
        some = ", ".join(failed["tile_id"][:5]) + (" …" if len(failed) > 5 else "")
        raise ClusterfirstError(
            f"{len(failed)} of {tiles} tiles cannot be read ({some}), more than `segmentation.max_failed_tiles` "
            f"({share:g}) allows. The first: {failed['reason'].iloc[0]}. All are in the log. If that is the best there "
            "is of this slide, allow more under `tissues:` (for all slides, all would be embedded again); the other "
            "tiles are outlined already"
        )
