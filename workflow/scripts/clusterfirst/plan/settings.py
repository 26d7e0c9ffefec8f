"""The sample sheet and the configuration: defaults, checks that report everything at once, settings per tissue."""

from __future__ import annotations

import copy
import csv
import difflib
import io
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..io import ClusterfirstError
from .trials import ORDER

STAGES = (
    "tiling",
    "filter",
    "segmentation",
    "embedding",
    "reduction",
    "clustering",
    "representatives",
    "annotation",
    "classify",
    "export",
)
RESERVED = ("classify", "evaluation", "groups", "logs", "sweep")
"""Folders among the results that belong to no slide."""


@dataclass(frozen=True)
class Sample:
    """A row of the sample sheet."""

    slide: str
    path: str
    tissue: str | None = None
    mpp: float | None = None
    objects: str | None = None
    truth: str | None = None


def defaults(schema: dict) -> Any:
    """Return the defaults a JSON schema states, nested objects included."""
    if schema.get("type") == "object" and "properties" in schema:
        return {key: defaults(sub) for key, sub in schema["properties"].items()}
    return copy.deepcopy(schema.get("default"))


def merge(base: dict, over: dict) -> dict:
    """Return `base` with the values of `over` laid over it, key by key."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def resolve(config: dict, schema: dict, tissue: str | None = None, *, trial: dict | None = None) -> dict:
    """Return the settings of every stage for one tissue: schema defaults, config, the tissue's own, then a trial's.

    Returns
    -------
    dict
        One dict per name in `STAGES`, ``gpu``, and ``sweep`` (values by key; a tissue's own replaces the general one).
    """
    full = merge(defaults(schema), config)
    own = (config.get("tissues") or {}).get(tissue) or {}
    # A value that is itself a dict is one value: it is replaced, not merged.
    stages = {stage: merge(full[stage], own.get(stage) or {}) | (trial or {}).get(stage, {}) for stage in STAGES}
    return stages | {"gpu": full["gpu"], "sweep": own.get("sweep", full["sweep"]) or {}}


def decisive(settings: dict) -> dict:
    """Return what decided the results of a slide, out of what `resolve` returned.

    Not how a sweep went on, what a model was asked, what was exported, and how the second pass of pictures is drawn.
    """
    kept = {name: value for name, value in settings.items() if name not in ("classify", "export", "sweep")}
    typical = {key: value for key, value in settings["representatives"].items() if key != "annotation"}
    return kept | {"representatives": typical}


def drawing_of_representatives(settings: dict) -> dict:
    """Return how the tiles that show all clusters are drawn: ``annotation``, and over it their own keys."""
    return settings["annotation"] | (settings["representatives"]["annotation"] or {})


def draws_classes(annotation: dict) -> bool:
    """Whether pictures drawn with these keys need to know what cells are called."""
    return (
        annotation["drop_unclassified"] or annotation["colour"] in ("class", "label") or "class" in annotation["text"]
    )


def check_config(config: dict, schema: dict) -> list[str]:
    """Return every problem of a configuration, one line each.

    Sections under ``tissues.<name>`` are held against the schema of the stage that they override, and so is every value
    that is to be swept.
    """
    problems = list(_violations(config, schema, ()))
    problems += _sweep_problems(config.get("sweep"), schema, ("sweep",))
    stages = _sections(schema)
    stages["properties"]["sweep"] = schema["properties"]["sweep"]
    tissues = config.get("tissues") or {}
    for name, override in tissues.items() if isinstance(tissues, dict) else ():
        problems += _violations(override or {}, stages, ("tissues", str(name)))
        if not isinstance(override, dict):
            continue
        problems += _sweep_problems(override.get("sweep"), schema, ("tissues", str(name), "sweep"))
        own = override.get("segmentation")
        if isinstance(own, dict) and "shards" in own:
            problems.append(f"tissues.{name}.segmentation.shards: set it for all slides, under `segmentation:`")
    return problems


def _sections(schema: dict, names: Iterable[str] = STAGES) -> dict:
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
            yield f"{'.'.join(path) or 'config'}: {_plainly(error)}"


def _plainly(error) -> str:
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


def read_sheet(path: str | Path, schema: dict, *, exists: Callable[[str], bool] | None = None) -> list[Sample]:
    """Read and check the sample sheet.

    Parameters
    ----------
    path
        CSV with a header row; comma, semicolon or tab between columns, a byte-order mark is accepted.
        Paths of slides are relative to the working directory.
    schema
        JSON schema of one row.
    exists
        Says whether a file that a row names is there or will be. By default, whether it is there.

    Raises
    ------
    ClusterfirstError
        Lists every problem of every row, with row (as a spreadsheet counts, the header is row 1) and column.
    """
    path = Path(path)
    if not path.is_file():
        raise ClusterfirstError(f"sample sheet {path} not found: make it, or set `slides:` in the config to your own")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ClusterfirstError(f"sample sheet {path} is not UTF-8 text ({error}): save it as 'CSV UTF-8'") from error
    first = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count))
    header = [name.strip() for name in next(reader, [])]

    problems = list(_header_problems(header, schema))
    samples, seen = [], {}
    if not problems:
        check = _RowCheck(header, schema, exists or _is_file)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            row = reader.line_num
            sample, wrong = check(cells)
            key = sample.slide.casefold() if sample else None
            if key in seen:
                wrong.append(f"column slide: '{sample.slide}' stands in row {seen[key]} already")
            elif key:
                seen[key] = row
            problems += [f"row {row}, {line}" for line in wrong]
            samples.append(sample)
        if not samples:
            problems.append(
                "no rows: add one line per slide, or give the configuration of your run, which names your sheet "
                '(`slides:`): --configfile FILE, with make ARGS="--configfile FILE" (the demo\'s is config/demo.yaml)'
            )
    if problems:
        count = f"{len(problems)} problem{'s' * (len(problems) > 1)}"
        raise ClusterfirstError("\n  ".join([f"sample sheet {path} has {count}:", *problems]))
    return samples


def _is_file(name: str) -> bool:
    return Path(name).is_file()


def _header_problems(header: list[str], schema: dict) -> Iterator[str]:
    known = schema["properties"]
    for name in schema["required"]:
        if name not in header:
            yield f"row 1: column '{name}' is missing (the header has: {', '.join(header) or 'nothing'})"
    for name in header:
        # Columns of one's own (patient, stain, …) are welcome; a misspelt one would silently do nothing.
        if name not in known and (near := difflib.get_close_matches(name.casefold(), known, n=1, cutoff=0.75)):
            yield f"row 1: unknown column '{name}'; did you mean '{near[0]}'?"
        if name and header.count(name) > 1:
            yield f"row 1: column '{name}' appears more than once"


def _finite(text: str) -> float:
    """NaN would pass any minimum and maximum."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


@dataclass
class _RowCheck:
    header: list[str]
    schema: dict
    exists: Callable[[str], bool]

    def __call__(self, cells: list[str]) -> tuple[Sample | None, list[str]]:
        """Return the row as a `Sample` (None if it has no usable id) and what is wrong with it."""
        from jsonschema import Draft202012Validator

        wrong = []
        if len(cells) > len(self.header):
            wrong.append(f"{len(cells)} cells for {len(self.header)} columns: quote a cell that holds the separator")
        row: dict[str, Any] = {
            name: text for name, cell in zip(self.header, cells, strict=False) if (text := cell.strip())
        }
        if "mpp" in row:
            text = row.pop("mpp")
            try:
                row["mpp"] = _finite(text)
            except ValueError:
                wrong.append(f"column mpp: '{text}' is not a number (µm per pixel, with a decimal point)")
        for error in Draft202012Validator(self.schema).iter_errors(row):
            column = str(error.path[0]) if error.path else error.message.split("'")[1]
            wrong.append(f"column {column}: {'is empty' if error.validator == 'required' else _plainly(error)}")
        for column in ("path", "objects", "truth"):
            if column in row and not self.exists(row[column]):
                what = "a folder, not a file:" if Path(row[column]).is_dir() else "no file"
                wrong.append(f"column {column}: {what} {row[column]} (relative to {Path.cwd()})")
        if "slide" not in row:
            return None, wrong
        if row["slide"].casefold() in RESERVED:
            wrong.append(f"column slide: '{row['slide']}' is the name of a folder of the workflow's own")
        known = {field.name: row.get(field.name) for field in fields(Sample)}
        return Sample(**known), wrong
