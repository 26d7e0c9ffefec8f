"""How large everything is: in earnest, and in a rehearsal on a CPU."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """How large everything is.

    Attributes
    ----------
    edge : int
        Of the slide, px.
    tile_px : int
        Edge of a tile's core.
    matrix : int
        Edge of the matrices whose product is the ceiling.
    seconds : float
        For one row of the table, more or less.
    instanseg : tuple of (int, int)
        Edge of what the network sees, px, and how many at once.
    stacks : tuple of int
        Tiles at once in the pipeline with InstanSeg.
    subtiles : tuple of int
        Of Cellpose, at once.
    tiles : tuple of int
        Most tiles that the pipelines are given: with InstanSeg, with Cellpose, tokens.
    crops : tuple of int
        At once, of ResNet-50 and of the ViT.
    cells : int
        Most cells that are embedded.
    vit : str
        timm's name.
    vit_tile : tuple of int
        Whole tiles of 512 px at once, in the ViT.
    same : tuple of int
        Tiles and crops that are compared with the CPU's.
    """

    edge: int
    tile_px: int
    matrix: int
    seconds: float
    instanseg: tuple[tuple[int, int], ...]
    stacks: tuple[int, ...]
    subtiles: tuple[int, ...]
    tiles: tuple[int, int, int]
    crops: tuple[int, ...]
    cells: int
    vit: str
    vit_tile: tuple[int, ...]
    same: tuple[int, int]


FULL = Scale(
    edge=20_000,
    tile_px=512,
    matrix=8192,
    seconds=3.0,
    instanseg=((624, 1), (624, 4), (624, 8), (624, 16), (624, 32), (1136, 8), (2160, 2)),
    stacks=(1, 4, 8, 16, 32),
    subtiles=(9, 32, 64, 128),
    tiles=(1000, 300, 1000),
    crops=(64, 256, 512, 1024),
    cells=60_000,
    vit="vit_large_patch16_224",
    vit_tile=(8, 32, 64),
    same=(4, 64),
)
REHEARSAL = Scale(
    edge=2048,
    tile_px=144,
    matrix=1024,
    seconds=0.0,
    instanseg=((256, 1), (256, 2)),
    stacks=(1, 2),
    subtiles=(1,),
    tiles=(8, 2, 2),
    crops=(8,),
    cells=60,
    vit="vit_small_patch16_224",
    vit_tile=(1,),
    same=(2, 8),
)
"""Every line is run, on two cores, in minutes."""
