"""Transformers that were trained with slides, by the names that their authors gave them.

Their weights are gated: whoever has agreed to the terms of a hub's page has a file, and names it. What stands here is
what must be said to timm so that the file fits, and the colours that it was trained with; as on the model cards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of its red, green and blue, of 0 to 1."""
_BIOPTIMUS = (0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517)
_SWIGLU = {"mlp_layer": "SwiGLUPacked", "act_layer": "silu"}


@dataclass(frozen=True)
class Known:
    """A transformer of 224 px at 0.5 µm per pixel.

    Attributes
    ----------
    architecture : str
        Of timm.
    columns : int
    home : str
        Its page on the Hugging Face hub.
    licence : str
        Of the weights.
    options : dict
        For timm; layers by name.
    mean, std : tuple of float
        Of the colours, of 0 to 1.
    """

    architecture: str
    columns: int
    home: str
    licence: str
    options: Mapping[str, Any] = field(default_factory=dict)
    mean: tuple[float, float, float] = IMAGENET[0]
    std: tuple[float, float, float] = IMAGENET[1]


KNOWN: Mapping[str, Known] = {
    "uni": Known(
        "vit_large_patch16_224", 1024, "MahmoodLab/UNI", "CC-BY-NC-ND-4.0", {"img_size": 224, "init_values": 1e-5}
    ),
    "uni2-h": Known(
        "vit_giant_patch14_224",
        1536,
        "MahmoodLab/UNI2-h",
        "CC-BY-NC-ND-4.0",
        {
            "img_size": 224,
            "patch_size": 14,
            "depth": 24,
            "num_heads": 24,
            "embed_dim": 1536,
            "init_values": 1e-5,
            "mlp_ratio": 2.66667 * 2,
            "no_embed_class": True,
            "reg_tokens": 8,
            **_SWIGLU,
        },
    ),
    "h-optimus-0": Known(
        "vit_giant_patch14_reg4_dinov2",
        1536,
        "bioptimus/H-optimus-0",
        "Apache-2.0",
        {"img_size": 224, "init_values": 1e-5},
        *_BIOPTIMUS,
    ),
    "virchow2": Known(
        "vit_huge_patch14_224",
        1280,
        "paige-ai/Virchow2",
        "CC-BY-NC-ND-4.0",
        {"img_size": 224, "init_values": 1e-5, "reg_tokens": 4, "mlp_ratio": 5.3375, **_SWIGLU},
    ),
}
"""By the name that stands after ``tokens:``."""


def options(known: Known) -> dict[str, Any]:
    """Return what timm is told, layers as what they are."""
    import timm.layers

    said = dict(known.options)
    if "mlp_layer" in said:
        said["mlp_layer"] = getattr(timm.layers, said["mlp_layer"])
        said["act_layer"] = timm.layers.get_act_layer(said["act_layer"])
    return said
