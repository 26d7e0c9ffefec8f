"""What a results folder holds that can be labelled: groups of cells clustered together, and their slides."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from ...clustering import palette
from ...clustering.confidence import representatives
from ...io import ClusterfirstError, read_json, read_metadata
from ...labels import model as proposals
from ...labels.model import Proposals
from ...plan.layout import RESERVED
from ..record import titles
from ..record.leaves import Leaves

log = logging.getLogger(__name__)

_NEEDED = ("clusters.json", "reduction.json", "umap.npy", "umap2d.npy")
_HEAD = 1 << 16
_HEADER_BYTES = 1024


@dataclass(frozen=True)
class SlideInfo:
    """A slide of the results: where its cells and its pixels are.

    Attributes
    ----------
    id : str
        Its name, and that of its folder.
    masks : pathlib.Path
        Its ``masks.parquet``.
    path : str
        The slide file as the workflow knew it, relative to where that ran.
    width, height : int
        Level-0 pixels.
    mpp : float
        µm per level-0 pixel.
    cells : int
    """

    id: str
    masks: Path
    path: str
    width: int
    height: int
    mpp: float
    cells: int


@dataclass(frozen=True)
class GroupInfo:
    """Cells clustered together, not read yet: what can be told at once.

    Attributes
    ----------
    id : str
        Folder below the results: the slide's, or ``groups/<name>``.
    folder : pathlib.Path
    slides : tuple of SlideInfo
        Members, in the order of the rows.
    cells, clusters : int
    """

    id: str
    folder: Path
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


@dataclass(frozen=True)
class Group:
    """The cells of a group, row by row: members one after the other.

    Attributes
    ----------
    info : GroupInfo
    leaves : Leaves
    x, y : numpy.ndarray
        n float32: centroids in level-0 pixels of each cell's slide.
    slide : numpy.ndarray
        n uint16: place of the cell's slide in ``info.slides``.
    cell_id : numpy.ndarray
        n int32: its id in the slide's ``masks.parquet``.
    confidence : numpy.ndarray
        n float32 in [0, 1].
    umap2d : numpy.ndarray
        n × 2 float32.
    typical : dict of int to list of int
        Rows that show each of the first clusters best, by key.
    colours : dict of int to str
        Colours of the first clusters, by key.
    ids : dict of int to int
        Ids of the first clusters in ``clusters.json``, by key.
    proposals : Proposals or None
        What a model called the first clusters.
    """

    info: GroupInfo
    leaves: Leaves
    x: np.ndarray
    y: np.ndarray
    slide: np.ndarray
    cell_id: np.ndarray
    confidence: np.ndarray
    umap2d: np.ndarray
    typical: dict[int, list[int]]
    colours: dict[int, str]
    ids: dict[int, int]
    proposals: Proposals | None = None
    _chosen: dict = field(default_factory=dict, repr=False)
    _titles: dict = field(default_factory=dict, repr=False)

    @cached_property
    def sure(self) -> np.ndarray:
        """Per leaf, the sum of its cells' confidence."""
        own = self.leaves.of_cell >= 0
        return np.bincount(self.leaves.of_cell[own], self.confidence[own], minlength=len(self.leaves))

    @property
    def cluster_id(self) -> np.ndarray:
        """Per cell, the id of its first cluster in ``clusters.json``; −1 for noise."""
        of_leaf = np.array([self.ids[key] for key in self.leaves.start.tolist()] + [-1])
        return of_leaf[self.leaves.of_cell]

    @property
    def fingerprint(self) -> str:
        """See `Leaves.fingerprint`."""
        return self.leaves.fingerprint

    def __len__(self) -> int:
        return len(self.x)

    def colour(self, key: int) -> str:
        """Return the colour of a cluster: its first one, or, of one that came of opening, always the same other."""
        return self.colours.get(key) or palette.colour(len(self.colours) + key)

    def representatives(self, leaves: tuple[int, ...]) -> list[int]:
        """Return rows that show a cluster best, the most typical first."""
        key, start = leaves[0], self.leaves.start
        if key in self.typical and tuple(np.flatnonzero(start == key).tolist()) == leaves:
            return self.typical[key]
        if leaves not in self._chosen:
            values = np.load(self.info.folder / "umap.npy", mmap_mode="r")
            wanted = max(map(len, self.typical.values()), default=12)
            rows = self.leaves.rows(leaves)
            found = representatives(values, rows, self.confidence, wanted, 0.0).tolist() if len(rows) else []
            self._chosen[leaves] = found
        return self._chosen[leaves]

    def title(self, leaves: tuple[int, ...]) -> tuple[str, int | None]:
        """Return what a cluster is called (see `titles`), and its id in ``clusters.json``, if it is one of those."""
        if leaves not in self._titles:
            found = titles.pieces(leaves, self.leaves, self.ids)
            first = found == [str(self.ids.get(leaves[0]))]
            self._titles[leaves] = titles.joined(found), self.ids[leaves[0]] if first else None
        return self._titles[leaves]

    def proposal(self, leaves: tuple[int, ...]) -> dict | None:
        """Return what a model would call a cluster; None if it did not say, or was unsure.

        ``class`` and its ``colour``; the ``share`` of ``views`` that said so; the ``rationale`` of one; the ``model``.
        What came of opening a cluster inherits its proposal; merged clusters keep one that all of them have, with the
        least of their shares.
        """
        if self.proposals is None:
            return None
        found = [
            self.proposals.clusters.get(self.ids[key]) for key in np.unique(self.leaves.start[list(leaves)]).tolist()
        ]
        if len({entry and entry.name for entry in found}) > 1 or found[0] is None or found[0].name is None:
            return None
        least = min(found, key=lambda entry: entry.share)
        return {
            "class": least.name,
            "colour": next(entry["colour"] for entry in self.proposals.classes if entry["name"] == least.name),
            "share": least.share,
            "views": least.views,
            "rationale": least.rationale,
            "model": self.proposals.model,
        }

    def place(self, row: int) -> tuple[SlideInfo, int]:
        """Return a cell's slide and its row there."""
        number = int(self.slide[row])
        return self.info.slides[number], row - self.info.starts[number]


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
    for name, place in [*_folders(root, left_out), *_folders(root / "groups", left_out, "groups/", root)]:
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
    if not any((root / name).is_file() for name in ("masks.parquet", "clusters.json")):
        return
    what, above = ("group", root.parent.parent) if root.parent.name == "groups" else ("slide", root.parent)
    shown = above if Path(given).is_absolute() else os.path.relpath(above)
    raise ClusterfirstError(
        f"{given} is the folder of one {what}. Give the results folder that it lies in:\n"
        f"  clusterfirst-label {shlex.quote(str(shown))}"
    )


