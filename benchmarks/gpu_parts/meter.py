"""How busy a device is, what it could do at most, and how much work a network is."""

import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil
import torch

_EVERY_S = 0.1
_SLOW_S = 0.5
"""Between two questions to nvidia-smi, which is a process each time."""


@dataclass
class Meter:
    """What happened between entering and leaving it.

    Attributes
    ----------
    device : torch.device
    seconds : float
    gpu : float or None
        Mean share of the time in which a kernel ran, as the driver counts it; None on a CPU.
    cores : float
        How many cores this process and its children kept busy.
    memory : int
        The most bytes that torch had allocated on the GPU; on a CPU, that processes had resident, shared pages counted
        once for each.
    """

    device: torch.device
    seconds: float = 0.0
    gpu: float | None = None
    cores: float = 0.0
    memory: int = 0
    _shares: list[float] = field(default_factory=list)
    _used: dict[int, tuple[float, float]] = field(default_factory=dict)

    def __enter__(self):
        synchronize(self.device)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self._look(first=True)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_):
        synchronize(self.device)
        self.seconds = time.perf_counter() - self._start
        self._ended.set()
        self._thread.join()
        self._look()
        self.cores = sum(used - began for began, used in self._used.values()) / self.seconds
        if self.device.type == "cuda":
            self.memory = torch.cuda.max_memory_allocated(self.device)
            self.gpu = statistics.fmean(self._shares) if self._shares else None

    def _watch(self):
        share, every = utilisation(self.device)
        while not self._ended.wait(every):
            self._look()
            if (now := share()) is not None:
                self._shares.append(now)

    def _look(self, *, first: bool = False):
        """Note processor time and memory of all processes of ours; one that comes later began with nothing used."""
        ours, resident = psutil.Process(), 0
        for process in (ours, *ours.children(recursive=True)):
            try:
                times, memory = process.cpu_times(), process.memory_info()
            except psutil.NoSuchProcess:
                continue
            used = times.user + times.system
            began = self._used.get(process.pid, (used if first else 0.0,))[0]
            self._used[process.pid] = (began, used)
            resident += memory.rss
        if self.device.type != "cuda":
            self.memory = max(self.memory, resident)


def synchronize(device: torch.device) -> None:
    """Wait until a device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def utilisation(device: torch.device) -> tuple[Callable[[], float | None], float]:
    """Return what tells the share of the last moments in which a GPU was at work, and how often to ask it."""
    if device.type != "cuda":
        return lambda: None, _EVERY_S
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}".encode())
        pynvml.nvmlDeviceGetUtilizationRates(handle)
    except Exception as error:  # noqa: BLE001 - no library, no permission, no such device: of several types
        print(f"the driver's library tells no utilisation ({error}): asking nvidia-smi", flush=True)
        return _asked, _SLOW_S
    return lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100, _EVERY_S


def _asked() -> float | None:
    """Ask nvidia-smi; None if it does not tell."""
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    told = subprocess.run(query, capture_output=True, encoding="utf-8", errors="replace", timeout=20, check=False)
    first = told.stdout.strip().split("\n")[0]
    return float(first) / 100 if first.isdigit() else None


def ceiling(device: torch.device, dtype: torch.dtype, *, edge: int, times: int = 10) -> float:
    """Return the FLOP/s that products of large random matrices reach, by the median: no network can be faster."""
    a, b = (torch.randn(edge, edge, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(3 + times):
        synchronize(device)
        start = time.perf_counter()
        a @ b
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return 2 * edge**3 / statistics.median(seconds[3:])


def flop(network: Callable[[torch.Tensor], object], image: torch.Tensor) -> float:
    """Count the operations of a network for one image, 1 × 3 × H × W: a multiplication and its addition are two."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(image)
    return float(counter.get_total_flops())


def repeated(step: Callable[[], object], device: torch.device, *, seconds: float) -> tuple[int, Meter]:
    """Do a step over and over for so long, at least twice, once before to warm up; return how often, and the meter."""
    step()
    count = 0
    with Meter(device) as meter:
        start = time.perf_counter()
        while count < 2 or time.perf_counter() - start < seconds:
            step()
            synchronize(device)
            count += 1
    return count, meter
