"""Slides, weights and results in a bucket: a real server of the S3 protocol, and nothing on this disk."""

import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass

import boto3
import numpy as np
import pytest
import yaml
from PIL import Image

from clusterfirst.weights import WEIGHTS

from .conftest import SMALL

BUCKET, PREFIX = "results", "cohort/one"


@dataclass(frozen=True)
class Server:
    url: str

    def client(self):
        return boto3.client("s3", endpoint_url=self.url, region_name="us-east-1")

    def listed(self):
        """What lies below the prefix, without it."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{PREFIX}/")
        return {item["Key"].removeprefix(f"{PREFIX}/") for page in pages for item in page.get("Contents", [])}

    def read(self, key):
        return self.client().get_object(Bucket=BUCKET, Key=f"{PREFIX}/{key}")["Body"].read()

    def put(self, path, key, bucket=BUCKET):
        self.client().upload_file(str(path), bucket, key)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A process of its own, as a real one is; it takes any credentials."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        port = _free_port()
        log = (tmp_path_factory.mktemp("s3") / "server.log").open("w")
        process = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, process)
            yield Server(url)
        finally:
            process.terminate()
            process.wait(20)
            log.close()


def _wait_for(url, process):
    # Not urlopen: it remembers the proxies of its first call in this process, and another test may have set some.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(1200):
        assert process.poll() is None, "the server ended before it answered"
        try:
            direct.open(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"no answer from {url}")


@dataclass(frozen=True)
class Bucketed:
    """A project whose results lie in the bucket."""

    project: object
    server: Server

    @property
    def options(self):
        return [
            *("--default-storage-provider", "s3", "--default-storage-prefix", f"s3://{BUCKET}/{PREFIX}"),
            *("--storage-s3-endpoint-url", self.server.url),
        ]

    def run(self, *arguments):
        return self.project.run(*arguments, *self.options)


@pytest.fixture(scope="module")
def bucketed(server, new_project, tissue, weights, tmp_path_factory):
    """A finished run: the slide in a bucket of its own, outlines and weights beside the results."""
    folder = tmp_path_factory.mktemp("given")
    with Image.open(tissue / "a.png") as image:
        image.crop((0, 0, 400, 400)).save(folder / "slide.png")
    Image.fromarray(_discs(400)).save(folder / "outlines.png")
    for bucket in ("slides", BUCKET):
        server.client().create_bucket(Bucket=bucket)
    server.put(folder / "slide.png", "scanner/a.png", bucket="slides")
    server.put(folder / "outlines.png", f"{PREFIX}/outlines/a.png")
    server.put(weights, f"{PREFIX}/models/{weights.name}")
    project = new_project("bucketed")
    project.write(
        [{"slide": "a", "path": "s3://slides/scanner/a.png", "mpp": 0.499, "objects": "outlines/a.png"}],
        SMALL | {"segmentation": {"model": "precomputed"}, "models_dir": "models"},
    )
    run = Bucketed(project, server)
    done = run.run()
    assert done.returncode == 0, done.stdout
    return run


def _discs(size, step=20):
    """A label image of discs in rows: outlines of nothing in particular."""
    y, x = np.mgrid[:size, :size]
    label = y // step * (size // step) + x // step + 1
    middle = step // 2
    return np.where((y % step - middle) ** 2 + (x % step - middle) ** 2 <= 49, label, 0).astype(np.uint16)


def test_results_lie_in_the_bucket(bucketed):
    keys = bucketed.server.listed()
    assert {f"results/a/{name}" for name in ("masks.parquet", "embeddings.npy", "clusters.json")} <= keys
    # Folders, and logs, too.
    assert {"results/a/annotated/overview.png", "results/a/annotated/umap.png", "results/a/logs/embed.log"} <= keys
    clusters = json.loads(bucketed.server.read("results/a/clusters.json"))
    assert len(clusters["cells"]["cluster_id"]) == 400


def test_weights_come_from_the_bucket(bucketed):
    used = json.loads(bucketed.server.read("results/a/embeddings.json"))["models"]
    digests = {model["model"]: model["weights_sha256"] for model in used}
    assert digests == {"morphology": None, "instanseg": WEIGHTS["instanseg"].sha256}
    # They were there already: nothing was fetched.
    assert not any(key.startswith("models/logs") for key in bucketed.server.listed())
    assert not (bucketed.project.folder / "models").exists()


def test_nothing_is_left_on_this_disk(bucketed):
    folder = bucketed.project.folder
    assert [path.name for path in (folder / "results").rglob("*")] == [".lock"]
    kept = {path.suffix for path in (folder / ".snakemake/storage").rglob("*") if path.is_file()}
    assert kept <= {".log", ".tsv"}


def test_a_finished_run_has_nothing_to_do(bucketed):
    done = bucketed.run()
    assert done.returncode == 0, done.stdout
    assert "Nothing to be done" in done.stdout


def test_what_is_missing_is_said(bucketed):
    """A slide that is not in its bucket: before any job, and by its name."""
    project = bucketed.project
    before = (project.folder / "slides.csv").read_text()
    try:
        (project.folder / "slides.csv").write_text(before + "b,s3://slides/scanner/b.png,,0.499,outlines/a.png,\n")
        done = bucketed.run("--dry-run")
    finally:
        (project.folder / "slides.csv").write_text(before)
    assert done.returncode != 0
    assert "s3://slides/scanner/b.png" in done.stdout


def test_a_failed_slide_is_said_at_the_end(bucketed):
    """Its log is read where the storage keeps it."""
    project, server = bucketed.project, bucketed.server
    before = (project.folder / "slides.csv").read_text()
    server.client().put_object(Bucket=BUCKET, Key=f"{PREFIX}/outlines/bad.png", Body=b"no picture")
    try:
        (project.folder / "slides.csv").write_text(before + "bad,s3://slides/scanner/a.png,,0.499,outlines/bad.png,\n")
        done = bucketed.run("--retries", "0")
    finally:
        (project.folder / "slides.csv").write_text(before)
    assert done.returncode != 0
    (said,) = [line for line in done.stdout.splitlines() if line.startswith("failed: ")]
    assert said.startswith("failed: bad (segment)")
    assert "cannot be read as an image" in said
    assert "results/bad/logs/segment.log" in server.listed()
    assert "results/bad/masks.parquet" not in server.listed()


def test_a_changed_setting_redoes_only_what_follows(bucketed):
    """Last, for it changes the results: other clusters, fewer pictures, and none of the old ones left."""
    bucketed.project.change({"clustering": {"groups": 4}, "annotation": {"max_tiles": 1}})
    done = bucketed.run()
    assert done.returncode == 0, done.stdout
    assert re.findall(r"^localrule (\w+):", done.stdout, flags=re.M) == ["cluster", "annotate", "all"]
    clusters = json.loads(bucketed.server.read("results/a/clusters.json"))
    assert len(clusters["clusters"]) == 4
    assert yaml.safe_load(bucketed.server.read("results/a/settings.yaml"))["clustering"]["groups"] == 4
    pictures = {key for key in bucketed.server.listed() if key.startswith("results/a/annotated/x")}
    assert len(pictures) == 1
