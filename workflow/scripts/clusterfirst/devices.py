"""Which device to compute on: one that no other job of ours has, found out by asking the device, not the import."""

from __future__ import annotations

import fcntl
import importlib.util
import logging
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .io import ClusterfirstError

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_NODES = ("nvidia*", "nvhost*", "nvmap", "kfd", "dxg")
"""What drivers of GPUs that torch computes on leave in /dev: NVIDIA's, its boards', AMD's, and Windows' for Linux."""


@dataclass(frozen=True)
class Device:
    """Where networks compute.

    Attributes
    ----------
    type : str
        ``"cpu"`` or ``"cuda"``.
    threads : int
        Cores of the CPU to use.
    """

    type: str
    threads: int

    def torch(self) -> torch.device:
        """Return it as torch calls it, and hold torch to those threads."""
        import torch

        torch.set_num_threads(self.threads)
        return torch.device(self.type)


_claimed: int | None = None
"""The open lock file of this process's GPU. The claim lasts as long as the file is open."""


def claim_gpu(*, poll_s: float = 1.0) -> str | None:
    """Make one GPU, that no other process has claimed, the only one that this process and its children see.

    Snakemake and its like count GPUs; which of them a job gets, only schedulers of clusters say (with
    ``CUDA_VISIBLE_DEVICES``). Elsewhere jobs agree by locks on files, one per device, in a folder of the user's. The
    operating system drops a lock when its process ends, however it does. Call this before CUDA is initialised.

    Parameters
    ----------
    poll_s
        Seconds between two looks for a free device while all are taken.

    Returns
    -------
    str or None
        What ``CUDA_VISIBLE_DEVICES`` was set to; None if nothing was to be claimed: there is no GPU, that variable
        names one alone, or this process has claimed one already.
    """
    global _claimed
    devices = {} if _claimed is not None else _visible_gpus()
    if not devices or (len(devices) == 1 and "CUDA_VISIBLE_DEVICES" in os.environ):
        return None
    folder = Path(tempfile.gettempdir()) / f"clusterfirst-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    waiting = False
    while True:
        for name, uuid in devices.items():
            if (lock := _locked(folder / f"{uuid}.lock")) is not None:
                _claimed = lock
                os.environ["CUDA_VISIBLE_DEVICES"] = name
                log.info("claimed GPU %s of %d", name, len(devices))
                return name
        if not waiting:
            log.info("waiting: other jobs have claimed all GPUs (%s)", ", ".join(devices))
            waiting = True
        time.sleep(poll_s)


def release_gpu() -> None:
    """Let other processes claim this process's GPU; for one that cannot be used, or is not wanted any more."""
    global _claimed
    if _claimed is not None:
        os.close(_claimed)
        _claimed = None


def _visible_gpus() -> dict[str, str]:
    """The GPUs of this machine that the user's ``CUDA_VISIBLE_DEVICES`` leaves: UUIDs, by what CUDA is to be told."""
    query = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        said = {"encoding": "utf-8", "errors": "replace"}
        lines = subprocess.run(query, capture_output=True, **said, check=True, timeout=60).stdout.splitlines()
    except (OSError, subprocess.SubprocessError) as error:
        log.debug("nvidia-smi lists no GPU: %s", error)
        return {}
    present = dict(line.replace(" ", "").split(",") for line in lines if line.count(",") == 1)
    if (wanted := os.environ.get("CUDA_VISIBLE_DEVICES")) is None:
        # CUDA may number devices otherwise than nvidia-smi does: UUIDs leave no doubt.
        return {uuid: uuid for uuid in present.values()}
    names = [name.strip() for name in wanted.split(",") if name.strip() not in ("", "-1", "NoDevFiles")]
    # CUDA accepts UUIDs that are cut short. What nvidia-smi does not list (MIG instances) goes by its own name.
    full = {name: [uuid for uuid in present.values() if uuid.startswith(name)] for name in names}
    return {name: present.get(name) or (full[name][0] if len(full[name]) == 1 else name) for name in names}


