"""Files and folders with names that mean something to shells, Snakemake or Python."""

from .test_odd_inputs import SMALL, write

ODD = "it's {slide} <results> {batch, x} [a]* ?\"#ü 100% $"
RESULTS = "it's [a]* ?\"#ü 100% $"


def test_a_run_with_odd_names(new_project, tmp_path, monkeypatch):
    project = new_project("odd")
    folder = project.folder / ODD
    write(folder, 20)
    row = {"slide": "odd", "path": f"~/{ODD}/a.png", "mpp": 0.5, "objects": (folder / "a.geojson").as_uri()}
    project.write([row], SMALL | {"results": f"${{OWN_FOLDER}}/{RESULTS}"})
    monkeypatch.setenv("OWN_FOLDER", str(project.folder))
    monkeypatch.setenv("HOME", str(project.folder))
    # A library of another version that is installed is not the one that jobs import.
    installed = tmp_path / "clusterfirst/__init__.py"
    installed.parent.mkdir()
    installed.write_text("raise RuntimeError('another version')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    cells = str(project.folder / RESULTS / "odd/masks.parquet")
    done = project.run(cells)
    assert done.returncode == 0, done.stdout
    # The next run knows them by the same names.
    assert project.jobs(cells) == set()
    made = {path.name for path in project.folder.iterdir()} - {".cache", ".config"}
    assert made == {"config", "slides.csv", "own.yaml", ".snakemake", ODD, RESULTS}
