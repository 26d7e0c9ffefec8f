"""The profile for one machine with GPUs: snakemake says how many jobs, the jobs who gets which GPU."""

import json
import subprocess
import sys
from itertools import combinations

from ..gpus import UUIDS, two_gpus

SNAKEFILE = """
rule all:
    input:
        expand("gpu-{number}.json", number=range(6)),
        expand("cpu-{number}.json", number=range(2)),

rule on_a_gpu:
    output:
        "gpu-{number}.json",
    resources:
        gpu=1,
    script:
        "job.py"

rule on_a_cpu:
    output:
        "cpu-{number}.json",
    resources:
        gpu=0,
    script:
        "job.py"
"""
JOB = """
import json, os, time
from clusterfirst import devices

if snakemake.resources.gpu:
    devices.claim_gpu()
began = time.time()
time.sleep(0.7)
told = {"device": os.environ.get("CUDA_VISIBLE_DEVICES"), "began": began, "ended": time.time()}
with open(snakemake.output[0], "w") as file:
    json.dump(told, file)
"""


def test_gpu_jobs_run_two_at_a_time_and_never_on_the_same_gpu(repo, tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "job.py").write_text(JOB)
    environment = two_gpus(tmp_path) | {"PYTHONPATH": str(repo / "workflow/scripts")}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    command = [sys.executable, "-m", "snakemake", "--directory", tmp_path, "--snakefile", tmp_path / "Snakefile"]
    command += ["--workflow-profile", repo / "profiles/workstation", "--cores", "8"]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(command, env=environment, check=False, **output)
    assert done.returncode == 0, done.stdout
    told = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("gpu-*.json"))]
    assert {job["device"] for job in told} == set(UUIDS)
    together = [(a, b) for a, b in combinations(told, 2) if a["began"] < b["ended"] and b["began"] < a["ended"]]
    assert together
    assert all(a["device"] != b["device"] for a, b in together)
    # The profile lets two run at once, so that none had to wait for a GPU.
    assert "waiting" not in done.stdout
    others = [json.loads(path.read_text()) for path in tmp_path.glob("cpu-*.json")]
    assert [job["device"] for job in others] == [None, None]
