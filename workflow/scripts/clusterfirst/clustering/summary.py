"""What stands for the clusters of a slide: the fewest tiles that show them all, and a summary of each."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd

from . import set_cover
from .document import Clustering

log = logging.getLogger(__name__)

MEASURES = ("area_um2", "major_um", "minor_um", "eccentricity", "circularity", "solidity")
"""Whose medians are told of each cluster."""
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Tiles:
    """The tiles that show all clusters.

    Attributes
    ----------
    tile_id : list of str
        Those chosen.
    at_least : int
        Fewer tiles than these cannot show all clusters.
    """

    tile_id: list[str]
    at_least: int


def fewest_tiles(typical: pd.DataFrame) -> Tiles:
    """Choose the fewest tiles that together hold a typical cell of every cluster.

    Of as few tiles, those with more, and surer, typical cells.

    Parameters
    ----------
    typical
        Typical cells, from `gallery.typical_cells`.
    """
    if typical.empty:
        return Tiles([], 0)
    held = pd.crosstab(typical["tile_id"], typical["cluster_id"]) > 0
    worth = typical.groupby("tile_id")["confidence"].sum().reindex(held.index)
    found = set_cover.fewest(held.to_numpy(), worth.to_numpy())
    if not found.fewest:
        log.warning("%d tiles show all clusters; %d might do, but time ran out", len(found.chosen), found.at_least)
    return Tiles(held.index[found.chosen].tolist(), found.at_least)


def summary(
    slide: str, clusters: Clustering, cells: pd.DataFrame, typical: pd.DataFrame, tiles: Tiles, pictures: dict
) -> dict:
    """Return what is known of each cluster on a slide, JSON-ready.

    Parameters
    ----------
    slide
        Its name.
    clusters
        Its clusters.
    cells
        The rows of ``masks.parquet``.
    typical
        Typical cells, from `gallery.typical_cells`.
    tiles
        From `fewest_tiles`.
    pictures
        File of each cluster's gallery, by cluster.
    """
    count, cluster_id, confidence = len(cells), clusters.cluster_id, clusters.confidence
    on_tiles = typical[typical["tile_id"].isin(tiles.tile_id)]
    shows = on_tiles.groupby("tile_id")["cluster_id"].unique()
    shown_on = on_tiles.groupby("cluster_id")["tile_id"].unique()
    return {
        "clusterfirst": "representatives",
        "version": 1,
        "slide": slide,
        "cells": count,
        "settings": clusters.settings["representatives"],
        "tiles": {
            "fewest": len(tiles.tile_id) == tiles.at_least,
            "at_least": tiles.at_least,
            "chosen": [{"tile_id": tile, "clusters": sorted(map(int, shows[tile]))} for tile in tiles.tile_id],
        },
        "clusters": [
            {
                "id": entry.id,
                "colour": entry.colour,
                "size": entry.size,
                "share": round(entry.size / count, 6) if count else 0.0,
                **_described(cells[cluster_id == entry.id], confidence[cluster_id == entry.id]),
                "representatives": entry.representatives,
                "tiles": sorted(shown_on.get(entry.id, [])),
                "gallery": pictures.get(entry.id),
            }
            for entry in clusters.entries
        ],
    }


def _described(cells: pd.DataFrame, confidence: np.ndarray) -> dict:
    """Confidence and measures of a cluster's cells; null without cells."""
    if not len(cells):
        return {"confidence": None, "median": None}
    quantiles = {f"q{round(100 * q):02d}": _number(np.quantile(confidence, q)) for q in _QUANTILES}
    return {
        "confidence": {"mean": _number(confidence.mean()), **quantiles},
        "median": {name: _number(cells[name].median()) for name in MEASURES},
    }


def _number(value: float) -> float | None:
    # What cannot be measured is not a number, which JSON does not know.
    return float(f"{value:.4g}") if np.isfinite(value) else None
