"""The configuration: defaults, checks that report everything at once, and the settings that hold for a tissue."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from .. import paths
from ..segmentation import GIVEN
from .trials import ORDER

NOVEL = "novel"


@dataclass(frozen=True)
class Settings:
    """All settings that hold for a slide: sections of the configuration, values by key. Nobody changes them.

    ``filter`` is False where nothing is filtered. ``sweep`` has lists of values to be tried, by ``section.key``.
    """

    tiling: Mapping[str, Any]
    filter: Mapping[str, Any] | Literal[False]
    segmentation: Mapping[str, Any]
    given: Mapping[str, Any]
    embedding: Mapping[str, Any]
    reduction: Mapping[str, Any]
    clustering: Mapping[str, Any]
    representatives: Mapping[str, Any]
    annotation: Mapping[str, Any]
    classify: Mapping[str, Any]
    export: Mapping[str, Any]
    learning: Mapping[str, Any]
    apply: Mapping[str, Any]
    gpu: bool | str
    sweep: Mapping[str, list]

    @property
    def decisive(self) -> dict:
        """What decided the results of a slide.

        Not how a sweep went on, what a model was asked, what was exported or learnt, how the second pass of pictures is
        drawn; nor how files of outlines are taken, unless the cells are from one.
        """
        others = {
            "apply",
            "classify",
            "export",
            "learning",
            "sweep",
            *(() if self.segmentation["model"] == GIVEN else ("given",)),
        }
        kept = {name: value for name, value in asdict(self).items() if name not in others}
        typical = {key: value for key, value in self.representatives.items() if key != "annotation"}
        return kept | {"representatives": typical}

    @property
    def of_novel(self) -> bool:
        """Whether only cells are clustered that are unlike anything taught."""
        return self.clustering["cells"] == NOVEL

    @property
    def typical(self) -> dict:
        """Which cells are typical of a cluster."""
        return {key: self.representatives[key] for key in ("max_items", "min_confidence")}

    @property
    def drawing_of_representatives(self) -> dict:
        """How the tiles that show all clusters are drawn: ``annotation``, and over it their own keys."""
        return {**self.annotation, **(self.representatives["annotation"] or {})}


SECTIONS = tuple(field.name for field in fields(Settings) if field.name not in ("gpu", "sweep"))
"""Sections of the configuration that hold for single slides."""


def defaults(schema: dict) -> Any:
    """Return the defaults a JSON schema states, nested objects included."""
    if "properties" in schema and "default" not in schema:
        return {key: defaults(sub) for key, sub in schema["properties"].items()}
    return copy.deepcopy(schema.get("default"))


def merge(base: dict, over: dict) -> dict:
    """Return `base` with the values of `over` laid over it, key by key."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def resolve(config: dict, schema: dict, tissue: str | None = None, *, trial: dict | None = None) -> Settings:
    """Return the settings for one tissue: schema defaults, config, the tissue's own, then a trial's."""
    usual = defaults(schema)
    full = merge(usual, config)
    own = (config.get("tissues") or {}).get(tissue) or {}

    def section(name: str) -> dict | Literal[False]:
        settled = _of_tissue(usual[name], full[name], own.get(name))
        # What is off has nothing to try. A value that is itself a dict is one value: it is replaced, not merged.
        return False if settled is False else settled | (trial or {}).get(name, {})

    sections = {name: section(name) for name in SECTIONS}
    return Settings(**sections, gpu=full["gpu"], sweep=own.get("sweep", full["sweep"]) or {})


def _of_tissue(usual: dict, general: dict | Literal[False], own: dict | Literal[False] | None) -> dict | Literal[False]:
    """Lay a tissue's section over the general one: False switches it off, an object on, over the defaults."""
    if own is None:
        return general
    if own is False:
        return False
    return merge(usual if general is False else general, own)


def draws_classes(annotation: Mapping) -> bool:
    """Whether pictures drawn with these keys need to know what cells are called."""
    return (
        annotation["drop_unclassified"] or annotation["colour"] in ("class", "label") or "class" in annotation["text"]
    )


