"""Networks by name or by file, without their classifiers: pixels of crops in, one row of numbers for each out."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from ..devices import Device, computes_bf16
from ..engine import OnOpenVino, Source, on_openvino
from ..io import ClusterfirstError
from ..text import one_line
from .pathology import IMAGENET

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

MEAN, STD = IMAGENET
"""Of ImageNet's red, green and blue, of 0 to 1: what networks are trained with unless their authors say otherwise."""
_EDGE_PX = 224
_PREFIXES = ("module.pre.", "module.")
"""What training code has put before torchvision's names: AugNet's, and torch's DataParallel."""
_OLD_EFFICIENTNET = "_conv_stem.weight"
"""What only EfficientNet-PyTorch and its kin call their first layer."""


class Encoder(Protocol):
    """A network that describes crops."""

    edge_px: int
    """Of the crops it wants."""
    mean: tuple[float, float, float]
    """Of the colours it was trained on, of 0 to 1."""
    width: int
    """How many numbers it gives."""

    def __call__(self, crops: np.ndarray) -> torch.Tensor:
        """From B × edge × edge × 3 uint8, RGB, to B × width float32 on some device."""
        ...


def load(model: str, weights: str | os.PathLike, *, device: Device, edge_px: int | None = None, engine: str) -> Encoder:
    """Load a network.

    Parameters
    ----------
    model
        ``resnet50`` (He et al. 2016, doi:10.1109/CVPR.2016.90); ``torchvision:<name>`` or ``timm:<name>``, of which the
        input of the last linear layer is taken; or a path that ends in .pt or .ts (TorchScript) or .onnx. Such files
        are shown 224 px (ONNX: what the file says), normalised with ImageNet's mean and standard deviation.
    weights
        A state dict of the architecture, or the file that `model` is the path of.
    device
        Where to compute.
    edge_px
        Edge of crops; None: what the network was trained with. Time grows with its square.
    engine
        See `engine.uses_openvino`; files of ONNX are run by ONNX Runtime.

    Raises
    ------
    ClusterfirstError
        There is no such architecture, the file does not fit it, it cannot see crops of that size, or what comes out is
        not a row for each crop.
    """
    kind, _, name = model.partition(":")
    if model.endswith(".onnx"):
        return _probed(OnnxEncoder(weights, device=device, edge_px=edge_px), weights)
    if kind == "timm":
        build = partial(_timm, name, weights, edge_px)
    elif model == "resnet50" or kind == "torchvision":
        build = partial(_torchvision, name or model, weights, edge_px)
    elif model.endswith((".pt", ".ts")):
        build = lambda: Trained(scripted(weights), edge_px or _EDGE_PX)  # noqa: E731
    else:
        raise ClusterfirstError(
            f"embedding.models: {model} is no model: take morphology, resnet50, torchvision:<name>, timm:<name>, or "
            "the path of a network that ends in .pt, .ts or .onnx"
        )
    found = on_openvino(word(model, edge_px), weights, partial(_source, build), engine=engine, device=device)
    return _probed(OpenVinoEncoder(found) if found else _on_torch(build(), device), weights)


class Trained(NamedTuple):
    """A network without its classifier, in float32 on the CPU, and what it was trained with.

    Attributes
    ----------
    network : torch.nn.Module
        From B × 3 × edge × edge to B × D, or to B × D × h × w, which is averaged.
    edge_px : int
        Of crops.
    mean, std : tuple of float
        Of the colours, of 0 to 1.
    """

    network: torch.nn.Module
    edge_px: int
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD


def _source(build: Callable[[], Trained], device: torch.device) -> Source:
    import torch

    network, edge_px, mean, std = build()
    constants = {"edge_px": np.array(edge_px), "mean": np.array(mean), "std": np.array(std)}
    return Source(network, torch.rand(2, 3, edge_px, edge_px), constants, any_size=False)


def _on_torch(trained: Trained, device: Device) -> TorchEncoder:
    import torch

    network, edge_px, mean, std = trained
    # Networks of a file are as their author froze them.
    network = network if isinstance(network, torch.jit.ScriptModule) else _quick(network, device)
    return TorchEncoder(network, device=device.torch(), edge_px=edge_px, mean=mean, std=std)


