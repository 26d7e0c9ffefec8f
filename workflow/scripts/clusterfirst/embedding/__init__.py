"""Turn every cell into a row of numbers: the `Embedder` protocol and its backends; `walk` leads them over a slide."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Protocol

from ..backends import Backend
from ..fit import Fit
from ..io import ClusterfirstError
from .pathology import KNOWN

if TYPE_CHECKING:
    import geopandas
    import numpy as np

    from ..devices import Device
    from .crops import Patch

NAME = "{model}"
"""Weights called as the model is."""
_USUAL = ("imagenet", "pretrained")
"""What people call the weights that a library has for an architecture."""


def _crops(weights: str, *, core_seconds: float, gpu_seconds: float, memory: float) -> Backend:
    """A network that is shown crops, of 2048 columns."""
    fit = Fit(memory={"job": memory}, core_seconds={"kcrops": core_seconds}, gpu_seconds={"kcrops": gpu_seconds})
    return Backend("embedding.networks:Network", weights=weights, fit=fit, columns=2048)


def _tokens(weights: str, columns: int, *, core_seconds: float, gpu_seconds: float, memory: float) -> Backend:
    """A network that is shown whole tiles."""
    fit = Fit(
        memory={"job": memory}, core_seconds={"half_um_mpx": core_seconds}, gpu_seconds={"half_um_mpx": gpu_seconds}
    )
    return Backend("embedding.tokens:Tokens", weights=weights, fit=fit, columns=columns)


_UNMEASURED = _crops(NAME, core_seconds=200, gpu_seconds=15, memory=3000)

BACKENDS: Mapping[str, Backend] = {
    # What it needs is part of what any embedding does.
    "morphology": Backend("embedding.morphology:Morphology", columns=44),
    "instanseg": Backend(
        "embedding.instanseg:InstanSegEncoder",
        weights="instanseg",
        fit=Fit(memory={"job": 1000}, core_seconds={"half_um_mpx": 2.5}, gpu_seconds={"half_um_mpx": 0.15}),
        columns=256,
    ),
    "resnet50": _crops("imagenet", core_seconds=70, gpu_seconds=4, memory=1000),
    "tokens:tf_efficientnet_lite0": _tokens("efficientnet_lite0", 152, core_seconds=1.5, gpu_seconds=0.1, memory=700),
    **{
        f"tokens:{name}": _tokens(f"{name}.bin", known.columns, core_seconds=150, gpu_seconds=2, memory=6000)
        for name, known in KNOWN.items()
    },
    "tokens:*.pt": (_UNKNOWN_MAPS := _tokens("{name}", 384, core_seconds=40, gpu_seconds=2, memory=3000)),
    "tokens:*.ts": _UNKNOWN_MAPS,
    "tokens:*": _tokens("timm:{name}", 384, core_seconds=40, gpu_seconds=2, memory=3000),
    **dict.fromkeys(("torchvision:*", "timm:*", "*.pt", "*.ts", "*.onnx"), _UNMEASURED),
}
"""By the name that ``embedding.models`` has for them, or the pattern of such names; the first that fits counts."""


@dataclass(frozen=True)
class EmbeddingColumns:
    """What the columns of the written numbers are.

    Attributes
    ----------
    columns : list of str
        D names.
    models : list of dict
        One for each model, in the order of their columns: ``model`` (as it was asked for), ``columns`` (first, and
        one past the last), ``standardise`` (whether they need mean 0 and variance 1 before distances between rows mean
        anything) and ``weights_sha256`` (None for a model without weights).
    """

    columns: list[str]
    models: list[dict[str, Any]]


class Embedder(Protocol):
    """Turns cells into numbers, a patch at a time.

    A backend must fail when it is built, before a tile is read, if it cannot work with its settings.

    Parameters
    ----------
    model
        As it was asked for.
    weights
        Its file; None for a model without weights.
    device
        Where networks compute.
    histogram
        The slide's intensities, 3 × 256 (see `slide.tissue.histogram`); None: 0 to 255 as they are.
    settings
        The ``embedding`` section of the configuration.
    """

    columns: Sequence[str]
    """A name for each number."""
    standardise: bool
    """See `EmbeddingColumns`."""
    margin_um: float
    """How far beyond a cell's bounding box the backend looks."""
    cells_at_once: int | None
    """Views with more cells are handed over in parts; None: never."""

    def __init__(
        self,
        model: str,
        weights: str | os.PathLike | None,
        *,
        device: Device | None,
        histogram: np.ndarray | None,
        settings: Mapping[str, Any],
    ): ...

    def start(self, cells: geopandas.GeoDataFrame, out: np.ndarray, *, mpp: float) -> None:
        """Begin a slide.

        Parameters
        ----------
        cells
            All cells of the slide.
        out
            N × D, to be filled in the order of `cells`.
        mpp
            µm per level-0 pixel.
        """
        ...

    def prepare(self, view: Patch) -> Any:
        """Do what needs nothing but the view; called from several threads, ahead of `take`."""
        ...

    def take(self, rows: np.ndarray, prepared: Any) -> None:
        """Take what `prepare` returned for a view of these cells; called from one thread, in the order of the tiles."""
        ...

    def finish(self) -> None:
        """Every cell has been taken: fill what is still missing."""
        ...


def backend(model: str) -> Backend:
    """Return the backend of that name.

    Raises
    ------
    ClusterfirstError
        There is none.
    """
    for name, found in BACKENDS.items():
        if fnmatchcase(model, name):
            return found
    raise ClusterfirstError(f"embedding.models: {model} is no model: take one of {', '.join(BACKENDS)}")


def weights_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the names or paths of the weights that the ``embedding`` section asks for, by model.

    A model without weights is absent.
    """
    found = {}
    for model in settings["models"]:
        if usual := backend(model).weights:
            usual = usual.format(model=model, name=model.partition(":")[2])
            chosen = settings["weights"].get(model, usual)
            found[model] = usual if ":" in usual and chosen in _USUAL else chosen
    return found
