"""The house rules of the scripts in pages; `make lint` asks for them, too. No node is needed."""

import re

IMPORT = re.compile(r'(?m)(?:^(?:import|export)\b[^";]*\bfrom |^import |\bimport\()"([^"]+)"')


def test_lines_are_no_longer_than_120_columns(repo):
    scripts = [*(repo / "workflow").rglob("*.js"), *(repo / "tests").rglob("*.js")]
    assert scripts
    lines = [
        f"{path.relative_to(repo)}:{number}"
        for path in scripts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if len(line) > 120
    ]
    assert not lines


def imports(repo) -> dict[str, set[str]]:
    """By folder of the labelling app's scripts, the folders that it imports from, itself apart; types count, too."""
    static = repo / "workflow/scripts/clusterfirst/labelling/static"
    folders = {path.name: set() for path in static.iterdir() if path.is_dir()}
    for path in static.rglob("*.js"):
        for name in IMPORT.findall(path.read_text(encoding="utf-8")):
            target = (path.parent / name).resolve()
            assert target.is_file(), f"{path.relative_to(static)} imports {name}, which is not there"
            folders[path.parent.name].add(target.parent.name)
    return {folder: others - {folder} for folder, others in folders.items()}


def test_the_viewer_knows_no_labels(repo):
    folders = imports(repo)
    assert set(folders) == {"viewer", "naming", "blind", "data", "ui"}
    assert folders["viewer"] <= {"ui"}
    assert {"viewer", "data", "ui"} <= folders["naming"], "the check sees imports"


def test_folders_of_scripts_import_each_other_in_no_circle(repo):
    folders = imports(repo)
    while free := [folder for folder, others in folders.items() if not others & folders.keys()]:
        for folder in free:
            del folders[folder]
    assert not folders