def _folders(parent: Path, left_out: dict, prefix: str = "", root: Path | None = None) -> Iterator[tuple[str, Path]]:
    root = root or parent
    if not parent.is_dir() or not _is_inside(parent, root):
        return
    for place in sorted(parent.iterdir()):
        name = prefix + place.name
        if place.name.startswith(".") or name in RESERVED or not place.is_dir():
            continue
        if _is_inside(place, root):
            yield name, place
        else:
            left_out[name] = "it is a link out of the results folder"


def _is_inside(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root)


def file_of(root: Path, place: Path, name: str) -> Path:
    """Return a finished file of a folder; one that is missing, or a link out of the results, is an error."""
    path = place / name
    if not path.is_file():
        raise ClusterfirstError(f"{name} is missing: run the workflow to its end")
    if not _is_inside(path, root):
        raise ClusterfirstError(f"{name} is a link out of the results folder")
    return path


def _slide(root: Path, name: str, place: Path) -> SlideInfo:
    masks = file_of(root, place, "masks.parquet")
    try:
        facts = read_metadata(masks)["slide"]
        cells = pq.read_metadata(masks).num_rows
        return SlideInfo(name, masks, facts["path"], facts["width"], facts["height"], facts["mpp"], cells)
    except (KeyError, ValueError, OSError) as error:
        raise ClusterfirstError(f"masks.parquet cannot be read ({error!r}): run `segment` again") from error


def _group(root: Path, name: str, place: Path, slides: dict[str, SlideInfo]) -> GroupInfo | None:
    files = {file: file_of(root, place, file) for file in _NEEDED}
    settings, counts = head(files["clusters.json"])
    alone = "/" not in name
    if alone and settings["scope"] != "slide":
        return None  # a share of a group's clusters: what is named is named for the group
    sizes = read_json(files["reduction.json"])["slides"]
    members = []
    for slide, cells in sizes.items():
        if slide not in slides:
            raise ClusterfirstError(f"slide {slide} has no finished masks.parquet: run the workflow to its end")
        if slides[slide].cells != cells:
            raise ClusterfirstError(f"slide {slide} was segmented again since it was clustered: run the workflow")
        if not alone and head(file_of(root, root / slide, "clusters.json"))[0]["scope"] == "slide":
            return None  # left over from a run before: its slides have been clustered by themselves since
        members.append(slides[slide])
    if counts["cells"] != sum(sizes.values()):
        raise ClusterfirstError("clusters.json and reduction.json are of different runs: run the workflow to its end")
    return GroupInfo(name, place, tuple(members), counts["cells"], counts["clusters"])


def head(path: Path) -> tuple[dict, dict]:
    """Return ``settings`` and ``counts`` of a ``clusters.json``, which stand first, without reading all of it."""
    with path.open(encoding="utf-8") as file:
        text = file.read(_HEAD)
    decoder, found = json.JSONDecoder(), []
    try:
        for name in ("settings", "counts"):
            at = text.index(f'"{name}":') + len(name) + 3
            found.append(decoder.raw_decode(text, at + len(text[at:]) - len(text[at:].lstrip()))[0])
    except ValueError:
        document = read_json(path)
        return document["settings"], document["counts"]
    return tuple(found)


def load_group(info: GroupInfo) -> Group:
    """Read the cells of a group: positions, leaves, confidence, map. Outlines stay on disk.

    Raises
    ------
    ClusterfirstError
        Files are damaged or do not belong together.
    """
    try:
        document = read_json(info.folder / "clusters.json")
        x, y, cell_id = _cells(info)
        umap2d = np.load(info.folder / "umap2d.npy").astype(np.float32, copy=False)
        digest = hashlib.sha256("\n".join(slide.id for slide in info.slides).encode())
        for array in (x, y, cell_id):
            digest.update(array.tobytes())
        leaves = Leaves.read(document, digest.hexdigest())
        confidence = np.array(document["cells"]["confidence"], np.float32)
        first = {min(entry["leaves"]): entry for entry in document["clusters"] if entry["leaves"]}
    except (KeyError, ValueError, OSError, TypeError) as error:
        raise ClusterfirstError(f"{info.folder}: cannot be read ({error!r}): run the workflow again") from error
    except ClusterfirstError as error:
        raise ClusterfirstError(f"{info.folder / 'clusters.json'}: {error}: run `cluster` again") from error
    if not len(leaves.of_cell) == len(x) == len(umap2d) == len(confidence) == info.cells:
        raise ClusterfirstError(f"{info.folder}: its files have different numbers of cells: run the workflow again")
    group = Group(
        info=info,
        leaves=leaves,
        x=x,
        y=y,
        slide=np.repeat(np.arange(len(info.slides), dtype=np.uint16), [slide.cells for slide in info.slides]),
        cell_id=cell_id,
        confidence=confidence,
        umap2d=umap2d,
        typical={key: entry["representatives"] for key, entry in first.items()},
        colours={key: entry["colour"] for key, entry in first.items()},
        ids={key: entry["id"] for key, entry in first.items()},
    )
    return with_proposals(group)


def with_proposals(group: Group) -> Group:
    """Return the group with what a model calls its clusters by now."""
    return replace(group, proposals=_proposals(group))


def _proposals(group: Group) -> Proposals | None:
    """What a model called the clusters. That it did not, or called others, is no reason not to label."""
    path = group.info.folder / proposals.FILE
    if not path.is_file() or not _is_inside(path, group.info.folder):
        return None
    try:
        found = proposals.read(path)
    except ClusterfirstError as error:
        log.warning("%s", error)
        return None
    if not found.are_of(group.cluster_id):
        log.warning("%s is of other clusters, which have changed since: run `snakemake classify`", path)
        return None
    return found


def _cells(info: GroupInfo) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # Not read_table: that imports pyarrow's datasets, which takes longer than reading.
    tables = [pq.ParquetFile(slide.masks).read(columns=["x", "y", "cell_id"]) for slide in info.slides]
    return tuple(
        np.concatenate([table[name].to_numpy() for table in tables]).astype(kind)
        for name, kind in (("x", np.float32), ("y", np.float32), ("cell_id", np.int32))
    )


def pack(group: Group) -> bytes:
    """Return all cells as one little-endian block for typed arrays.

    A line of JSON, filled with spaces to 1,024 bytes, says where each array is: ``{"n", "arrays": [{"name", "dtype",
    "offset", "length"}]}``, `offset` in bytes from the start of the block (a multiple of 8), `length` in elements.
    ``x, y, u, v`` are float32, ``leaf`` uint16 or uint32 (its greatest value: noise), ``slide`` uint16, ``confidence``
    uint8 (255 is 1).
    """
    kind = np.uint16 if len(group.leaves) < np.iinfo(np.uint16).max else np.uint32
    arrays = {
        "x": group.x,
        "y": group.y,
        "u": group.umap2d[:, 0],
        "v": group.umap2d[:, 1],
        "leaf": group.leaves.of_cell.astype(kind),  # −1 wraps to the greatest value
        "slide": group.slide,
        "confidence": np.rint(group.confidence * 255).astype(np.uint8),
    }
    parts, table, offset = [], [], _HEADER_BYTES
    for name, array in arrays.items():
        data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        table.append({"name": name, "dtype": array.dtype.name, "offset": offset, "length": len(array)})
        parts.append(data + bytes(-len(data) % 8))
        offset += len(parts[-1])
    line = json.dumps({"n": len(group), "arrays": table}).encode().ljust(_HEADER_BYTES - 1) + b"\n"
    return b"".join([line, *parts])
