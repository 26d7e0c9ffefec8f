"""What is known of a slide without reading its pixels: it stands in the metadata of every table about it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace

from ..io import ClusterfirstError, read_metadata


@dataclass(frozen=True)
class SlideFacts:
    """What is known of a slide without reading its pixels.

    Attributes
    ----------
    path : str
    width, height : int
        Level-0 pixels.
    mpp : float
        µm per level-0 pixel.
    mpp_source : str
        ``given`` (by the user) or ``file``.
    objective : float or None
        Nominal magnification of the scanner's objective.
    vendor : str
        The format, as OpenSlide names it; ``image`` for a plain image, ``tiff`` for one that OpenSlide shows wrongly.
    bounds : tuple of int or None
        The scanned part as ``x, y, width, height`` in level-0 pixels, where it is not the whole.
    remarks : tuple of str
        What people should know of the file: of several images which is read, a doubt about µm per pixel.
    """

    path: str
    width: int
    height: int
    mpp: float
    mpp_source: str
    objective: float | None
    vendor: str
    bounds: tuple[int, int, int, int] | None = None
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(cls, path: str | os.PathLike) -> SlideFacts:
        """Read from a table of the workflow which slide it is about.

        Raises
        ------
        ClusterfirstError
            The table does not say.
        """
        return cls.told(read_metadata(path), path)

    @classmethod
    def told(cls, metadata: dict, path: str | os.PathLike) -> SlideFacts:
        """Take them from the metadata of a table, once these are read; see `of`."""
        try:
            facts = cls(**metadata["slide"])
            bounds = None if facts.bounds is None else tuple(facts.bounds)
            return replace(facts, bounds=bounds, remarks=tuple(facts.remarks))
        except (KeyError, TypeError) as error:
            raise ClusterfirstError(f"{path} does not say which slide it is about: run the workflow again") from error

    @property
    def origin(self) -> tuple[int, int]:
        """Where the scanned part begins, in level-0 pixels.

        QuPath shows that part only: what comes from there and goes there counts from here. Everything in our own tables
        counts from the corner of level 0.
        """
        return self.bounds[:2] if self.bounds else (0, 0)

    def document(self) -> dict:
        """Return them JSON-ready, without what there is nothing to say of."""
        said = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        silent = {"bounds": None, "remarks": []}
        return {name: said[name] for name in sorted(said) if name not in silent or said[name] != silent[name]}
