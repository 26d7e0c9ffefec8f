"""What a results folder holds that can be labelled: groups of cells clustered together, and their slides."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from ...clustering.document import Clustering
from ...io import ClusterfirstError, read_json
from ...plan.layout import RESERVED, ResultsFolder, SlideFolder
from ...slide.facts import SlideFacts


@dataclass(frozen=True)
class SlideInfo:
    """A slide of the results: where its cells and its pixels are.

    Attributes
    ----------
    id : str
        Its name, and that of its folder.
    folder : SlideFolder
    facts : SlideFacts
        As the workflow knew them; its path is relative to where that ran.
    cells : int
    """

    id: str
    folder: SlideFolder
    facts: SlideFacts
    cells: int


@dataclass(frozen=True)
class GroupInfo:
    """Cells clustered together, not read yet: what can be told at once.

    Attributes
    ----------
    id : str
        Folder below the results: the slide's, or ``groups/<name>``.
    folder : SlideFolder
    slides : tuple of SlideInfo
        Members, in the order of the rows.
    cells, clusters : int
    """

    id: str
    folder: SlideFolder
    slides: tuple[SlideInfo, ...]
    cells: int
    clusters: int

    @property
    def name(self) -> str:
        """What people are shown."""
        return self.id.rpartition("/")[2]

    @property
    def starts(self) -> list[int]:
        """Each slide's first row, and after them the number of rows."""
        return [0, *np.cumsum([slide.cells for slide in self.slides]).tolist()]

    def spans(self) -> Iterator[tuple[SlideInfo, slice]]:
        """Yield each slide and its rows."""
        for slide, start, end in zip(self.slides, self.starts, self.starts[1:], strict=False):
            yield slide, slice(start, end)


@dataclass(frozen=True)
class Results:
    """A results folder.

    Attributes
    ----------
    folder : pathlib.Path
        Without symlinks.
    groups : dict of str to GroupInfo
    slides : dict of str to SlideInfo
    left_out : dict of str to str
        Folders that could not be offered, and why.
    """

    folder: Path
    groups: dict[str, GroupInfo]
    slides: dict[str, SlideInfo]
    left_out: dict[str, str]


def open_results(folder: str | os.PathLike) -> Results:
    """Find what can be labelled in a results folder. Cells are not read yet.

    Only what lies in the folder counts: symlinks that lead out of it are left out. Trials of sweeps are not offered.

    Raises
    ------
    ClusterfirstError
        There is no such folder, nothing in it is finished, or it is the folder of one slide or group.
    """
    root = Path(folder).resolve()
    if not root.is_dir():
        raise ClusterfirstError(f"results folder {folder}: no such folder. Give the `results` folder of a run")
    _is_above_slides(root, folder)
    slides, groups, left_out = {}, {}, {}
    for name, place in _folders(root, left_out):
        try:
            slides[name] = _slide(root, name, place)
        except ClusterfirstError as error:
            left_out[name] = str(error)
    of_groups = _folders(ResultsFolder(root).groups, left_out, f"{ResultsFolder.groups}/", root)
    for name, place in [*_folders(root, left_out), *of_groups]:
        try:
            if group := _group(root, name, place, slides):
                groups[name] = group
        except ClusterfirstError as error:
            left_out.setdefault(name, str(error))
        except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
            left_out.setdefault(name, f"its files cannot be read ({error!r}): run the workflow again")
    if not groups:
        why = "".join(f"\n  {name}: {reason}" for name, reason in sorted(left_out.items()))
        raise ClusterfirstError(f"nothing in {root} is ready to be labelled: run the workflow to its end first{why}")
    return Results(root, groups, slides, left_out)


def _is_above_slides(root: Path, given: str | os.PathLike) -> None:
    folder = SlideFolder(root)
    if not folder.cells.is_file() and not folder.clusters.is_file():
        return
    what, above = ("group", root.parent.parent) if root.parent.name == ResultsFolder.groups else ("slide", root.parent)
    shown = above if Path(given).is_absolute() else os.path.relpath(above)
    raise ClusterfirstError(
        f"{given} is the folder of one {what}. Give the results folder that it lies in:\n"
        f"  clusterfirst-label {shlex.quote(str(shown))}"
    )


def _folders(parent: Path, left_out: dict, prefix: str = "", root: Path | None = None) -> Iterator[tuple[str, Path]]:
    root = root or parent
    if not parent.is_dir() or not is_inside(parent, root):
        return
    for place in sorted(parent.iterdir()):
        name = prefix + place.name
        if place.name.startswith(".") or name in RESERVED or not place.is_dir():
            continue
        if is_inside(place, root):
            yield name, place
        else:
            left_out[name] = "it is a link out of the results folder"


def is_inside(path: Path, root: Path) -> bool:
    """Say whether a path lies in a folder once links are followed."""
    return path.resolve().is_relative_to(root)


def finished(path: Path, root: Path) -> Path:
    """Return a file of the results; one that is missing, or a link out of them, is an error."""
    if not path.is_file():
        raise ClusterfirstError(f"{path.name} is missing: run the workflow to its end")
    if not is_inside(path, root):
        raise ClusterfirstError(f"{path.name} is a link out of the results folder")
    return path


def _slide(root: Path, name: str, place: Path) -> SlideInfo:
    folder = SlideFolder(place)
    masks = finished(folder.cells, root)
    try:
        return SlideInfo(name, folder, SlideFacts.of(masks), pq.read_metadata(masks).num_rows)
    except (ValueError, OSError) as error:
        raise ClusterfirstError(f"{masks.name} cannot be read ({error!r}): run `segment` again") from error


def _group(root: Path, name: str, place: Path, slides: dict[str, SlideInfo]) -> GroupInfo | None:
    folder = SlideFolder(place)
    for path in (folder.clusters, folder.reduction, folder.reduced, folder.plane):
        finished(path, root)
    settings, counts = Clustering.head(folder.clusters)
    alone = "/" not in name
    if alone and settings["scope"] != "slide":
        return None  # a share of a group's clusters: what is named is named for the group
    sizes = read_json(folder.reduction)["slides"]
    members = []
    for slide, cells in sizes.items():
        if slide not in slides:
            raise ClusterfirstError(f"slide {slide} has no finished {SlideFolder.cells}: run the workflow to its end")
        if slides[slide].cells != cells:
            raise ClusterfirstError(f"slide {slide} was segmented again since it was clustered: run the workflow")
        if not alone and Clustering.head(finished(slides[slide].folder.clusters, root)).settings["scope"] == "slide":
            return None  # left over from a run before: its slides have been clustered by themselves since
        members.append(slides[slide])
    if counts.cells != sum(sizes.values()):
        raise ClusterfirstError(
            f"{SlideFolder.clusters} and {SlideFolder.reduction} are of different runs: run the workflow to its end"
        )
    return GroupInfo(name, folder, tuple(members), counts.cells, counts.clusters)
