"""The order of the modules, and what importing them costs."""

import ast
import os
import re
import subprocess
import sys

from clusterfirst.export import FORMATS
from clusterfirst.labels import SOURCES
from clusterfirst.plan.layout import ClassifyFolder, ResultsFolder, SlideFolder
from clusterfirst.plan.wanted import LABELS

ORDER = (
    "text",
    "io",
    "paths",
    "fit",
    "backends",
    "layout",
    "devices",
    "coinciding",
    "proxies",
    "weights",
    "engine",
    "slide",
    "outlines",
    "segmentation",
    "embedding",
    "reduction",
    "clustering",
    "labels",
    "html",
    "drawing",
    "learning",
    "proposing",
    "export",
    "plan",
    "small",
    "evaluation",
    "health",
    "reports",
    "labelling",
)


SECTIONS = {
    "slide": ("tiling", "filter"),
    "segmentation": ("segmentation",),
    "embedding": ("embedding",),
    "reduction": ("reduction",),
    "clustering": ("clustering", "representatives"),
    "drawing": ("annotation",),
    "proposing": ("classify",),
    "export": ("export",),
}
"""Of the configuration, those that each wing is told."""

SOMETHING_ELSE = {
    "slide/slide.py Slide.__init__ mpp": "of the slide itself, whatever its file says",
    "slide/slide.py Slide.read mpp": "of one picture; None: the slide's own",
    "slide/slide.py Slide.thumbnail mpp": "of one picture",
    "slide/tissue.py tissue_mask mpp": "of a thumbnail",
    "drawing/svg.py _add text": "inside an element of XML",
    "drawing/texts.py Text colour": "a colour, not what cells are coloured by",
}
"""Parameters with a default that are called like a setting, and what they are instead; or how their names begin."""

# The names of files concern everybody; all else in its wing stands behind what is planned.
EARLY = {("plan", "layout"): "layout"}


def module_name(path, package) -> tuple[str, ...]:
    return path.relative_to(package).with_suffix("").parts


def wing(module: tuple[str, ...]) -> str:
    return EARLY.get(module[:2], module[0])


