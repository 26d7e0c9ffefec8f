"""Things made by hand, as far as tests need them."""

import numpy as np
import shapely

from clusterfirst.clustering import palette
from clusterfirst.clustering.clusters import NO_TYPICAL
from clusterfirst.clustering.document import Clustering, Counts, Entry
from clusterfirst.clustering.tree import Tree
from clusterfirst.slide.facts import SlideFacts


def slide_facts(**changes) -> SlideFacts:
    """Facts of a slide of 1000 × 800 px at 0.5 µm/px, but for what is changed."""
    usual = {"path": "slide.svs", "width": 1000, "height": 800, "mpp": 0.5, "mpp_source": "given"}
    return SlideFacts(**usual | {"objective": None, "vendor": "aperio"} | changes)


def clustering(
    cluster_id,
    confidence=None,
    *,
    leaf_id=None,
    colours=None,
    representatives=None,
    settings=None,
    tree=None,
    groups=None,
) -> Clustering:
    """Clusters of some cells; each is its own leaf, and without representatives, unless it is said otherwise."""
    cluster_id = np.asarray(cluster_id, int)
    count = int(cluster_id.max(initial=-1)) + 1
    confidence = np.ones(len(cluster_id)) if confidence is None else np.asarray(confidence, float)
    own = [cluster_id == number for number in range(count)]
    entries = [
        Entry(
            number,
            int(own[number].sum()),
            colours[number] if colours else palette.colour(number),
            float(confidence[own[number]].mean()) if own[number].any() else None,
            [number],
            list((representatives or {}).get(number, [])),
        )
        for number in range(count)
    ]
    return Clustering(
        settings={
            "method": "kmeans",
            "scope": "slide",
            "groups": groups,
            "representatives": NO_TYPICAL,
            **(settings or {}),
        },
        counts=Counts.of(cluster_id, count, 0),
        entries=entries,
        tree=tree or _chain(np.array([entry.size for entry in entries], int)),
        groups=groups,
        cell_id=np.arange(len(cluster_id)),
        cluster_id=cluster_id,
        leaf_id=cluster_id if leaf_id is None else np.asarray(leaf_id, int),
        confidence=confidence,
    )


def _chain(sizes: np.ndarray) -> Tree:
    """The tree in which leaf 1 joins leaf 0, and each further one all before it."""
    rows = range(len(sizes) - 1)
    joined = [len(sizes) + row - 1 if row else 0 for row in rows]
    merges = [(one, row + 1, row + 1.0, sizes[: row + 2].sum()) for row, one in zip(rows, joined, strict=True)]
    return Tree(sizes, np.array(merges, float).reshape(-1, 4))


def cell_grid(edge: int, *, step: int, size: float) -> np.ndarray:
    """Squares in rows and columns, as ``shapely.Polygon``: the middle of the first is at half a step."""
    x, y = (axis.ravel() for axis in np.meshgrid(*[np.arange(step / 2, edge, step)] * 2))
    return shapely.box(x - size / 2, y - size / 2, x + size / 2, y + size / 2)


def geojson_feature(shape, name: str | None, kind: str = "annotation") -> dict:
    """An object of QuPath, with a class or without."""
    properties = {"objectType": kind} | ({"classification": {"name": str(name)}} if name is not None else {})
    return {"type": "Feature", "geometry": shapely.geometry.mapping(shape), "properties": properties}