def word(model: str, edge_px: int | None) -> str:
    """Return what a converted network is called: what it is of its weights, by the library that knows its kind."""
    library = model.partition(":")[0] if ":" in model else "torchvision"
    return "-".join(re.sub(r"\W", "_", part) for part in (Path(model).name, version(library), str(edge_px)))


def label(model: str) -> str:
    """Return what a model's columns are called."""
    name = Path(model).stem if model.endswith((".pt", ".ts", ".onnx")) else model
    return re.sub(r"\W", "_", name)


class OpenVinoEncoder:
    """A network that OpenVINO runs.

    Parameters
    ----------
    network
        With ``edge_px``, ``mean`` and ``std`` among its constants (see `Trained`).
    """

    width = 0

    def __init__(self, network: OnOpenVino):
        self._network = network
        self.edge_px = network.constants["edge_px"].item()
        self.mean = tuple(network.constants["mean"].tolist())
        self._std = network.constants["std"]

    def __call__(self, crops: np.ndarray) -> torch.Tensor:
        """See `Encoder`."""
        import torch

        images = (crops / np.float32(255) - np.float32(self.mean)) / np.float32(self._std)
        return _rows(torch.from_numpy(self._network(images.transpose(0, 3, 1, 2))))


class TorchEncoder:
    """A module of torch. On devices that compute in bfloat16, its convolutions and linear layers do.

    Parameters
    ----------
    network
        From B × 3 × edge × edge to B × D, or to B × D × h × w, which is averaged.
    device
        Where to compute.
    edge_px, mean, std
        What it was trained with.
    """

    width = 0

    def __init__(self, network: torch.nn.Module, *, device: torch.device, edge_px=_EDGE_PX, mean=MEAN, std=STD):
        import torch

        self.edge_px, self.mean = edge_px, mean
        self._device = device
        self._bf16 = computes_bf16(device)
        self._network = network.to(device)
        self._mean, self._std = (255 * torch.tensor(channels, device=device).view(3, 1, 1) for channels in (mean, std))

    def __call__(self, crops: np.ndarray) -> torch.Tensor:
        """See `Encoder`."""
        import torch

        with torch.inference_mode():
            images = torch.from_numpy(crops)
            if self._device.type == "cuda":
                images = images.pin_memory()  # from other memory, the copy would wait for what the GPU has still to do
            # Bytes travel to the device, not floats. Permuted like this they are channels-last already.
            images = images.to(self._device, non_blocking=True).permute(0, 3, 1, 2).float()
            with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._bf16):
                return _rows(self._network(images.sub_(self._mean).div_(self._std)))


class OnnxEncoder:
    """A network in an ONNX file, run by ONNX Runtime.

    Parameters
    ----------
    path
        The file: one input, B × 3 × edge × edge floats; of its outputs, the first is taken. See `TorchEncoder`.
    device
        Where to compute; a GPU only if ONNX Runtime can use it.
    edge_px
        Edge of crops; None: what the file says.
    """

    width = 0
    mean = MEAN

    def __init__(self, path: str | os.PathLike, *, device: Device, edge_px: int | None = None):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = device.threads
        providers = ["CPUExecutionProvider"]
        if device.type == "cuda":
            if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
                providers.insert(0, "CUDAExecutionProvider")
            else:
                log.warning("%s is run on the CPU: for a GPU, install onnxruntime-gpu instead of onnxruntime", path)
        try:
            self._session = onnxruntime.InferenceSession(os.fspath(path), options, providers=providers)
        except Exception as error:  # onnxruntime's own types, one for each status
            raise ClusterfirstError(f"network {path} cannot be loaded: {one_line(error)}") from error
        described = self._session.get_inputs()[0]
        batch, channels, high, wide = described.shape if len(described.shape) == 4 else (None,) * 4
        if channels != 3 or (high != wide and isinstance(high, int) and isinstance(wide, int)):
            raise ClusterfirstError(
                f"network {path} wants {described.shape} as input, not N × 3 × edge × edge: export one for RGB images"
            )
        self.edge_px = edge_px or (high if isinstance(high, int) else _EDGE_PX)
        self._input = described.name
        self._dtype = np.float16 if described.type == "tensor(float16)" else np.float32
        self._batch = batch if isinstance(batch, int) else None

    def __call__(self, crops: np.ndarray) -> torch.Tensor:
        """See `Encoder`."""
        import torch

        images = (crops.astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2), self._dtype)
        size = self._batch or len(images)
        parts = [self._run(images[at : at + size], size) for at in range(0, len(images), size)]
        return _rows(torch.from_numpy(np.concatenate(parts)))

    def _run(self, images: np.ndarray, size: int) -> np.ndarray:
        """Run images, filled up to the batch that the file was exported for."""
        filled = np.concatenate([images, np.zeros((size - len(images), *images.shape[1:]), images.dtype)])
        return self._session.run(None, {self._input: filled})[0][: len(images)]