def names_imported(path, package) -> set[tuple[str, ...]]:
    """All that a file imports from anywhere in it, functions and type checks included: full names, in parts."""
    here = ("clusterfirst", *module_name(path, package))
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            above = here[: len(here) - node.level] if node.level else ()
            parts = tuple(node.module.split(".")) if node.module else ()
            found |= {(*above, *parts, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {tuple(alias.name.split(".")) for alias in node.names}
    return found


def imported(path, package) -> set[str]:
    """Wings of the library that a file imports."""
    return {wing(name[1:]) for name in names_imported(path, package) if name[0] == "clusterfirst" and name[1:]}


def sources(repo):
    package = repo / "workflow" / "scripts" / "clusterfirst"
    return package, sorted(path for path in package.rglob("*.py") if path.parent != package or path.stem != "__init__")


def test_a_module_imports_only_what_stands_before_it(repo):
    package, files = sources(repo)
    wrong = []
    for path in files:
        own = wing(module_name(path, package))
        assert own in ORDER, f"{path.name}: say in ORDER where it stands"
        allowed = set(ORDER[: ORDER.index(own) + 1])
        wrong += [f"{path.relative_to(package)} imports {name}" for name in sorted(imported(path, package) - allowed)]
    assert not wrong


def test_the_check_of_imports_sees_imports(repo):
    package, files = sources(repo)
    by_name = {"/".join(module_name(path, package)): imported(path, package) for path in files}
    assert {"io", "slide"} <= by_name["slide/tissue"]
    assert {"io", "outlines", "slide", "segmentation"} <= by_name["segmentation/pipeline"]
    assert by_name["plan/layout"] == by_name["text"] == set()


def parameters_with_defaults(tree, inside="") -> list[str]:
    """Those of functions, and fields of classes: ``Class.method parameter``. A lambda only binds what is around it."""
    found = []
    for node in ast.iter_child_nodes(tree):
        within = inside
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own = fields_with_defaults(node) if isinstance(node, ast.ClassDef) else arguments_with_defaults(node.args)
            found += [f"{inside}{node.name} {name}" for name in own]
            within = f"{inside}{node.name}."
        found += parameters_with_defaults(node, within)
    return found


def fields_with_defaults(node: ast.ClassDef) -> list[str]:
    return [one.target.id for one in node.body if isinstance(one, ast.AnnAssign) and one.value is not None]


def arguments_with_defaults(of: ast.arguments) -> list[str]:
    by_place = [*of.posonlyargs, *of.args]
    found = by_place[len(by_place) - len(of.defaults) :]
    found += [one for one, value in zip(of.kwonlyargs, of.kw_defaults, strict=True) if value is not None]
    return [one.arg for one in found]


def test_what_the_schema_has_a_default_for_has_none_in_a_signature(repo, schema):
    package, files = sources(repo)
    found = []
    for path in files:
        keys = {key for name in SECTIONS.get(path.relative_to(package).parts[0], ()) for key in keys_of(schema, name)}
        names = parameters_with_defaults(ast.parse(path.read_text(encoding="utf-8")))
        found += [f"{path.relative_to(package)} {name}" for name in names if name.split()[-1] in keys]
    assert not [name for name in found if not name.startswith(tuple(SOMETHING_ELSE))]
    assert not [name for name in SOMETHING_ELSE if not any(one.startswith(name) for one in found)], "there no longer"


def keys_of(schema, section) -> set[str]:
    return set(schema["properties"][section]["properties"])


def test_the_library_knows_nothing_of_snakemake(repo):
    _, files = sources(repo)
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "snakemake" for name in names), path.name


def test_importing_the_library_does_not_import_what_only_backends_need(repo):
    package, files = sources(repo)
    present = {module_name(path, package)[0] for path in files}
    modules = ", ".join(f"clusterfirst.{name}" for name in ORDER if name in present)
    heavy = ("openai", "torch", "torchvision", "timm", "onnxruntime", "torchstain", "umap", "cuml", "cellpose")
    code = f"import sys, {modules}; print([name for name in {heavy} if name in sys.modules])"
    environment = os.environ | {"PYTHONPATH": str(package.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


WEB = (
    "fastapi.",
    "pydantic.",
    "starlette.",
    "uvicorn.",
    "clusterfirst.labelling.server.",
    "clusterfirst.labelling.blind.",
)
PICTURES = ("PIL.", "cv2.", "matplotlib.", "clusterfirst.drawing.", "clusterfirst.slide.")
CLOSED = {"record": (*WEB, *PICTURES, "clusterfirst.labelling.cells."), "cells": WEB}
"""What a room of the labelling app must not import."""


def test_what_people_said_knows_neither_cells_nor_the_web_and_cells_know_no_server(repo):
    package, _ = sources(repo)
    wrong = []
    for room, closed in CLOSED.items():
        for path in sorted((package / "labelling" / room).glob("*.py")):
            names = [".".join(name) for name in names_imported(path, package)]
            wrong += [f"{room}/{path.name}: {name}" for name in names if f"{name}.".startswith(closed)]
    assert not wrong


ADAPTERS = ("adapters.smk", "lifecycle.smk")
"""Where rules meet the library: the only files of rules with functions."""


def test_rules_are_rules_and_functions_stand_in_the_library(repo):
    files = [repo / "workflow/Snakefile", *(repo / "workflow/rules").glob("*.smk")]
    assert len(files) > 10
    defined = {path.name: re.findall(r"^\s*(?:def|class) (\w+)", path.read_text(), flags=re.M) for path in files}
    assert all(defined[name] for name in ADAPTERS)
    assert not {name: found for name, found in defined.items() if found and name not in ADAPTERS}


def plain_strings(tree):
    """Strings of a module that are no statement of their own, as docstrings are; those between braces, too."""
    alone = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = {node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return strings - alone


def test_names_of_result_files_are_said_once(repo):
    folders = [SlideFolder, ResultsFolder, ClassifyFolder]
    names = {name.rpartition("/")[2] for folder in folders for name in folder.names().values()}
    names = {name for name in names if not name.startswith(".") and "." in name} | {f.file for f in FORMATS.values()}
    assert {"clusters.json", "masks.parquet", "cells.h5ad", "ledger.jsonl"} <= names
    package, files = sources(repo)
    allowed = {package / "plan" / "layout.py", package / "export" / "__init__.py"}
    files = {*files, *package.parent.glob("*.py"), *package.parent.glob("tools/*.py")} - allowed
    strings = ((path, node) for path in files for node in plain_strings(ast.parse(path.read_text(encoding="utf-8"))))
    # Sentences may name a file; a path has no spaces.
    paths = ((path, node) for path, node in strings if " " not in node.value.strip())
    found = [f"{path.name}:{node.lineno}" for path, node in paths if names & set(node.value.split("/"))]
    assert not found


LOADERS = ("pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal")
"""What runs code that stands in the file it reads."""


def test_no_file_is_read_that_could_run_code(repo):
    package, _ = sources(repo)
    files = [*package.parent.rglob("*.py"), *(repo / "workflow/rules").glob("*.smk")]
    wrong = []
    for path in files:
        text = path.read_text(encoding="utf-8")
        found = re.findall(
            r"allow_pickle\s*=\s*True|read_pickle|weights_only\s*=\s*False|yaml\.(?:full_|unsafe_)?load\b", text
        )
        found += [call for call in re.findall(r"\btorch\.load\([^()]*\)", text) if "weights_only=True" not in call]
        found += re.findall(rf"\b(?:{'|'.join(LOADERS)})\.(?:loads?|Unpickler|open)\b", text)
        found += re.findall(r"(?<![.\w])(?:eval|exec)\(", text)
        wrong += [f"{path.name}: {one}" for one in found]
    assert not wrong


def routes_of(path):
    """Functions that answer a request, with the parts of its path that are words."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            asked = [one.args[0].value for one in node.decorator_list if isinstance(one, ast.Call) and one.args]
            if asked:
                yield node, set(re.findall(r"\{(\w+)(?::path)?\}", "".join(asked)))


def test_what_a_request_names_is_looked_up_and_no_path_is_made_of_it(repo):
    package, _ = sources(repo)
    routes = [
        one
        for room in ("server", "blind")
        for path in (package / "labelling" / room).glob("*.py")
        for one in routes_of(path)
    ]
    assert len(routes) > 15
    for function, words in routes:
        for node in ast.walk(function):
            joined = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
            opened = isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Path", "open")
            used = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)} if joined or opened else set()
            assert not used & words, f"{function.name} makes a path of {used & words}"


def test_every_source_of_labels_has_files_and_no_other():
    assert [source.name for source in SOURCES] == [*LABELS]
