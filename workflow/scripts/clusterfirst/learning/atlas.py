"""An atlas: what was learnt from names, in one file that goes to other slides and other people.

A zip of ``atlas.json`` and arrays (``.npy``), with the sha256 of each array and of the document in it. Nothing in it is
run, no member is written to a disk, and nothing is read before it is known to be as large as it says: it may come from
anybody.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..io import ClusterfirstError, atomic
from ..reduction.inputs import Block
from ..reduction.preparation import Map, Preparation
from .basis import Basis
from .calibration import Calibration
from .novelty import Novelty
from .recipe import Recipe

KIND, VERSION = "atlas", 2
_DOCUMENT = "atlas.json"
_MOST_BYTES = 1 << 27
"""Of the file, and of all its members unpacked: more than the largest settings give."""
_DAMAGE = (
    *(OSError, ValueError, LookupError, TypeError, RuntimeError, EOFError, OverflowError, MemoryError, SyntaxError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)
"""What zipfile, json and NumPy raise for damaged files: nobody lists it, so it was found by damaging some."""
_TIME = (1980, 1, 1, 0, 0, 0)
"""Of all members, so that the same atlas is the same bytes."""
_PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_SPEED = ("engine", "batch_size", "weights")
"""Settings of the embedding that change how fast it is; weights are known by their sha256."""
_SAME_MPP = 1.1
"""Slides whose µm per pixel differ by less than this factor from those that taught are seen alike."""

_NUMBER = {"type": "number"}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_COUNT = {"type": "integer", "minimum": 0}
SCHEMA = {
    "type": "object",
    "required": [
        *(
            "clusterfirst",
            "version",
            "name",
            "classes",
            "embedding",
            "mpp",
            "recipe",
            "temperature",
            "offsets",
            "priors",
        ),
        *("taught", "measured", "arrays", "sha256"),
    ],
    "properties": {
        "clusterfirst": {"const": KIND},
        "version": {"const": VERSION},
        "name": {"type": "string"},
        "classes": {
            "type": "array",
            "minItems": 2,
            "maxItems": 1000,
            "items": {
                "type": "object",
                "required": ["name", "colour"],
                "properties": {
                    "name": {"type": "string", "minLength": 1},
                    "colour": {"type": "string", "pattern": "^#[0-9a-fA-F]{6}$"},
                },
            },
        },
        "embedding": {
            "type": "object",
            "required": ["settings", "models"],
            "properties": {
                "settings": {"type": "object"},
                "models": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["model", "columns", "standardise", "weights_sha256"],
                        "properties": {
                            "model": {"type": "string"},
                            "columns": {"type": "array", "items": _COUNT, "minItems": 2, "maxItems": 2},
                            "standardise": {"type": "boolean"},
                            "weights_sha256": {"type": ["string", "null"]},
                        },
                    },
                },
            },
        },
        "mpp": {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}, "minItems": 2, "maxItems": 2},
        "recipe": {
            "type": "object",
            "required": ["neighbours", "context_weight", "factors"],
            "properties": {
                "neighbours": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 1000}},
                "context_weight": _NUMBER,
                "factors": {"type": "array", "items": _NUMBER},
            },
        },
        "temperature": {"type": "number", "exclusiveMinimum": 0},
        "offsets": {"type": "array", "items": _NUMBER},
        "priors": {"type": "array", "items": _SHARE},
        "taught": {"type": "object"},
        "measured": {"type": "object"},
        "arrays": {"type": "object", "additionalProperties": {"type": "string", "pattern": "^[0-9a-f]{64}$"}},
        "sha256": {"type": "string"},
    },
}
"""JSON schema of the document."""


@dataclass(frozen=True)
class Atlas:
    """What was learnt.

    Attributes
    ----------
    name : str
    classes : tuple of dict
        K of ``name`` and ``colour``.
    embedding : dict
        ``settings`` and ``models``, as they stand in ``embeddings.json``.
    mpp : tuple of float
        Least and most µm per level-0 pixel of the slides that taught.
    recipe : Recipe
        How cells are described.
    basis : Basis
    weights : numpy.ndarray
        D × K float32: scores are rows in the basis, times this.
    calibration : Calibration
    novelty : Novelty
    taught : dict
        JSON-ready: by whom, of which slides, how many cells.
    measured : dict
        JSON-ready: how right it is on slides left out.
    """

    name: str
    classes: tuple[dict, ...]
    embedding: dict[str, Any]
    mpp: tuple[float, float]
    recipe: Recipe
    basis: Basis
    weights: np.ndarray
    calibration: Calibration
    novelty: Novelty
    taught: dict[str, Any]
    measured: dict[str, Any]

    def write(self, path: str | os.PathLike) -> None:
        """Write it, atomically; the same atlas is the same bytes."""
        arrays = {f"{name}.npy": _bytes(array) for name, array in self._arrays().items()}
        document = {
            "clusterfirst": KIND,
            "version": VERSION,
            "name": self.name,
            "classes": list(self.classes),
            "embedding": self.embedding,
            "mpp": list(self.mpp),
            "recipe": {
                "neighbours": list(self.recipe.neighbours),
                "context_weight": self.recipe.context_weight,
                "factors": [float(one.factor) for one in self.recipe.preparation.maps],
            },
            "temperature": self.calibration.temperature,
            "offsets": self.calibration.offsets.tolist(),
            "priors": self.calibration.priors.tolist(),
            "taught": self.taught,
            "measured": self.measured,
            "arrays": {name: hashlib.sha256(data).hexdigest() for name, data in arrays.items()},
        }
        document["sha256"] = _sha256(document)
        text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False).encode()
        with atomic(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, data in {_DOCUMENT: text, **arrays}.items():
                packed.writestr(zipfile.ZipInfo(name, _TIME), data, zipfile.ZIP_DEFLATED)

    def _arrays(self) -> dict[str, np.ndarray]:
        found = {
            "directions": self.basis.directions,
            "phases": self.basis.phases,
            "weights": self.weights,
            "exemplars": self.novelty.exemplars,
            "usual": self.novelty.usual,
        }
        for number, one in enumerate(self.recipe.preparation.maps):
            parts = {"centre": one.centre, "divisor": one.divisor, "limit": one.limit, "shift": one.shift}
            parts |= {} if one.turn is None else {"turn": one.turn}
            found |= {f"{name}_{number}": array for name, array in parts.items()}
        return found

    @classmethod
    def read(cls, path: str | os.PathLike) -> Atlas:
        """Read and check an atlas.

        Raises
        ------
        ClusterfirstError
            The file is missing, damaged, changed since it was written, made by a newer version, or something else.
        """
        try:
            if os.path.getsize(path) > _MOST_BYTES:
                raise ValueError(f"it is larger than {_MOST_BYTES >> 20} MiB, which no atlas is")
            with zipfile.ZipFile(path) as packed:
                members = _members(packed)
                document = json.loads(members.pop(_DOCUMENT))
                _check(document, members)
            return cls._told(document, {name.removesuffix(".npy"): _array(data) for name, data in members.items()})
        except FileNotFoundError as error:
            raise ClusterfirstError(f"there is no atlas {path}: make it with `snakemake learn`") from error
        except _DAMAGE as error:
            raise _refused(path, error) from error

    @classmethod
    def _told(cls, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Atlas:
        if missing := {"directions", "phases", "weights", "exemplars", "usual"} - arrays.keys():
            raise ValueError(f"{min(missing)} is missing")
        blocks = [Block(one["model"], *one["columns"], one["standardise"]) for one in document["embedding"]["models"]]
        recipe = document["recipe"]
        maps = [
            _map(block, factor, number, arrays)
            for number, (block, factor) in enumerate(zip(blocks, recipe["factors"], strict=True))
        ]
        atlas = cls(
            document["name"],
            tuple(document["classes"]),
            document["embedding"],
            tuple(document["mpp"]),
            Recipe(Preparation(tuple(maps)), tuple(recipe["neighbours"]), recipe["context_weight"]),
            Basis(arrays["directions"], arrays["phases"]),
            arrays["weights"],
            Calibration(document["temperature"], *(np.array(document[key], float) for key in ("offsets", "priors"))),
            Novelty(arrays["exemplars"], arrays["usual"]),
            document["taught"],
            document["measured"],
        )
        atlas._fits()
        if strangers := arrays.keys() - atlas._arrays().keys():
            raise ValueError(f"{min(strangers)!r} is none of its arrays")
        return atlas

    def _fits(self) -> None:
        """Parts are of one piece, and all numbers are numbers."""
        wide, own, classes = self.recipe.width, self.recipe.preparation.width, len(self.classes)
        features = len(self.basis.phases)
        shapes = {
            "directions": (self.basis.directions, (wide, features)),
            "phases": (self.basis.phases, (features,)),
            "weights": (self.weights, (self.basis.columns, classes)),
            "offsets": (self.calibration.offsets, (classes,)),
            "priors": (self.calibration.priors, (classes,)),
            "exemplars": (self.novelty.exemplars, (len(self.novelty.exemplars), own)),
            "usual": (self.novelty.usual, (len(self.novelty.usual),)),
        }
        for name, (array, shape) in shapes.items():
            if array.shape != shape or not len(array):
                raise ValueError(f"{name} has the shape {array.shape}, not {shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} holds numbers that are not finite")
        if (np.diff(self.novelty.usual) < 0).any():
            raise ValueError("usual distances do not rise")

    def differences(self, embedding: Mapping[str, Any], mpp: float) -> list[str]:
        """Say in words how a slide was described otherwise than those that taught; nothing if alike.

        Parameters
        ----------
        embedding
            Its ``embeddings.json``.
        mpp
            Its µm per level-0 pixel.
        """
        taught, here = (one["settings"] for one in (self.embedding, embedding))
        found = [
            f"embedding.{key} was {taught.get(key)!r}, here it is {here.get(key)!r}"
            for key in sorted({*taught, *here} - {*_SPEED})
            if taught.get(key) != here.get(key)
        ]
        names = [[one["model"] for one in each["models"]] for each in (self.embedding, embedding)]
        if names[0] == names[1]:
            for old, new in zip(self.embedding["models"], embedding["models"], strict=True):
                found += [
                    f"{key} of {old['model']} was {old[key]}, here it is {new[key]}"
                    for key in ("weights_sha256", "columns", "standardise")
                    if old[key] != new[key]
                ]
        low, high = self.mpp
        if not low / _SAME_MPP < mpp < high * _SAME_MPP:
            found.append(f"µm per pixel were {self.mpp_in_words}, here they are {mpp:.4g}")
        return found

    @property
    def mpp_in_words(self) -> str:
        """µm per pixel of the slides that taught: one number, or from which to which."""
        low, high = self.mpp
        return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _refused(path: str | os.PathLike, error: Exception) -> ClusterfirstError:
    why = getattr(error, "message", None) or str(error) or type(error).__name__
    return ClusterfirstError(
        f"atlas {path} cannot be trusted, so it is not used: {why}. Copy it again from where it was made, or make it "
        "with `snakemake learn`"
    )


def _members(packed: zipfile.ZipFile) -> dict[str, bytes]:
    """Unpack, once it is known that it is small."""
    entries = packed.infolist()
    names = [entry.filename for entry in entries]
    if _DOCUMENT not in names:
        raise ValueError(f"there is no {_DOCUMENT} in it")
    if len(set(names)) < len(names):
        raise ValueError("a member stands in it twice")
    strange = [entry.filename for entry in entries if entry.compress_type not in _PLAIN or entry.flag_bits & 1]
    if strange:
        raise ValueError(f"{strange[0]!r} is packed in a way that atlases never are")
    if sum(entry.file_size for entry in entries) > _MOST_BYTES:
        raise ValueError(f"unpacked it would be larger than {_MOST_BYTES >> 20} MiB")
    # zipfile reads no more of a member than the size it states.
    return {entry.filename: packed.read(entry) for entry in entries}


def _check(document: Any, arrays: Mapping[str, bytes]) -> None:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    if not isinstance(document, dict) or document.get("clusterfirst") != KIND:
        raise ValueError("it is something else")
    version = document.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ValueError(f"a newer clusterfirst made it (version {version}; this one knows {VERSION})")
    if isinstance(version, int) and version < VERSION:
        raise ValueError("an earlier clusterfirst made it, and what it calls novel has changed since: learn anew")
    if wrong := best_match(Draft202012Validator(SCHEMA).iter_errors(document)):
        raise ValueError(f"{'.'.join(map(str, wrong.absolute_path)) or _DOCUMENT}: {wrong.message}")
    if _sha256({key: value for key, value in document.items() if key != "sha256"}) != document["sha256"]:
        raise ValueError(f"{_DOCUMENT} was changed since it was written")
    if arrays.keys() != document["arrays"].keys():
        raise ValueError("arrays are missing, or there are others than it says")
    for name, data in arrays.items():
        if hashlib.sha256(data).hexdigest() != document["arrays"][name]:
            raise ValueError(f"{name} was changed since it was written")


def _sha256(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _map(block: Block, factor: float, number: int, arrays: Mapping[str, np.ndarray]) -> Map:
    centre, divisor, limit, shift = (arrays[f"{name}_{number}"] for name in ("centre", "divisor", "limit", "shift"))
    turn = arrays.get(f"turn_{number}")
    for name, one in (("centre", centre), ("divisor", divisor), ("limit", limit), ("shift", shift)):
        if one.shape != (block.width,) or np.isnan(one).any():
            raise ValueError(f"{name} of {block.model} does not fit its {block.width} columns")
    if turn is not None and (turn.ndim != 2 or len(turn) != block.width or not np.isfinite(turn).all()):
        raise ValueError(f"turn of {block.model} does not fit its {block.width} columns")
    if not (np.isfinite(centre).all() and np.isfinite(shift).all() and (divisor > 0).all() and (limit > 0).all()):
        raise ValueError(f"the preparation of {block.model} holds numbers that cannot be")
    return Map(block, centre, divisor, limit, shift, turn, factor)


def _bytes(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return file.getvalue()


def _array(data: bytes) -> np.ndarray:
    """An array of floats; its header is looked at before memory is asked for."""
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("an array is in a format that atlases never are")
    shape, fortran, kind = np.lib.format.read_array_header_1_0(file)
    if kind not in (np.float32, np.float64) or fortran:
        raise ValueError(f"an array holds {kind}, which atlases never do")
    rest = data[file.tell() :]
    if len(rest) != int(np.prod(shape, dtype=object)) * kind.itemsize or len(shape) not in (1, 2):
        raise ValueError(f"an array of shape {shape} holds {len(rest)} bytes")
    return np.frombuffer(rest, kind).reshape(shape)
