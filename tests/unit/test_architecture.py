"""The order of the modules, and what importing them costs."""

import ast
import os
import subprocess
import sys

ORDER = (
    "io",
    "text",
    "fit",
    "backends",
    "layout",
    "devices",
    "weights",
    "slide",
    "outlines",
    "segmentation",
    "embedding",
    "reduction",
    "clustering",
    "labels",
    "html",
    "drawing",
    "proposing",
    "export",
    "plan",
    "evaluation",
    "health",
    "reports",
    "labelling",
)


# The names of files concern everybody; all else in its wing stands behind what is planned.
EARLY = {("plan", "layout"): "layout"}


def module_name(path, package) -> tuple[str, ...]:
    return path.relative_to(package).with_suffix("").parts


def wing(module: tuple[str, ...]) -> str:
    return EARLY.get(module[:2], module[0])


def imported(path, package) -> set[str]:
    """Wings of the library that a file imports from anywhere in it, functions and type checks included."""
    here = module_name(path, package)
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        base = None
        if isinstance(node, ast.ImportFrom):
            parts = tuple((node.module or "").split(".")) if node.module else ()
            if node.level:
                base = here[: len(here) - node.level] + parts
            elif parts[0] == "clusterfirst":
                base = parts[1:]
        if base is not None:
            found |= {wing((*base, alias.name)) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {
                wing(tuple(one.name.split(".")[1:])) for one in node.names if one.name.startswith("clusterfirst.")
            }
    return found


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