def check_config(config: dict, schema: dict) -> list[str]:
    """Return every problem of a configuration, one line each.

    Sections under ``tissues.<name>`` are held against the schema of the section that they override, and so is every
    value that is to be swept.
    """
    problems = list(_violations(config, schema, ()))
    problems += _sweep_problems(config.get("sweep"), schema, ("sweep",))
    problems += _swept_in_vain(config, ())
    stages = _sections(schema)
    stages["properties"]["sweep"] = schema["properties"]["sweep"]
    tissues = config.get("tissues") or {}
    for name, override in tissues.items() if isinstance(tissues, dict) else ():
        problems += _violations(override or {}, stages, ("tissues", str(name)))
        if not isinstance(override, dict):
            continue
        problems += _sweep_problems(override.get("sweep"), schema, ("tissues", str(name), "sweep"))
        if {"filter", "sweep"} & override.keys():
            inherited = {key: config.get(key) for key in ("filter", "sweep")}
            problems += _swept_in_vain(inherited | override, ("tissues", str(name)))
        own = override.get("segmentation")
        if isinstance(own, dict) and "shards" in own:
            problems.append(f"tissues.{name}.segmentation.shards: set it for all slides, under `segmentation:`")
    return problems


def write_out_paths(config: dict, schema: dict) -> tuple[dict, list[str]]:
    """Return a configuration with all its paths written out, and what is wrong with them, one line each."""
    sections = _sections(schema)
    sweep = {
        f"{name}.{key}": {"items": values}
        for name, section in sections["properties"].items()
        for key, values in section.get("properties", {}).items()
    }
    sections["properties"]["sweep"] = {"properties": sweep}
    known = schema["properties"] | {"sweep": {"properties": sweep}, "tissues": {"additionalProperties": sections}}
    return paths.in_document(config, {"properties": known})


def _sections(schema: dict, names: Iterable[str] = SECTIONS) -> dict:
    """The schema of some sections alone."""
    sections = {name: schema["properties"][name] for name in names}
    return {"type": "object", "additionalProperties": False, "properties": sections}


def _sweep_problems(sweep: Any, schema: dict, where: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with the keys and values of a sweep; its own schema has said whether it is a dict of lists."""
    if not isinstance(sweep, dict):
        return
    stages = _sections(schema, ORDER)
    known = [f"{name}.{key}" for name in ORDER for key in schema["properties"][name]["properties"]]
    for key, values in sweep.items():
        if key not in known:
            yield f"{'.'.join(where)}: unknown key '{key}'{_suggest(str(key), known, all_of_them=False)}"
        elif key == "segmentation.shards":
            yield f"{'.'.join(where)}.{key}: it changes no result"
        elif isinstance(values, list):
            section, name = key.split(".")
            for value in values:
                for problem in _violations({section: {name: value}}, stages, ()):
                    yield f"{'.'.join(where)}: {problem}"


def _swept_in_vain(config: dict, where: tuple[str, ...]) -> Iterator[str]:
    """Keys of a filter that are to be swept while it is off: every trial would come out the same."""
    if config.get("filter") is not False or not isinstance(config.get("sweep"), dict):
        return
    for key in config["sweep"]:
        if str(key).startswith("filter."):
            yield (
                f"{'.'.join((*where, 'sweep', key))}: filtering is off here (filter: false), so no value of it would "
                "change anything: give `filter` limits, or a sweep without it"
            )


def _violations(value: Any, schema: dict, where: tuple[str, ...]) -> Iterator[str]:
    from jsonschema import Draft202012Validator

    for error in sorted(Draft202012Validator(schema).iter_errors(value), key=lambda e: list(map(str, e.absolute_path))):
        path = where + tuple(map(str, error.absolute_path))
        if error.validator == "additionalProperties":
            known = error.schema.get("properties", {})
            for key in error.instance:
                if key not in known:
                    yield f"{'.'.join((*path, str(key)))}: unknown key{_suggest(str(key), known)}"
        else:
            yield f"{'.'.join(path) or 'config'}: {in_words(error)}"


def in_words(error) -> str:
    """The validator's message, and what the key is for."""
    about = error.schema.get("description", "") if isinstance(error.schema, dict) else ""
    if error.validator == "pattern" and about:
        # Nobody wants to read a regular expression.
        return f"'{error.instance}' does not match: {about}"
    return error.message + (f" ({about})" if about else "")


def _suggest(word: str, known: Iterable[str], *, all_of_them: bool = True) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{near[0]}'?"
    return (
        f"; known keys: {', '.join(known)}" if all_of_them else "; keys are written section.key, as filter.min_tissue"
    )
