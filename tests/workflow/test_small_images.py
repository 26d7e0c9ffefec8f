"""Many small images: one job does many of them, and each fails, is redone and is told of as if it were alone."""

import json
import os
import shutil
import signal
import subprocess
import zipfile

import geopandas
import numpy as np
import pytest
from PIL import Image

from clusterfirst.reports import costs
from clusterfirst.slide.slide import Slide

from .conftest import SMALL, copy_of
from .test_runs import check_contract, wait_for

CUT = "the damaged one"
GOOD = ("a", "b", "c", "d", "e")
STAGES = ("tile", "filter_tiles", "outline", "segment", "embed", "reduce", "cluster", "annotate")


@pytest.fixture(scope="module")
def pieces(tissue, cmu, tmp_path_factory):
    """Five pieces of a real slide, two of them those of the other tests, and half a file."""
    folder = tmp_path_factory.mktemp("pieces")
    with Slide(cmu) as slide:
        for name, x, y in (("c", 900, 1500), ("d", 1300, 2000), ("e", 1000, 1200)):
            Image.fromarray(slide.read(x, y, 500, 400)).save(folder / f"{name}.png")
    for name in "ab":
        shutil.copy(tissue / f"{name}.png", folder)
    whole = (folder / "a.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    return folder


def write(project, pieces, **config):
    rows = [
        {"slide": name, "path": pieces / f"{name}.png", "tissue": "tb" if name == "b" else "ta", "mpp": 0.499}
        for name in (*GOOD, "cut")
    ]
    project.write(rows, SMALL | {"small_images": {"minutes": 30}} | config)


@pytest.fixture(scope="module")
def ran(new_project, pieces):
    """A run of them, and what it said."""
    project = new_project("small")
    write(project, pieces)
    return project, project.run("--retries", "0").stdout


@pytest.fixture
def again(ran, tmp_path):
    """A copy, to be tampered with."""
    return copy_of(ran[0], tmp_path / "copy")


def test_the_good_ones_finish_and_the_damaged_one_fails_alone_with_its_reason(ran):
    project, said = ran
    for name in GOOD:
        assert check_contract(project.results(name)) > 50
    account = said[said.rindex("Exiting because") :]
    assert account.count("failed: ") == 1
    assert "failed: cut (tile): " in account
    assert "cut.png" in account
    assert str(project.results("cut").relative_to(project.folder) / "logs/tile.log") in account
    assert not list(project.results("cut").glob("*.*"))
    # What nobody could make for it and what was made for others is gone; what it would be made of is not.
    left = [path.name for path in project.folder.glob("results/.small/*/*")]
    assert set(left) == {"cut"}


def test_one_process_made_several_images(ran):
    project, _ = ran
    logs = [project.results(name) / f"logs/{job}.log" for name in GOOD for job in ("tile", "embed")]
    heads = [log.read_text().splitlines()[0] for log in logs]
    processes = {head.rsplit(" ", 1)[1] for head in heads}
    # Two cores: at most two jobs found nothing made yet. All others took what there was.
    assert len(processes) <= 2


def test_what_comes_out_is_what_comes_out_of_stages_on_their_own(ran, finished):
    project, _ = ran
    for name in "ab":
        own, apart = project.results(name), finished.results(name)
        masks, others = (geopandas.read_parquet(folder / "masks.parquet") for folder in (own, apart))
        assert masks.equals(others)
        np.testing.assert_array_equal(*(np.load(folder / "embeddings.npy") for folder in (own, apart)))
        assert (own / "failed_tiles.csv").read_bytes() == (apart / "failed_tiles.csv").read_bytes()
        clusters = [json.loads((folder / "clusters.json").read_text())["clusters"] for folder in (own, apart)]
        assert clusters[0] == clusters[1]
        made, made_apart = ({path.relative_to(folder) for path in folder.rglob("*.*")} for folder in (own, apart))
        assert made == made_apart


def test_a_second_run_does_only_what_is_missing(again):
    assert again.jobs() == {("small_image", "cut"), ("small_image_clusters", "cut")}
    (again.results("a") / "clusters.png").unlink()
    (again.results("c") / "filtered.png").unlink()
    expected = {("small_image_clusters", name) for name in ("a", "c", "cut")}
    assert again.jobs() == expected | {("small_image", "c"), ("small_image", "cut")}


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"annotation": {"line_um": 2.0}}, ["small_image_clusters"]),
        ({"clustering": {"groups": 7}}, ["small_image_clusters"]),
        ({"embedding": {"crop_um": 20}}, ["small_image", "small_image_clusters"]),
        ({"filter": {"min_tissue": 0.1}}, ["small_image", "small_image_clusters"]),
    ],
)
def test_a_changed_setting_of_one_tissue_redoes_its_images(again, change, rules):
    again.change({"tissues": {"tb": change}})
    assert again.jobs() == {(rule, name) for rule in rules for name in "b"} | {
        ("small_image", "cut"),
        ("small_image_clusters", "cut"),
    }


