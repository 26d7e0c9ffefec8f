"""Networks on a CPU: through OpenVINO, which takes half of torch's time or less (see benchmarks/engines.md).

A network is converted once and kept in the user's folder of caches, by what its weights hold: who finds it there needs
no torch, whose import alone takes two seconds.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from zipfile import BadZipFile

import numpy as np

from .devices import Device, computes_bf16, cpu_gains_by_bf16
from .io import ClusterfirstError, atomic
from .paths import caches, library_sha256
from .text import one_line
from .weights import sha256

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

TORCH, OPENVINO = "torch", "openvino"
"""What the setting ``engine`` can say, besides ``auto``: OpenVINO where it can be used."""
_ALIKE = 1e-3
"""Mean difference from torch, in float32, relative to the mean of what is computed, that a conversion may make."""
_NETWORK, _CONSTANTS, _DIGESTS = "network.xml", "constants.npz", "sha256"


class ConversionError(ClusterfirstError):
    """OpenVINO cannot compute a network."""


def uses_openvino(engine: str, device: Device) -> bool:
    """Whether networks are computed with OpenVINO; on a GPU it is torch that computes, whatever `engine` says.

    Raises
    ------
    ClusterfirstError
        OpenVINO was demanded, and cannot be used here.
    """
    if device.type != "cpu" or engine == TORCH:
        return False
    try:
        _core().get_property("CPU", "FULL_DEVICE_NAME")
    except Exception as error:  # not installed, not for this processor, or a library that it needs is missing
        if engine == OPENVINO:
            raise ClusterfirstError(
                f"`engine: openvino` in the config, but it cannot be used here: {one_line(error)}. Install it (pip "
                "install openvino), or set `engine: auto`"
            ) from error
        log.info("computing with torch: OpenVINO cannot be used here (%s)", one_line(error))
        return False
    return True


@dataclass(frozen=True)
class Source:
    """What a network is converted from.

    Attributes
    ----------
    network : torch.nn.Module
        From N × C × H × W float32.
    example : torch.Tensor
        Of its input.
    constants : dict of str to numpy.ndarray
        What else of the weights is needed beside the network.
    any_size : bool
        Whether it takes images of other sizes than the example's.
    """

    network: torch.nn.Module
    example: torch.Tensor
    constants: Mapping[str, np.ndarray]
    any_size: bool = True


class Network(Protocol):
    """A network that runs on images of any number and size.

    Attributes
    ----------
    constants : dict of str to numpy.ndarray
        See `Source`.
    bf16 : bool
        Whether it computes in bfloat16, and gives no more digits than float16 holds.
    """

    constants: Mapping[str, np.ndarray]
    bf16: bool

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """From N × C × H × W float32 to what the network gives, float32."""
        ...


def network(
    name: str, weights: str | os.PathLike, source: Callable[[torch.device], Source], *, engine: str, device: Device
) -> Network:
    """Return a network, ready to run.

    Parameters
    ----------
    name
        Which one of those in the file: a word.
    weights
        The file.
    source
        Loads it to a device of torch's; not called if it was converted before.
    engine
        See `uses_openvino`.
    device
        Where to compute.
    """
    openvino = on_openvino(name, weights, source, engine=engine, device=device)
    return openvino or OnTorch(source(device.torch()), device=device)


def on_openvino(
    name: str, weights: str | os.PathLike, source: Callable[[torch.device], Source], *, engine: str, device: Device
) -> OnOpenVino | None:
    """Return a network for OpenVINO to run, if it is to; see `network`."""
    if not uses_openvino(engine, device):
        return None
    try:
        found = _compiled(name, weights, lambda: source(device.torch()), threads=device.threads)
        log.info("%s: computing with OpenVINO in %s", name, "bfloat16" if found.bf16 else "float32")
        return found
    except ConversionError as error:
        if engine == OPENVINO:
            raise ClusterfirstError(
                f"`engine: openvino` in the config, but it cannot compute the network of {weights}: {error}. Set "
                "`engine: auto`"
            ) from error
        log.info("computing with torch: OpenVINO cannot compute the network of %s (%s)", weights, error)
        return None


class OnTorch:
    """A `Network` that torch runs.

    Parameters
    ----------
    source
        It, on the device.
    device
        Where to compute.
    """

    def __init__(self, source: Source, *, device: Device):
        self.constants, self.bf16 = source.constants, computes_bf16(device)
        log.info("computing with torch in %s", "bfloat16" if self.bf16 else "float32")
        self._network, self._device = source.network, device.torch()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """See `Network`."""
        import torch

        seen = torch.from_numpy(np.ascontiguousarray(images))
        with torch.inference_mode(), torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self.bf16):
            seen = seen.to(self._device).contiguous(memory_format=torch.channels_last)
            return self._network(seen).float().cpu().numpy()


class OnOpenVino:
    """A `Network` that OpenVINO runs on the CPU.

    Parameters
    ----------
    model
        An ``openvino.Model``.
    constants
        See `Source`.
    threads
        Cores to use.
    """

    def __init__(self, model: Any, constants: Mapping[str, np.ndarray], *, threads: int):
        self.constants = constants
        core = _core()
        self.bf16 = cpu_gains_by_bf16() and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if self.bf16 else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            # Pinned, the jobs of a machine would all crowd on its first cores.
            "ENABLE_CPU_PINNING": False,
        }
        self._run = core.compile_model(model, "CPU", settings)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """See `Network`."""
        # A copy: what the request holds is overwritten by the next.
        return np.array(self._run(np.ascontiguousarray(images, np.float32))[0], np.float32)


def _compiled(name: str, weights: str | os.PathLike, source: Callable[[], Source], *, threads: int) -> OnOpenVino:
    """Return a network, converted if it was not before.

    Raises
    ------
    ClusterfirstError
        The weights were replaced while they were read: nobody knows which were.
    """
    digest = sha256(weights)
    # What is kept hangs on the weights, and on how this version of the library takes them apart.
    folder = _folder() / f"{name}-{digest[:16]}" / f"{_version()}-{library_sha256()[:16]}"
    try:
        _check(folder)
        return OnOpenVino(_core().read_model(folder / _NETWORK), _constants(folder / _CONSTANTS), threads=threads)
    except (RuntimeError, OSError, ValueError, EOFError, BadZipFile) as error:
        if os.path.exists(folder):
            log.warning("%s is damaged (%s): converting the network again", folder, one_line(error))
    found = source()
    if sha256(weights) != digest:
        raise ClusterfirstError(f"{weights} was replaced while it was read: run again once it is whole")
    model = _converted(found)
    _keep(model, found.constants, folder)
    return OnOpenVino(model, found.constants, threads=threads)


def _forget_others(folder: Path) -> None:
    """Remove what other versions have kept of the network: each upgrade would leave another copy."""
    for other in folder.parent.iterdir():
        if other != folder and not other.name.startswith("."):
            shutil.rmtree(other, ignore_errors=True)


def _is_whole(folder: Path) -> bool:
    try:
        _check(folder)
    except (OSError, ValueError):
        return False
    return True


def _check(folder: Path) -> None:
    """Raise ValueError if what was kept is not what was written: a network would not tell that a bit was lost."""
    if (folder / _DIGESTS).read_text(encoding="ascii") != _digests(folder):
        raise ValueError("its files have changed since they were written")


def _digests(folder: Path) -> str:
    return "".join(f"{sha256(path)}  {path.name}\n" for path in sorted(folder.iterdir()) if path.name != _DIGESTS)


def _constants(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _keep(model: Any, constants: Mapping[str, np.ndarray], folder: Path) -> None:
    import openvino

    # Another job may have been quicker; or is, and has taken away what stood here.
    if _is_whole(folder):
        return
    try:
        with atomic(folder, directory=True) as part:
            openvino.save_model(model, part / _NETWORK, compress_to_fp16=False)
            np.savez(part / _CONSTANTS, **constants)
            (part / _DIGESTS).write_text(_digests(part), encoding="ascii")
        _forget_others(folder)
    except (OSError, RuntimeError) as error:
        if _is_whole(folder):
            return
        log.info("the converted network cannot be kept in %s (%s): every job converts it anew", folder, one_line(error))


def _converted(source: Source) -> Any:
    import openvino
    import torch

    with torch.inference_mode(), _root_log_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, about shapes that are kept
        try:
            model = openvino.convert_model(source.network, example_input=source.example)
            wanted = source.network(source.example).float().numpy()
        except Exception as error:  # one type for each thing that it does not know
            raise ConversionError(one_line(error)) from error
    _, channels, *size = source.example.shape
    model.reshape([-1, channels, *([-1, -1] if source.any_size else size)])
    exact = _core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = exact(source.example.numpy())[0]
    if found.shape != wanted.shape or not np.abs(found - wanted).mean() <= _ALIKE * np.abs(wanted).mean():
        raise ConversionError("what it computes differs from what torch does")
    return model


@contextmanager
def _root_log_kept() -> Iterator[None]:
    """OpenVINO's converter silences everybody's log, and leaves it so if it fails."""
    root = logging.getLogger()
    before = root.level, root.filters[:], root.handlers[:]
    try:
        yield
    finally:
        root.setLevel(before[0])
        root.filters[:], root.handlers[:] = before[1:]


def _folder() -> Path:
    found = caches()
    # Of a user without a home nothing is kept.
    return Path(os.devnull if "~" in found.parts else found, "clusterfirst", "openvino")


@cache
def _core() -> Any:
    # It would report to its makers what is converted.
    sys.modules.setdefault("openvino_telemetry", None)
    import openvino

    return openvino.Core()


def _version() -> str:
    import openvino

    return openvino.__version__.split("-")[0]
