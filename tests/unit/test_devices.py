"""Who gets which GPU: on a machine that has two, as far as nvidia-smi says."""

import subprocess
import sys
import time

import pytest
import torch

from clusterfirst import devices

from ..gpus import UUIDS, two_gpus

JOB = """
import logging, os, sys, time
from clusterfirst import devices
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
devices.claim_gpu(poll_s=0.01)
print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
"""
HOLD = JOB + "time.sleep(60)\n"
# Nobody else may have made that file, and nobody may remove it.
SHARE = (
    JOB
    + """
from pathlib import Path
mine = Path(sys.argv[1]) / os.environ["CUDA_VISIBLE_DEVICES"]
mine.touch(exist_ok=False)
time.sleep(0.05)
mine.unlink()
"""
)


@pytest.fixture
def machine(tmp_path, repo):
    """The environment of jobs on a machine of two GPUs."""
    environment = two_gpus(tmp_path) | {"PYTHONPATH": str(repo / "workflow/scripts")}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    return environment


def start(code, environment, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def got(code, environment):
    """What a job that ends by itself was given."""
    with start(code, environment) as job:
        out, err = job.communicate(timeout=30)
    assert job.returncode == 0, err
    return out.strip()


def test_many_jobs_at_once_never_share_a_gpu(machine, tmp_path):
    held = tmp_path / "held"
    held.mkdir()
    jobs = [start(SHARE, machine, held) for _ in range(16)]
    outcomes = [(job.communicate(timeout=60), job.returncode) for job in jobs]
    assert [code for _, code in outcomes] == [0] * 16, outcomes
    assert {out.strip() for (out, _), _ in outcomes} == set(UUIDS)


def test_a_killed_job_leaves_its_gpu_to_the_one_that_waits(machine):
    with start(HOLD, machine) as first, start(HOLD, machine) as second:
        given = {job: job.stdout.readline().strip() for job in (first, second)}
        assert set(given.values()) == set(UUIDS)
        with start(JOB, machine) as third:
            # Says so before it waits.
            while "waiting: other jobs have claimed all GPUs" not in (line := third.stderr.readline()):
                assert line, "it did not wait"
            time.sleep(0.2)
            assert third.poll() is None
            first.kill()
            assert third.communicate(timeout=30)[0].strip() == given[first]
        second.kill()


def test_a_child_that_outlives_a_killed_job_does_not_keep_its_gpu(machine):
    forks = JOB.replace("print(", "if os.fork() == 0: time.sleep(3); os._exit(0)\nprint(") + "time.sleep(60)\n"
    with start(forks, machine) as first, start(HOLD, machine) as second:
        given = first.stdout.readline().strip()
        second.stdout.readline()
        first.kill()
        assert got(JOB, machine) == given
        second.kill()


@pytest.mark.parametrize(
    ("visible", "given"),
    [
        ("1", "1"),  # one is left, as Slurm leaves it: nothing to claim
        ("1,0", "1"),
        ("GPU-bb,GPU-aa", "GPU-bb"),
        ("", ""),
        ("-1", "-1"),
        ("MIG-cc,MIG-dd", "MIG-cc"),
    ],
)
def test_what_the_user_leaves_visible_is_respected(machine, visible, given):
    assert got(JOB, machine | {"CUDA_VISIBLE_DEVICES": visible}) == given


def test_a_gpu_is_the_same_however_it_is_written(machine):
    """Someone who names indices and someone who names nothing do not get the same one."""
    with start(HOLD, machine) as first:
        mine = first.stdout.readline().strip()
        other = "1" if mine == UUIDS[0] else "0"
        assert got(JOB, machine | {"CUDA_VISIBLE_DEVICES": "0,1"}) == other
        assert not mine.startswith(got(JOB, machine | {"CUDA_VISIBLE_DEVICES": "GPU-aa,GPU-bb"}))
        first.kill()


def test_without_nvidia_smi_nothing_is_claimed(machine, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert got(JOB, machine | {"PATH": str(empty)}) == "None"
    assert not list(tmp_path.glob("clusterfirst-*"))


def test_a_gpu_that_torch_cannot_use_is_given_back(machine):
    """nvidia-smi lists two, and there is none: `auto` computes on the CPU, and holds up nobody."""
    if torch.cuda.is_available():
        return
    code = HOLD.replace("devices.claim_gpu(poll_s=0.01)", "print(devices.choose('auto', threads=1).type)")
    with start(code, machine) as job:
        assert job.stdout.readline().strip() == "cpu"
        # It lives on.
        with start(HOLD, machine) as first, start(HOLD, machine) as second:
            assert {other.stdout.readline().strip() for other in (first, second)} == set(UUIDS)
            first.kill()
            second.kill()
        job.kill()
        assert "claimed GPU GPU-aa" in job.stderr.read()


def test_only_those_who_compute_on_a_gpu_claim_one(machine):
    code = JOB.replace("devices.claim_gpu(poll_s=0.01)", "devices.choose(False, threads=1); devices.rapids(False)")
    assert got(code, machine) == "None"


@pytest.mark.parametrize(
    ("free", "share", "expected"), [(1000, 0.5, 16), (1000, 1.0, 32), (10, 0.5, 1), (10**9, 0.5, 64)]
)
def test_as_many_at_once_as_fit_and_a_power_of_two(monkeypatch, free, share, expected):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 10**12))
    assert devices.most_at_once(torch.device("cuda"), bytes_each=30, share=share, most=64) == expected


def test_what_torch_keeps_of_a_gpu_is_given_back_before_less_is_tried(monkeypatch):
    done = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: done.append("emptied"))

    def compute():
        done.append("tried")
        if done.count("tried") < 2:
            raise RuntimeError("CUDA error: out of memory")
        return 7

    assert devices.in_less_memory(compute, done.append) == 7
    assert done == ["tried", "emptied", "CUDA error: out of memory", "tried"]


@pytest.mark.parametrize(
    ("vendor", "flags", "gains"),
    [
        ("GenuineIntel", "avx512_bf16 amx_bf16 amx_tile", True),
        ("GenuineIntel", "avx512f avx512_bf16", False),
        ("AuthenticAMD", "avx512f avx512_bf16", True),
        ("AuthenticAMD", "avx2", False),
    ],
)
def test_bfloat16_is_for_processors_that_are_faster_by_it(tmp_path, vendor, flags, gains):
    core = f"vendor_id\t: {vendor}\nmodel name\t: it: self\nflags\t\t: fpu {flags}\n\n"
    (tmp_path / "cpuinfo").write_text(core * 2)
    assert devices.cpu_gains_by_bf16(tmp_path / "cpuinfo") is gains


def test_where_nothing_is_said_of_the_processor_float32_is_taken(tmp_path):
    (tmp_path / "cpuinfo").write_text("CPU implementer\t: 0x41\nFeatures\t: fp asimd bf16\n")
    assert not devices.cpu_gains_by_bf16(tmp_path / "cpuinfo")
    assert not devices.cpu_gains_by_bf16(tmp_path / "nothing")
