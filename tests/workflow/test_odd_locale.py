"""Umlauts in folders, sheets and names, where the locale knows none."""

import shutil

import pytest

from clusterfirst.io import read_metadata


@pytest.fixture
def green(new_project, tissue):
    """A project whose folder, sheet and tissue have umlauts, and whose slide lies in another such folder."""
    project = new_project("Grün")
    folder = project.folder / "Präparate"
    folder.mkdir()
    shutil.copy(tissue / "a.png", folder / "Größe.png")
    project.write([{"slide": "a", "path": folder / "Größe.png", "tissue": "Öhr", "mpp": 0.499}])
    (project.folder / "slides.csv").rename(project.folder / "Blätter.csv")
    project.change({"slides": "Blätter.csv", "tissues": {"Öhr": {"tiling": {"tile_px": 256}}}})
    return project


def test_a_job_runs_where_the_locale_knows_no_umlauts(green, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = green.run("results/a/filtered.parquet")
    assert done.returncode == 0, done.stdout
    assert read_metadata(green.results("a") / "filtered.parquet")
    assert "UnicodeEncodeError" not in done.stdout


def test_it_is_refused_where_python_is_told_otherwise(green, monkeypatch):
    for name, value in {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}.items():
        monkeypatch.setenv(name, value)
    done = green.run("results/a/filtered.parquet")
    assert done.returncode != 0
    assert "'Bl\\xe4tter.csv': Python takes names of files for ascii here" in done.stdout
    assert "PYTHONUTF8=1" in done.stdout
    assert "not found" not in done.stdout
