"""Files with all cells of a slide, for other tools: one module per format, and here what planning must know of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from ..fit import Fit

EMBEDDING, TILES, PICTURE = "embedding", "tiles", "picture"
"""What a format may need besides the cells: their numbers; the tiles and their pictures; the slide, if it is wished."""


@dataclass(frozen=True)
class Source:
    """What a format is made from.

    Attributes
    ----------
    slide : str
        Its name.
    cells : pathlib.Path
        ``cells.parquet``.
    parts : Mapping of str to pathlib.Path
        The files that the format needs besides: ``embeddings``, ``columns`` and ``reduced`` (`EMBEDDING`), ``tiles``
        (`TILES`: ``filtered.parquet``), ``slide`` (`PICTURE`; absent where no picture is wished).
    threads : int
    """

    slide: str
    cells: Path
    parts: Mapping[str, Path] = field(default_factory=dict)
    threads: int = 1


@dataclass(frozen=True)
class Format:
    """A format. Its module has ``export(source: Source, to)``, which writes atomically.

    Attributes
    ----------
    title : str
        What people call it.
    module : str
        Of this package.
    file : str
        What it is called in the folder of the slide.
    fit : Fit
        What a job needs.
    needs : tuple of str
        Of `EMBEDDING`, `TILES` and `PICTURE`.
    threads : int
        That it makes use of.
    folder : bool
        Whether it is a folder.
    """

    title: str
    module: str
    file: str
    fit: Fit
    needs: tuple[str, ...] = ()
    threads: int = 1
    folder: bool = False

    def write(self, source: Source, to: str | Path) -> None:
        """Write the cells in this format."""
        import_module(f".{self.module}", __name__).export(source, to)


FORMATS: Mapping[str, Format] = {
    "qupath": Format(
        "QuPath",
        "qupath",
        "cells.geojson.gz",
        Fit(
            memory={"job": 200, "threads": 50, "kcells": 0.2},
            seconds={"job": 10},
            core_seconds={"kcells": 0.05},
            disk={"job": 10, "kcells": 0.6},
        ),
        threads=2,
    ),
    "h5ad": Format(
        "AnnData",
        "h5ad",
        "cells.h5ad",
        Fit(
            memory={"job": 300, "kcells": 1, "mvalues": 4},
            seconds={"job": 20, "kcells": 0.05, "mvalues": 0.05},
            disk={"job": 10, "kcells": 1, "mvalues": 8},
        ),
        needs=(EMBEDDING,),
    ),
    "spatialdata": Format(
        "SpatialData",
        "spatial",
        "cells.zarr",
        Fit(
            memory={"job": 500, "kcells": 3, "mvalues": 8, "pictured_mm2": 1},
            seconds={"job": 60, "kcells": 0.1, "mvalues": 0.1, "pictured_mm2": 3},
            disk={"job": 20, "kcells": 2, "mvalues": 8, "pictured_mm2": 65, "slide_mb": 1},
        ),
        needs=(EMBEDDING, PICTURE),
        threads=2,
        folder=True,
    ),
    "csv": Format(
        "CSV",
        "table",
        "cells.csv",
        Fit(
            memory={"job": 200, "kcells": 0.1},
            seconds={"job": 10, "kcells": 0.05},
            disk={"job": 10, "kcells": 0.6},
        ),
    ),
    "coco": Format(
        "COCO",
        "coco",
        "cells.coco.json",
        Fit(
            memory={"job": 250, "kcells": 0.2, "mpx": 0.01},
            seconds={"job": 10, "kcells": 0.1},
            disk={"job": 10, "kcells": 1.2},
        ),
        needs=(TILES,),
    ),
    "paper": Format(
        "the paper's form",
        "paper",
        "final_annotations.json",
        Fit(
            memory={"job": 250, "kcells": 1.2},
            seconds={"job": 10, "kcells": 0.1},
            disk={"job": 10, "kcells": 1.2},
        ),
        needs=(TILES,),
    ),
}
"""By the name that ``export.formats`` has for them. All are made from ``cells.parquet``, which is a format too."""
