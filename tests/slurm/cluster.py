"""A real Slurm of one node, with two GPUs that are none: controller, node and authentication, without systemd."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

# The plugin's inner snakemake drops SLURM_CONF: the configuration can only be where Slurm looks by itself.
ETC = Path("/etc/slurm")
OURS = "# Written by the tests of clusterfirst."
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")

# More CPUs than the machine has, so that jobs need not queue; limits of memory are kept by looking every second.
# Killed jobs have three seconds to end; records of jobs are kept for as long as tests look at them.
SLURM_CONF = """{ours}
ClusterName=test
SlurmctldHost={host}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
MinJobAge=3600
KillWait=3
ReturnToService=2
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName={host} CPUs=32 RealMemory=64000 Gres=gpu:fake:2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
# Any two character devices will do.
GRES_CONF = "NodeName={host} Name=gpu Type=fake File=/dev/null\nNodeName={host} Name=gpu Type=fake File=/dev/zero\n"
FILES = {"slurm.conf": SLURM_CONF, "gres.conf": GRES_CONF, "cgroup.conf": "CgroupPlugin=cgroup/v1\n"}


def why_not() -> str | None:
    """Why no cluster can be had on this machine; None if it can."""
    if missing := [program for program in PROGRAMS if not shutil.which(program)]:
        return f"no {', '.join(missing)}: install slurm-wlm and munge"
    if os.geteuid() != 0:
        return "only root can start a Slurm"
    conf = ETC / "slurm.conf"
    if conf.exists() and not conf.read_text().startswith(OURS):
        return f"this machine belongs to a cluster already: {conf}"
    return None


def until(condition: Callable, what: str, seconds: float = 60):
    """Wait until the condition holds; return what it returned."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, f"waited {seconds} s in vain until {what}"
        time.sleep(0.2)
    return result


@dataclass
class Cluster:
    """A cluster that is up between `start` and `stop`."""

    folder: Path
    running: dict[str, subprocess.Popen] = field(default_factory=dict)

    def start(self) -> None:
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        ETC.mkdir(exist_ok=True)
        about = {"ours": OURS, "host": socket.gethostname(), "folder": self.folder, "ports": free_ports(2)}
        for name, text in FILES.items():
            (ETC / name).write_text(text.format(**about))
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        # Forced, for it finds fault with folders below /tmp.
        options = [f"--{name}-file={self.folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        self._launch("munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket", *options)
        until((self.folder / "munge.socket").exists, "munge listens")
        self._launch("slurmctld", "-D")
        self._launch("slurmd", "-D")
        until(self.idle, f"the node is idle (see the logs in {self.folder})")

    def stop(self) -> None:
        if set(self.running) >= {"slurmctld", "slurmd"}:
            subprocess.run(["scancel", "--user=root"], check=False)
            until(self.empty, "no job is left", 20)
        for name in ("slurmd", "slurmctld", "munged"):
            if name in self.running:
                self.end(name, signal.SIGTERM)
        for name in FILES:
            (ETC / name).unlink(missing_ok=True)

    def restart_controller(self) -> None:
        """Stop the controller and start it again, as for an update; meanwhile nobody answers."""
        self.end("slurmctld", signal.SIGTERM)
        time.sleep(3)
        self._launch("slurmctld", "-D")

    def end(self, name: str, how: signal.Signals) -> None:
        process = self.running.pop(name)
        process.send_signal(how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _launch(self, *command: str) -> None:
        streams = {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
        with (self.folder / f"{command[0]}.out").open("a") as out:
            # Ctrl-C is for the tests, which then stop the cluster in order.
            self.running[command[0]] = subprocess.Popen(command, stdout=out, start_new_session=True, **streams)

    def idle(self) -> bool:
        seen = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False)
        return seen.stdout.strip() == "idle"

    def empty(self) -> bool:
        left = subprocess.run(["squeue", "--noheader"], capture_output=True, text=True, check=False)
        return left.returncode == 0 and not left.stdout.strip()

    def jobs(self) -> dict[str, dict[str, str]]:
        """What Slurm knows of all jobs since it came up, by id: fields as `scontrol show job` names them."""
        seen = subprocess.run(
            ["scontrol", "--oneliner", "show", "job"], capture_output=True, text=True, check=False
        ).stdout
        records = [dict(re.findall(r"(\S+?)=(.*?)(?=\s+\S+?=|$)", line)) for line in seen.splitlines()]
        return {record["JobId"]: record for record in records if "JobId" in record}


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