def _locked(path: Path) -> int | None:
    """Open and lock a file; None if another process has it locked."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # Of the process, not of the open file: a forked child that outlives the process does not hold it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        os.close(file)
        return None
    return file


def choose(gpu: str | bool, *, threads: int) -> Device:
    """Return the device to compute on.

    Of several GPUs, one that no other job has claimed; if there is none, wait for it.

    Parameters
    ----------
    gpu
        ``"auto"``: a GPU where one can be used; True: a GPU or an error; False: the CPU.
    threads
        Cores of the CPU to use.

    Raises
    ------
    ClusterfirstError
        A GPU was demanded and none can be used.
    """
    cpu = Device("cpu", threads)
    if gpu is False:
        return cpu
    if gpu == "auto" and not _may_have_gpu():
        log.info("no GPU: computing on the CPU with %d threads", threads)
        return cpu
    claim_gpu()
    try:
        import torch

        torch.zeros(1, device="cuda")
    except Exception as error:  # torch raises RuntimeError, AssertionError or its own, by version and build
        release_gpu()
        if gpu is True:
            raise ClusterfirstError(
                f"`gpu: true` in the config, but no GPU can be used here: {error}. "
                "Ask the scheduler for a GPU, mend the driver, or set `gpu: auto`"
            ) from error
        log.info("no usable GPU: computing on the CPU with %d threads", threads)
        return cpu
    log.info("computing on %s", torch.cuda.get_device_name())
    return Device("cuda", threads)


def _may_have_gpu() -> bool:
    """Whether torch should be asked; without a driver it need not be, and its import takes two seconds."""
    driver = any(any(Path("/dev").glob(node)) for node in _NODES)
    return driver or sys.platform != "linux" or bool(_visible_gpus())


def computes_bf16(device: Device) -> bool:
    """Whether torch computes faster in bfloat16 than in float32 on a device, as far as is known of its kind."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and cpu_gains_by_bf16() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def cpu_gains_by_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether networks are faster in bfloat16 on this processor (see benchmarks/engines.md).

    Units for products of matrices (AMX) make them several times as fast, AMD's AVX-512 twice. Intel's AVX-512 alone has
    the instructions, too, as where a virtual machine hides AMX; there they take 1.6 times as long.
    """
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no Linux
        return False
    first = dict(reversed([[part.strip() for part in line.split(":", 1)] for line in lines if ":" in line]))
    flags = first.get("flags", "").split()
    return "amx_bf16" in flags or ("avx512_bf16" in flags and first.get("vendor_id") == "AuthenticAMD")


def most_at_once(device: torch.device, *, bytes_each: float, share: float, most: int) -> int:
    """Return how many of a thing fit into a share of the free memory of a GPU: a power of two, so that few sizes occur.

    Parameters
    ----------
    device
        The GPU.
    bytes_each
        What one takes there while it is in the network.
    share
        Of the memory that is free now, above 0, at most 1.
    most
        A power of two; more are never wanted. One is always tried.
    """
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return 2 ** int(math.log2(min(max(share * free / bytes_each, 1), most)))


def in_less_memory(compute: Callable[[], _T], halve: Callable[[str], None]) -> _T:
    """Compute; as often as memory runs out, call `halve` with the reason and compute again.

    Parameters
    ----------
    compute
        What needs the memory.
    halve
        Makes `compute` need less the next time, or raises.
    """
    while True:
        try:
            return compute()
        except (RuntimeError, MemoryError) as error:
            if not _is_memory(error):
                raise
            reason = " ".join(str(error).split())[:300]
        # Out here: while the error is handled, its traceback keeps alive what filled the memory.
        _empty_cache()
        halve(reason)


def _empty_cache() -> None:
    """Give back what torch, if it is at work, keeps of a GPU for later: of another size, it may be of no use."""
    if (torch := sys.modules.get("torch")) and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _is_memory(error: Exception) -> bool:
    """Whether memory ran out; by version and build, torch says so with several types and texts."""
    words = ("out of memory", "not enough memory", "ALLOC_FAILED")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def rapids(gpu: str | bool) -> bool:
    """Whether to compute with RAPIDS (cuML) on a GPU.

    Parameters
    ----------
    gpu
        ``"auto"``: where a GPU can be used; True: yes, or an error; False: no. Never where cuML is not installed: it is
        an extra, and not what ``gpu: true`` insists on.

    Raises
    ------
    ClusterfirstError
        A GPU was demanded, cuML is installed, and none can be used.
    """
    if gpu is False:
        return False
    if importlib.util.find_spec("cuml") is not None:
        # Before what may initialise CUDA when it is imported.
        claim_gpu()
    try:
        # Both import well without a GPU, and fail at first use.
        import cuml  # noqa: F401
        import cupy

        found, why = cupy.cuda.runtime.getDeviceCount(), "CUDA counts no device"
    except ImportError as error:
        log.info("cuML is not installed: computing on the CPU (%s)", error)
        return False
    except Exception as error:  # noqa: BLE001 - CuPy's own, or a loader's OSError, by what is missing
        found, why = 0, str(error)
    if not found:
        release_gpu()
    if not found and gpu is True:
        raise ClusterfirstError(
            f"`gpu: true` in the config, but cuML cannot use a GPU here: {why}. "
            "Ask the scheduler for a GPU, mend the driver, or set `gpu: auto`"
        )
    return bool(found)
