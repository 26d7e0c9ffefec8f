"""What the model is told: the task and classes of a prompt file, the rules, the facts of a cluster, the picture."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..io import ClusterfirstError
from ..labels.model import UNSURE

if TYPE_CHECKING:
    from .views import Montage

_SCHEMA = {
    "type": "object",
    "required": ["task", "classes"],
    "additionalProperties": False,
    "properties": {
        "task": {"type": "string", "minLength": 1},
        "classes": {
            "type": "array",
            "minItems": 2,
            "maxItems": 50,
            "items": {
                "type": "object",
                "required": ["name", "colour"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string", "minLength": 1, "maxLength": 80, "pattern": r"^\S(.*\S)?$"},
                    "colour": {"type": "string", "pattern": "^#[0-9a-fA-F]{6}$"},
                    "description": {"type": "string"},
                },
            },
        },
    },
}
_RULES = """\
You are shown a picture made of several numbered crops. Each crop has one cell in its middle, outlined in bright \
green; that cell is meant, not the others around it, which are there for context. A computer put all these cells into \
one cluster because they look alike.

Say which of these classes most of the outlined cells belong to:
{classes}
- {unsure}: none of the classes fits, the outlined cells are of different kinds, or the picture does not show enough \
to tell. Prefer this to a guess.

Judge by size (there is a scale bar), shape, chromatin, cytoplasm and surroundings."""
_FORM = """\
Answer with one JSON object and nothing else: "rationale" (one to three sentences: what you see that speaks for the \
class), "class" (one of the names above, spelt the same, or "{unsure}"), "confidence" (from 0 to 1: how sure you \
are)."""


@dataclass(frozen=True)
class Prompt:
    """What is asked.

    Attributes
    ----------
    name : str
        Of the file, without suffix.
    sha256 : str
        Of the file.
    task : str
        What the pictures are of, and what is to be said.
    classes : list of dict
        ``name``, ``colour``, ``description``.
    """

    name: str
    sha256: str
    task: str
    classes: list[dict]

    @property
    def words(self) -> list[str]:
        """What may be answered."""
        return [*(entry["name"] for entry in self.classes), UNSURE]


def read(path: str | os.PathLike) -> Prompt:
    """Read a prompt file.

    Raises
    ------
    ClusterfirstError
        It is missing, no YAML, or not of the right form.
    """
    import yaml
    from jsonschema import ValidationError, validate

    try:
        content = Path(path).read_bytes()
        document = yaml.safe_load(content)
        validate(document, _SCHEMA)
        classes = [{"description": "", **entry} for entry in document["classes"]]
        _check_names([entry["name"] for entry in classes])
    except (OSError, ValueError, yaml.YAMLError, ValidationError) as error:
        where = ".".join(map(str, getattr(error, "absolute_path", ())))
        why = f"{where}: {error.message}" if isinstance(error, ValidationError) else str(error)
        raise ClusterfirstError(
            f"prompt {path} cannot be used: {why}. resources/prompts/default.yaml shows how it is written"
        ) from error
    return Prompt(Path(path).stem, hashlib.sha256(content).hexdigest(), document["task"].strip(), classes)


def _check_names(names: list[str]) -> None:
    plain = [name.casefold() for name in names]
    for name in plain:
        if not name.isprintable():
            raise ValueError(f"class {name!r} has characters that cannot be seen")
        if name == UNSURE:
            raise ValueError(f"no class can be called '{UNSURE}': that is what the model says when none fits")
        if plain.count(name) > 1:
            raise ValueError(f"class '{name}' stands there twice")


def answer_schema(prompt: Prompt) -> dict:
    """Return the JSON schema of an answer, as strict servers take it: they know no bounds of numbers."""
    return {
        "type": "object",
        "additionalProperties": False,
        # The reasons first: a model that has said what it sees chooses better than one that explains its choice.
        "required": ["rationale", "class", "confidence"],
        "properties": {
            "rationale": {"type": "string"},
            "class": {"type": "string", "enum": prompt.words},
            "confidence": {"type": "number"},
        },
    }


def messages(prompt: Prompt, view: Montage, picture: bytes) -> list[dict]:
    """Return the conversation that asks for one view, with its picture (PNG) inside."""
    classes = "\n".join(
        f"- {entry['name']}: {entry['description']}" if entry["description"] else f"- {entry['name']}"
        for entry in prompt.classes
    )
    rules = _RULES.format(classes=classes, unsure=UNSURE)
    url = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    return [
        {"role": "system", "content": "\n\n".join([prompt.task, rules, _FORM.format(unsure=UNSURE)])},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": facts(view)},
                {"type": "image_url", "image_url": {"url": url, "detail": "high"}},
            ],
        },
    ]


def facts(view: Montage) -> str:
    """Say what is known of a cluster beside what the picture shows."""
    mpp = " to ".join(f"{value:.3g}" for value in sorted({min(view.mpp), max(view.mpp)}))
    return (
        f"{len(view.cells)} of the {view.size:,} cells of the cluster, which holds {view.share:.1%} of all cells here. "
        f"The median area of its nuclei is {view.median_area_um2:.0f} µm² (of all cells here: "
        f"{view.usual_area_um2:.0f} µm²). Each crop is {view.side_um:g} µm wide; the slide was scanned at {mpp} µm per "
        "pixel and is shown magnified."
    )


def again(conversation: list[dict], answer: str, why: str) -> list[dict]:
    """Return the conversation continued: an answer, and what is wrong with it."""
    told = f"This answer cannot be used: {why}. {_FORM.format(unsure=UNSURE)}"
    return [*conversation, {"role": "assistant", "content": answer or "…"}, {"role": "user", "content": told}]


def of_tissues(wanted: str, tissues: Collection[str | None], folder: Path | None) -> Path | None:
    """Return the file of a prompt that comes with the workflow.

    Parameters
    ----------
    wanted
        Setting ``classify.prompt``.
    tissues
        Of the slides whose clusters are asked about. With ``auto``, one tissue's own prompt is taken, if it has one.
    folder
        Where the workflow's prompts are; None if they do not lie on this disk.

    Returns
    -------
    pathlib.Path or None
        None if `wanted` is the path of a file of the user's own.

    Raises
    ------
    ClusterfirstError
        There is no such prompt.
    """
    if Path(wanted).name != wanted or wanted.endswith((".yaml", ".yml")):
        return None
    if folder is None:
        raise ClusterfirstError(
            "config: classify.prompt: name a file of your own, for the workflow's do not lie on this disk"
        )
    if wanted == "auto":
        own = folder / f"{str(*tissues).casefold()}.yaml" if len(tissues) == 1 else None
        wanted = own.stem if own and own.is_file() else "default"
    path = folder / f"{wanted}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        raise ClusterfirstError(
            f"config: classify.prompt: there is no prompt {wanted}. Known: {known}; or the path of your own"
        )
    return path