def _rows(result) -> torch.Tensor:
    """Average feature maps over space; B × D float32."""
    import torch

    if not isinstance(result, torch.Tensor) or result.ndim not in (2, 4):
        shape = tuple(result.shape) if isinstance(result, torch.Tensor) else type(result).__name__
        raise ClusterfirstError(f"gives {shape}, not N × D or N × D × h × w")
    return result.float() if result.ndim == 2 else result.float().mean(dim=(2, 3))


def _probed(encoder: Encoder, weights: str | os.PathLike) -> Encoder:
    """Find out how many numbers a network gives, before a tile is read."""
    crops = np.zeros((2, encoder.edge_px, encoder.edge_px, 3), np.uint8)
    try:
        found = encoder(crops)
    except Exception as error:
        raise ClusterfirstError(
            f"network {weights} cannot be used: shown 2 × 3 × {encoder.edge_px} × {encoder.edge_px} floats, it "
            f"{'fails: ' if not isinstance(error, ClusterfirstError) else ''}{one_line(error)}. "
            "`embedding.crop_px: null` shows what it was trained with"
        ) from error
    encoder.width = found.shape[1]
    return encoder


def scripted(path: str | os.PathLike) -> torch.nn.Module:
    """Load a TorchScript file.

    Raises
    ------
    ClusterfirstError
        It is none.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`torch.jit.load` is deprecated")
            return torch.jit.load(os.fspath(path), map_location="cpu").eval()
    except (RuntimeError, OSError, ValueError) as error:
        raise ClusterfirstError(f"network {path} cannot be loaded as a TorchScript model: {one_line(error)}") from error


def _torchvision(name: str, weights: str | os.PathLike, edge_px: int | None) -> Trained:
    import torch
    from torchvision import models

    if name not in models.list_models(module=models):
        raise ClusterfirstError(f"embedding.models: torchvision has no image classifier called {name}")
    network = _empty(partial(models.get_model, name, weights=None))
    linear = [path for path, module in network.named_modules() if isinstance(module, torch.nn.Linear)]
    if not linear:
        raise ClusterfirstError(f"embedding.models: {name} ends in no linear layer whose input could be taken")
    network.set_submodule(linear[-1], torch.nn.Identity())
    _fill(network, name, weights, classifier=(linear[-1],), assign=True)
    if hasattr(network, "transform_input"):
        network.transform_input = True  # torchvision's weights of Inception and GoogLeNet saw another normalisation
    seen = models.get_model_weights(name).DEFAULT.transforms()
    return Trained(network.float().eval(), edge_px or seen.crop_size[0], tuple(seen.mean), tuple(seen.std))


def _empty(build: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """Build a network without memory of its own: filling it with random numbers takes longer than reading the file."""
    import torch

    try:
        with torch.device("meta"):
            return build()
    except NotImplementedError:  # RegNet computes its widths with tensors
        return build()


def _timm(name: str, weights: str | os.PathLike, edge_px: int | None) -> Trained:
    network, seen = timm_network(name, resized=False)
    fill(network, name, weights)
    return Trained(network, edge_px or seen["input_size"][-1], tuple(seen["mean"]), tuple(seen["std"]))


def timm_network(name: str, *, resized: bool, **options: Any) -> tuple[torch.nn.Module, dict[str, Any]]:
    """Build an architecture of timm, still without weights and without its classifier, and what it was trained with.

    Parameters
    ----------
    name
        Of the architecture.
    resized
        Whether it is to take another size than it was trained with, if it is one that must be told.
    options
        Of the architecture.

    Raises
    ------
    ClusterfirstError
        There is none of that name.
    """
    try:
        import timm
    except ImportError as error:
        raise ClusterfirstError(
            f"embedding.models: timm:{name} needs Python package `timm`: install it (pip install timm)"
        ) from error
    if not timm.is_model(name):
        raise ClusterfirstError(f"embedding.models: timm has no architecture called {name}")
    build = partial(timm.create_model, name, pretrained=False, num_classes=0, **options)
    try:
        network = build(dynamic_img_size=True) if resized else build()
    except TypeError:  # it does not know the word, and takes any size or one
        network = build()
    return network.float().eval(), timm.data.resolve_model_data_config(network)


def fill(network: torch.nn.Module, name: str, weights: str | os.PathLike) -> None:
    """Load a state dict into an architecture of timm."""
    classifier = network.pretrained_cfg.get("classifier") or ()
    _fill(network, name, weights, classifier=(classifier,) if isinstance(classifier, str) else classifier)


def _fill(
    network: torch.nn.Module,
    name: str,
    weights: str | os.PathLike,
    *,
    classifier: tuple[str, ...],
    assign: bool = False,
) -> None:
    """Load a state dict into a network that has lost its classifier."""
    lost = tuple(f"{layer}." for layer in classifier)
    state = _state(weights)
    if _OLD_EFFICIENTNET in state:
        # Its author's names differ from timm's, and stand in the same order; shapes are compared below.
        state = dict(zip(network.state_dict(), state.values(), strict=False))
    state = {key: value for key, value in state.items() if not key.startswith(lost)}
    try:
        network.load_state_dict(state, assign=assign)
    except RuntimeError as error:
        raise ClusterfirstError(f"weights {weights} do not fit {name}: {one_line(error)}") from error


def _state(weights: str | os.PathLike) -> dict[str, torch.Tensor]:
    """Read a state dict under the names that architectures use today."""
    import torch

    try:
        if Path(weights).suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(weights)
        else:
            state = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:  # each reader has its own
        raise ClusterfirstError(
            f"weights {weights} cannot be loaded: {one_line(error)}. Give `embedding.weights` a name from the registry "
            "or a state dict saved with torch.save"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ClusterfirstError(f"weights {weights} hold no state dict (parameters by name)")
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    # torchvision's files of DenseNet are older than its code.
    return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", key): state[key] for key in state}


def _quick(network: torch.nn.Module, device: Device) -> torch.nn.Module:
    """Make a network fast, its results the same to within rounding."""
    import torch

    network = _folded(network).to(memory_format=torch.channels_last)
    if computes_bf16(device):
        # Once, and not for every batch; norms and sums stay in float32.
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                module.bfloat16()
    return network


def _folded(network: torch.nn.Module) -> torch.nn.Module:
    """Fold batch norms into the convolutions before them: a third of the time in bfloat16 on a CPU."""
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    try:
        traced = torch.fx.symbolic_trace(network)
    except Exception as error:  # noqa: BLE001 - code that depends on the data cannot be traced, in many ways
        log.info("batch norms are not folded: %s", one_line(error))
        return network
    modules = dict(traced.named_modules())
    calls = [node for node in traced.graph.nodes if node.op == "call_module"]
    used = Counter(node.target for node in calls)
    for norm in calls:
        before = norm.args[0]
        if type(modules[norm.target]) is not torch.nn.BatchNorm2d or before.op != "call_module":
            continue
        alone = len(before.users) == 1 and used[before.target] == used[norm.target] == 1
        if type(modules[before.target]) is torch.nn.Conv2d and alone:
            folded = fuse_conv_bn_eval(modules[before.target], modules[norm.target])
            traced.set_submodule(before.target, folded)
            norm.replace_all_uses_with(before)
            traced.graph.erase_node(norm)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced
