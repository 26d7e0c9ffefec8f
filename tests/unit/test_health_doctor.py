"""What the doctor finds on good and on broken set-ups."""

import csv
import os
import re
import shutil
import subprocess
import sys
import venv

import pytest
import yaml
from PIL import Image

from clusterfirst import weights
from clusterfirst.health.doctor import findings, machine, project, slurm, storage
from clusterfirst.weights import Asset, Url


def told(found):
    """Findings as (level, about)."""
    return [(finding.level, finding.about) for finding in found]


@pytest.fixture
def path_with(tmp_path, monkeypatch):
    """Put commands of ours before all others, or instead of them."""

    def put(alone=False, **scripts):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name, script in scripts.items():
            (folder / name.replace("_", "-")).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name.replace("_", "-")).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder) if alone else f"{folder}:{os.environ['PATH']}")

    return put


# --- trying things out


def test_a_crash_a_hang_and_an_error_are_told_apart():
    assert findings.tried("print(1)") == findings.Tried("1\n")
    assert findings.tried("import os; os.abort()").why == "it was killed by signal 6"
    hung = findings.tried("import time; print('here', flush=True); time.sleep(60)", timeout_s=1)
    assert (hung.output, hung.why) == ("here\n", "no answer within 1 s")
    assert findings.tried("raise ValueError('no')").why == "ValueError: no"
    assert "No such file" in findings.tried_command(["/nowhere/command"]).why


@pytest.fixture
def no_home(monkeypatch):
    """A home in which nothing can be made, by nobody."""
    monkeypatch.setenv("HOME", "/proc/nowhere")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)


def test_without_a_place_for_caches_snakemake_does_not_start_and_it_is_said_what_to_set(no_home, tmp_path, monkeypatch):
    (found,) = storage._cache()
    assert (found.level, "Snakemake ends before it begins" in found.text) == ("problem", True)
    assert found.advice.startswith("export XDG_CACHE_HOME=")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "to be made"))
    assert told(storage._cache()) == [("ok", "cache")]


def test_packages_that_keep_caches_are_not_said_to_be_broken_for_it(no_home):
    where = "import os; print(os.environ.get('XDG_CACHE_HOME'))"
    assert os.access(findings.tried(where).output.strip(), os.W_OK)


def test_what_is_set_stays_set_where_it_can_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert findings.tried("import os; print(os.environ['XDG_CACHE_HOME'])").output.strip() == str(tmp_path)


def test_nobody_is_told_to_remove_an_environment_of_others(monkeypatch):
    assert "rm -rf .venv" in findings.setup()
    monkeypatch.setattr(sys, "prefix", "/proc/self")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "rm -rf" not in findings.setup()
    assert "/proc/self is not yours to change" in findings.setup()


def test_a_check_that_fails_is_a_finding():
    def failing():
        yield findings.Finding("ok", "x", "y")
        raise RuntimeError("broken")

    def missing():
        import no_such_package_at_all  # noqa: F401

    assert told(findings.guarded("x", failing)) == [("ok", "x"), ("problem", "x")]
    (found,) = findings.guarded("x", missing)
    assert "make the environment again" in found.advice


def test_colours_are_for_terminals():
    finding = findings.Finding("problem", "x", "one\ntwo", "do it")
    assert findings.lines(finding) == "problem   x: one\n          two\n          -> do it"
    assert "\x1b[31m" in findings.lines(finding, colour=True)


# --- machine


def test_packages_that_are_missing_or_too_old_are_named(tmp_path):
    file = tmp_path / "pyproject.toml"
    wanted = ["numpy>=1000", "no-such-package-at-all>=1", "pandas>=1", "nothing>=1; sys_platform == 'nowhere'"]
    file.write_text(f"[project]\ndependencies = {wanted}\n")
    (found,) = machine.packages(file)
    assert found.level == "problem"
    assert "numpy is" in found.text
    assert "no-such-package-at-all is missing" in found.text
    assert "pandas" not in found.text
    assert "nothing" not in found.text


def test_this_environment_has_what_pyproject_wants(repo):
    assert told(machine.packages(repo / "pyproject.toml")) == [("ok", "packages")]


def test_a_package_that_crashes_does_not_hide_the_others(tmp_path, monkeypatch):
    (tmp_path / "crashing.py").write_text("import os; os.abort()\n")
    (tmp_path / "failing.py").write_text("raise ImportError('libGL.so.1: cannot open')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = list(machine.imports(("json", "crashing", "csv", "failing", "io")))
    assert told(found) == [("problem", "import crashing"), ("problem", "import failing")]
    assert "signal 6" in found[0].text
    assert "libGL" in found[1].text
    assert told(machine.imports(("json",))) == [("ok", "imports")]


def test_openslide_reads():
    assert told(machine.openslide()) == [("ok", "OpenSlide")]


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def test_without_a_gpu_auto_is_content_and_true_is_not(no_gpu, path_with):
    path_with(alone=True)
    assert told(machine.gpu(False)) == [("ok", "GPU")]
    assert told(machine.gpu("auto")) == [("note", "GPU")]
    assert told(machine.gpu(True)) == [("problem", "GPU")]
    path_with(alone=True, sinfo="true")
    (found,) = machine.gpu(True)
    assert found.level == "note"
    assert "only submit" in found.advice


def test_a_driver_that_torch_cannot_use_is_told(no_gpu, path_with):
    path_with(nvidia_smi="echo 'NVIDIA H200, 400.1, 141000 MiB'", alone=True)
    found = list(machine.gpu(True))
    assert told(found) == [("ok", "driver"), ("problem", "GPU")]
    assert "the driver knows 1, but torch" in found[1].text


# --- folders


def test_folders_that_can_be_written_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = list(storage.folders("results", "models"))
    assert not [finding for finding in found if finding.level == "problem"]
    assert ("ok", "locks") in told(found)
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_place_of_a_folder(tmp_path):
    (tmp_path / "results").write_text("")
    (found,) = storage.folder("results", tmp_path / "results/more")
    assert found.level == "problem"
    assert "it is no folder" in found.text


def test_a_folder_without_write_access(tmp_path):
    # Root may write anywhere but there.
    folder = "/proc/self" if os.geteuid() == 0 else str(tmp_path / "locked")
    if os.geteuid():
        (tmp_path / "locked").mkdir(mode=0o500)
    (found,) = storage.folder("results", storage.Path(folder))
    assert found.level == "problem"
    assert "cannot be written to" in found.text
    assert "`results:` in the config" in found.advice


@pytest.mark.parametrize(
    ("free", "inodes", "level"), [(5e8, 10**6, "problem"), (5e9, 10**6, "note"), (5e11, 500, "problem")]
)
def test_a_full_folder(tmp_path, monkeypatch, free, inodes, level):
    usage = shutil._ntuple_diskusage(10**12, 10**12 - int(free), int(free))
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda path: usage)
    real = os.statvfs(tmp_path)

    class Stats:
        f_files, f_favail = max(real.f_files, 1), inodes

    monkeypatch.setattr(storage.os, "statvfs", lambda path: Stats)
    (found,) = storage.folder("results", tmp_path, little_gb=20)
    assert found.level == level


def test_an_exhausted_quota_is_felt_by_writing(tmp_path, monkeypatch):
    def refuse(*arguments, **keywords):
        raise OSError(122, "Disk quota exceeded")

    monkeypatch.setattr(storage.tempfile, "TemporaryFile", refuse)
    (found,) = storage.folder("results", tmp_path)
    assert (found.level, "Disk quota exceeded" in found.text) == ("problem", True)


def test_a_file_system_without_locks_is_a_note(tmp_path, monkeypatch):
    import fcntl

    def refuse(*arguments):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (found,) = storage._locks(tmp_path)
    assert (found.level, "Function not implemented" in found.text) == ("note", True)


# --- Slurm

PARTITIONS = r"""printf '%s\n' 'cpu|up|1-00:00:00|20|(null)' \
  'gpu|up|2-00:00:00|4|gpu:a100:4(S:0-1),tmp:1' 'old|down|1:00|1|gpu:k80:2'"""


def test_no_slurm_is_fine(path_with):
    path_with(alone=True)
    assert told(slurm.slurm()) == [("ok", "Slurm")]


@pytest.mark.parametrize(
    ("select", "how"),
    [("select/cons_tres", "gpu_model=a100"), ("select/linear", "gres=gpu:a100:1")],
)
def test_slurm_that_answers(path_with, select, how):
    path_with(sinfo=PARTITIONS, scontrol=f"echo 'SelectType              = {select}'", sacct="true")
    found = list(slurm.slurm())
    assert {finding.level for finding in found} == {"ok"}
    gpus = next(finding for finding in found if finding.about == "Slurm's GPUs")
    assert gpus.text.startswith("in gpu (a100).")
    assert how in gpus.text


def test_slurm_that_does_not_answer(path_with):
    path_with(sinfo="echo 'slurm_load_partitions: Unable to contact slurm controller' >&2; exit 1")
    for needed, level in ((False, "note"), (True, "problem")):
        (found,) = slurm.slurm(needed=needed)
        assert found.level == level
        assert "Unable to contact slurm controller" in found.text


def test_slurm_is_a_problem_only_where_jobs_are_to_go_there(path_with):
    path_with(alone=True)
    assert told(slurm.slurm(needed=True)) == [("problem", "Slurm")]
    path_with(sinfo="echo 'old|down|1:00|1|(null)'")
    assert told(slurm.slurm()) == [("note", "Slurm")]
    assert told(slurm.slurm(needed=True)) == [("problem", "Slurm")]


def test_slurm_without_gpus_and_without_accounting(path_with):
    path_with(sinfo="echo 'cpu|up|1:00|1|(null)'", sacct="echo 'accounting storage is disabled' >&2; exit 1")
    found = {finding.about: finding for finding in slurm.slurm()}
    assert found["Slurm's GPUs"].level == "note"
    assert "gpu: false" in found["Slurm's GPUs"].advice
    assert "slurm-status-command: squeue" in found["Slurm's accounting"].advice


# --- the user's own things


@pytest.fixture
def own(tmp_path, monkeypatch, repo):
    """Write a sheet and a configuration, and read them."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (100, 100), (200, 150, 180)).save(tmp_path / "a.png")

    def write(rows, config=None):
        with open("slides.csv", "w", newline="") as file:
            sheet = csv.DictWriter(file, ["slide", "path", "mpp"])
            sheet.writeheader()
            sheet.writerows(rows)
        mine = {"slides": "slides.csv", "models_dir": "models", "embedding": {"models": ["morphology"]}} | (
            config or {}
        )
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(mine))
        return project.read(["mine.yaml"], repo / "workflow/schemas")

    return write


GOOD = {"slide": "a", "path": "a.png", "mpp": 0.5}


def test_a_good_project(own):
    found, said = own([GOOD])
    assert told(said) == [("ok", "config"), ("ok", "sheet")]
    assert told(project.slides(found)) == [("ok", "slides")]


def test_all_bad_rows_are_told_at_once(own):
    _, said = own([GOOD, {"slide": "b", "path": "nowhere.svs"}, {"slide": "a", "path": "a.png", "mpp": "half"}])
    assert told(said) == [("ok", "config"), ("problem", "sheet")]
    for part in ("row 3, column path", "row 4, column mpp", "stands in row 2 already"):
        assert part in said[1].text


def test_all_bad_keys_are_told_at_once(own):
    found, said = own([GOOD], {"tilling": {}, "clustering": {"epps": 1}})
    assert found is None
    assert told(said) == [("problem", "config")]
    assert "did you mean 'tiling'" in said[0].text
    assert "clustering.epps" in said[0].text


def test_a_filter_that_is_off_is_fine_and_sweeping_it_is_not(own):
    found, said = own([GOOD], {"filter": False})
    assert told(said) == [("ok", "config"), ("ok", "sheet")]
    assert [settings.filter for settings in found.settings] == [False]
    found, said = own([GOOD], {"filter": False, "sweep": {"filter.min_tissue": [0.1]}})
    assert told(said) == [("problem", "config")]
    assert "sweep.filter.min_tissue: filtering is off here" in said[0].text


def test_what_goes_wrong_only_together_is_told(own):
    _, said = own([GOOD], {"clustering": {"scope": "tissue"}})
    assert told(said) == [("ok", "config"), ("ok", "sheet"), ("problem", "plan")]
    assert "clustering.scope is tissue, but slide a has none" in said[2].text
    _, said = own([GOOD], {"segmentation": {"model": "precomputed"}})
    assert "precomputed" in said[2].text


def test_nothing_is_said_of_weights_while_the_sheet_is_broken(own):
    found, _ = own([GOOD | {"path": "nowhere.svs"}])
    assert told(project.weights(found)) == [("note", "weights")]


def test_a_configuration_that_is_no_yaml(own, tmp_path, repo):
    (tmp_path / "bad.yaml").write_text("a: [1\n")
    assert told(project.read(["bad.yaml"], repo / "workflow/schemas")[1]) == [("problem", "config")]
    assert told(project.read(["gone.yaml"], repo / "workflow/schemas")[1]) == [("problem", "config")]


def test_slides_of_unknown_resolution_and_damaged_ones(own, tmp_path):
    (tmp_path / "b.png").write_text("no picture")
    found, _ = own([GOOD, {"slide": "b", "path": "b.png", "mpp": 0.5}, {"slide": "c", "path": "a.png"}])
    said = list(project.slides(found))
    assert told(said) == [("problem", "slide"), ("problem", "slide"), ("ok", "slides")]
    assert "b.png cannot be opened" in said[0].text
    assert "how many µm a pixel spans" in said[1].text
    assert said[2].text.startswith("1 of the 3")


def test_a_disk_that_does_not_answer_is_named(own, monkeypatch):
    found, _ = own([GOOD])
    slow = project._SLIDES.replace("with Slide", "import time; time.sleep(60)\n        with Slide")
    assert slow != project._SLIDES
    monkeypatch.setattr(project, "_SLIDES", slow)
    said = list(project.slides(found, timeout_s=10))
    assert told(said) == [("problem", "slides")]
    assert "opening a.png: no answer within 10 s" in said[0].text


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """The weights of InstanSeg are a few letters, to be had from a file or from nowhere."""

    def register(source):
        content = tmp_path / "content"
        content.write_bytes(b"weights")
        asset = Asset("tiny.pt", weights.sha256(content), (Url(source),), "tiny weights", "none")
        monkeypatch.setitem(weights.WEIGHTS, "instanseg", asset)
        return asset

    return register


def test_weights_that_are_there(own, tiny, tmp_path):
    asset = tiny("http://127.0.0.1:9/nothing")
    found, _ = own([GOOD])
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / asset.file).write_bytes(b"weights")
    # Nobody asks for their source any more.
    assert told(project.weights(found)) == [("ok", "weights")]
    (tmp_path / "models" / asset.file).write_bytes(b"half a download")
    (said,) = project.weights(found)
    assert said.level == "problem"
    assert "is not the file it should be: sha256" in said.text
    assert "make models" in said.advice


def test_weights_that_are_not_there(own, tiny, tmp_path):
    tiny("http://127.0.0.1:9/nothing")
    found, _ = own([GOOD])
    (said,) = project.weights(found)
    assert said.level == "problem"
    assert "no source can be reached" in said.text
    assert "Connection refused" in said.text
    assert f"put it at {tmp_path}/models/tiny.pt" in said.advice
    tiny((tmp_path / "content").as_uri())
    (said,) = project.weights(found)
    assert said.level == "note"
    assert "make models" in said.advice
    assert not (tmp_path / "models").exists()


def test_weights_of_ones_own_and_those_of_trials(own):
    found, _ = own(
        [GOOD], {"segmentation": {"weights": "mine.pt"}, "sweep": {"segmentation.weights": ["mine.pt", "yours.pt"]}}
    )
    texts = [finding.text for finding in project.weights(found)]
    assert texts == ["no file mine.pt", "no file yours.pt"]


# --- all of it


def run_doctor(repo, *arguments, python=sys.executable):
    command = [python, repo / "workflow/scripts/tools/doctor.py", *arguments]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_the_script_works_where_nothing_is_installed(repo, tmp_path):
    venv.create(tmp_path / "bare", with_pip=False)
    done = run_doctor(repo, "--directory", tmp_path, python=tmp_path / "bare/bin/python")
    assert done.returncode == 1
    assert "ok        Python" in done.stdout
    assert "problem   import torch: ModuleNotFoundError" in done.stdout
    assert "problem   config: cannot be looked at" in done.stdout
    assert "\x1b" not in done.stdout
    assert not done.stderr


def test_the_script_on_a_bad_sheet(repo, own, tmp_path):
    own([GOOD, {"slide": "b", "path": "nowhere.svs"}], {"segmentation": {"weights": "mine.pt"}, "gpu": False})
    done = run_doctor(repo, "--directory", str(tmp_path), "--configfile", "mine.yaml")
    assert done.returncode == 1, done.stdout
    assert "row 3, column path: no file nowhere.svs" in done.stdout
    assert "ok        OpenSlide" in done.stdout
    assert re.match(r"(1 problem|\d+ problems), (1 note|\d+ notes), \d+ ok$", done.stdout.splitlines()[-1])
