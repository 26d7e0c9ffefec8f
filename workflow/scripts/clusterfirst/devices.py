"""Which device torch works on, found out by asking the device, not the import."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from .io import ClusterfirstError

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_T = TypeVar("_T")


def torch_device(gpu: str | bool, *, threads: int = 1) -> torch.device:
    """Return the device to compute on, and hold torch to `threads` threads on a CPU.

    Parameters
    ----------
    gpu
        ``"auto"``: a GPU where one can be used; True: a GPU or an error; False: the CPU.
    threads
        CPU threads for torch.

    Raises
    ------
    ClusterfirstError
        A GPU was demanded and none can be used.
    """
    import torch

    torch.set_num_threads(threads)
    if gpu is False:
        return torch.device("cpu")
    try:
        device = torch.device("cuda")
        torch.zeros(1, device=device)
    except Exception as error:  # torch raises RuntimeError, AssertionError or its own, by version and build
        if gpu is True:
            raise ClusterfirstError(
                f"`gpu: true` in the config, but no GPU can be used here: {error}. "
                "Ask the scheduler for a GPU, mend the driver, or set `gpu: auto`"
            ) from error
        log.info("no usable GPU: computing on the CPU with %d threads", threads)
        return torch.device("cpu")
    log.info("computing on %s", torch.cuda.get_device_name(device))
    return device


def computes_bf16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 by itself; imitated, it would be slower than float32."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()


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
        halve(reason)


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
    if not found and gpu is True:
        raise ClusterfirstError(
            f"`gpu: true` in the config, but cuML cannot use a GPU here: {why}. "
            "Ask the scheduler for a GPU, mend the driver, or set `gpu: auto`"
        )
    return bool(found)