def test_a_changed_setting_is_in_what_is_made_anew_and_a_mended_image_is_done(ran, pieces, tmp_path):
    mended = tmp_path / "pieces"
    shutil.copytree(pieces, mended)
    project = copy_of(ran[0], tmp_path / "copy")
    write(project, mended, clustering={"groups": 6})
    shutil.copy(pieces / "d.png", mended / "cut.png")
    done = project.run("--retries", "0")
    assert done.returncode == 0, done.stdout
    assert not (project.folder / "results/.small").exists()
    for name in (*GOOD, "cut"):
        clusters = json.loads((project.results(name) / "clusters.json").read_text())
        assert clusters["counts"]["clusters"] <= 6
    cells = [geopandas.read_parquet(project.results(name) / "masks.parquet") for name in ("cut", "d")]
    assert cells[0].equals(cells[1])
    assert project.jobs() == set()


def test_an_image_that_was_replaced_is_done_again_and_no_other(ran, pieces, tmp_path):
    folder = tmp_path / "pieces"
    shutil.copytree(pieces, folder)
    project = copy_of(ran[0], tmp_path / "copy")
    write(project, folder)
    # The paths are others, and the files hold the same: nothing but what they are called is new.
    assert project.run("--touch").returncode == 0
    stat = (folder / "e.png").stat()
    shutil.copy(folder / "d.png", folder / "e.png")
    os.utime(folder / "e.png", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert {slide for _, slide in project.jobs()} == {"cut", "e"}


def test_what_a_killed_run_has_made_is_taken_by_the_next(new_project, pieces):
    project = new_project("killed")
    write(project, pieces)
    kept = project.folder / "results/.small/small_image"
    with subprocess.Popen(
        project.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as run:
        wait_for(lambda: len([*kept.glob("*/done.json")]) >= 2, seconds=600)
        os.killpg(run.pid, signal.SIGKILL)
    made = [path.parent.name for path in kept.glob("*/done.json")]
    before = {name: (kept / name / "made/logs/tile.log").read_text() for name in made}
    project.run("--retries", "0")
    assert {name: (project.results(name) / "logs/tile.log").read_text() for name in made} == before
    assert all(check_contract(project.results(name)) > 50 for name in GOOD)


def test_the_report_shows_them(again):
    done = again.run("--report", "report.zip")
    assert done.returncode == 0, done.stdout
    with zipfile.ZipFile(again.folder / "report.zip") as report:
        (page,) = [report.read(name).decode() for name in report.namelist() if name.endswith("report.html")]
    assert "Clusters of b: " in page
    assert "Cells of b on the slide, coloured by cluster" in page
    assert "Tiles of b: cells are looked for" in page


def test_status_tells_stage_by_stage(ran):
    project, _ = ran
    done = project.run("status", "--quiet", "all")
    assert done.returncode == 0, done.stdout
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("c ")]
    assert row.split()[1:9] == ["ok"] * 8
    assert "cut  tile: " in done.stdout


def test_what_each_stage_took_is_measured_in_the_process_that_did_it(ran):
    project, _ = ran
    results = project.folder / "results"
    table = costs.read(costs.files(results, GOOD, results="results"))
    assert set(table["stage"]) == set(STAGES)
    assert (table.groupby("slide")["stage"].nunique() == 8).all()
    # The network of an image and its Python take more than that, and no more than the machine has.
    memory = table.set_index(["stage", "slide"])["max_memory_mb"]
    assert memory["outline"].between(300, 10_000).all()
    assert (table["seconds"] > 0).all()
    assert table["cpu_seconds"].notna().all()


def test_a_cohort_of_small_images_shares_its_map_and_clusters(again, pieces):
    write(again, pieces, clustering={"scope": "cohort"})
    expected = {("small_image_share", name) for name in (*GOOD, "cut")}
    assert again.jobs() == expected | {
        ("small_image", "cut"),
        ("reduce", "groups/cohort"),
        ("cluster", "groups/cohort"),
    }
    sheet = (again.folder / "slides.csv").read_text().splitlines()
    (again.folder / "slides.csv").write_text("\n".join(line for line in sheet if not line.startswith("cut")) + "\n")
    done = again.run()
    assert done.returncode == 0, done.stdout
    shared = [json.loads((again.results(name) / "clusters.json").read_text()) for name in GOOD]
    together = json.loads((again.results("groups/cohort") / "clusters.json").read_text())
    assert sum(one["counts"]["cells"] for one in shared) == together["counts"]["cells"]
    assert all((again.results(name) / "annotated/overview.png").is_file() for name in GOOD)


def test_pictures_in_the_colours_of_classes_are_drawn_by_a_job_of_their_own(again, pieces):
    write(again, pieces, annotation={"colour": "class"})
    rules = {rule for rule, slide in again.jobs() if slide == "a"}
    assert {"label_cells", "annotate"} <= rules
    assert "small_image_clusters" not in rules


def test_trials_of_a_sweep_are_stages_on_their_own(again, pieces):
    write(again, pieces, sweep={"clustering.groups": [5, 6]})
    done = again.run("sweep", "-n", "--quiet", "host")
    assert done.returncode == 0, done.stdout
    assert "wildcards: group=sweep/clustering_groups~5/a" in done.stdout
