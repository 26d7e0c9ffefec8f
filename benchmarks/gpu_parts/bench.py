"""What the parts share: the slide and its tiles, networks with their weights, and what one part leaves for the next."""

from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import torch
from whole import SETTINGS

from clusterfirst.devices import Device
from clusterfirst.segmentation import cellpose, views
from clusterfirst.segmentation.cellpose import Cellpose
from clusterfirst.segmentation.instanseg import InstanSeg
from clusterfirst.segmentation.intensity import Intensity
from clusterfirst.slide import grid, tissue
from clusterfirst.slide.slide import Slide

from .report import Report
from .slide import write_slide

INSTANSEG, DEMO = "instanseg-brightfield_nuclei-0.1.1.pt", "CMU-1-Small-Region.svs"
MPP, HALO_PX = 0.5, SETTINGS.tiling["halo_px"]
ON_TORCH = {"engine": "torch"}
"""What a GPU is compared with is the same library on a CPU."""
SEGMENTATION = {**SETTINGS.segmentation, **ON_TORCH}
LIMITS = {"max_bright_ratio": 0.95}
"""As the demo has them."""


@dataclass
class Bench:
    """What the parts share: the slide and its tiles, weights, and what one part leaves for the next."""

    report: Report
    kit: Path
    folder: Path
    cells: geopandas.GeoDataFrame | None = None
    flows: list[tuple[np.ndarray, np.ndarray]] | None = None
    mm2_of_cell: float | None = None

    def __getattr__(self, name: str):
        raise RuntimeError(f"{name} is missing: the part that makes it did not end well")

    def make_slide(self) -> None:
        """Make the slide, and filter its tiles."""
        with Slide(self.kit / DEMO) as slide:
            pixels = slide.read(0, 0, *slide.size)
        self.slide = self.folder / "slide.tiff"
        write_slide(pixels, self.report.scale.edge, self.slide, threads=self.report.threads)
        with Slide(self.slide) as slide:
            self.facts = slide.facts
            tiles = grid.slide_grids(slide.facts, {**SETTINGS.tiling, "tile_px": self.report.scale.tile_px})
            limits = {**SETTINGS.filter, **LIMITS}
            found = tissue.filter_tiles(slide, tiles, limits, threads=self.report.threads)
        self.histogram, self.kept = found.histogram, found.tiles.query("kept")
        whole = self.kept[(self.kept.read_width == self.kept.read_width.max()) & (self.kept.height == self.kept.width)]
        whole = whole[whole.read_height == whole.read_width]
        self.whole = views.aligned_views(whole, slide_mpp=self.facts.mpp, mpp=MPP, stride=8)
        self.mm2 = float((whole.width * whole.height).iloc[0] * (self.facts.mpp / 1000) ** 2)
        self.report.say(f"{len(self.kept):,} of {len(tiles):,} tiles kept, {len(self.whole):,} of them whole")
        self.report.notes.append(
            f"The slide: {self.facts.width:,} × {self.facts.height:,} px at {self.facts.mpp:.3f} µm, "
            f"{len(self.kept):,} tiles of {self.mm2:.4f} mm² each ({self.slide.stat().st_size / 1e6:,.0f} MB of JPEG)."
        )

    def images(self, count: int) -> np.ndarray:
        """Return so many whole tiles as InstanSeg sees them, N × H × W × 3 uint8, over again if they are too few."""
        some = self.whole.iloc[np.arange(count) % len(self.whole)]
        with Slide(self.slide) as slide:
            return np.stack([_read(slide, tile) for tile in some.itertuples()])

    @property
    def subtiles(self) -> int:
        """How many of its own tiles Cellpose-SAM makes of one."""
        high, wide = self.images(1).shape[1:3]
        return len(cellpose._Grid(high, wide, edge_px=256, device=torch.device("cpu"))._windows)

    def intensity(self, kind) -> Intensity:
        return Intensity.from_histogram(self.histogram, kind.percentiles)

    def instanseg(self, device: torch.device) -> InstanSeg:
        return InstanSeg(
            self.kit / INSTANSEG, device=ours(device), intensity=self.intensity(InstanSeg), settings=SEGMENTATION
        )

    def cellpose(self, device: torch.device, batch_size: int | None = None) -> Cellpose:
        settings = {**SEGMENTATION, "model": "cellpose", "batch_size": batch_size}
        return Cellpose(self.cpsam, device=ours(device), intensity=self.intensity(Cellpose), settings=settings)


def _read(slide: Slide, tile) -> np.ndarray:
    return slide.read(tile.read_x, tile.read_y, tile.read_width, tile.read_height, mpp=tile.mpp)


def ours(device: torch.device) -> Device:
    """Return a device as the library calls it."""
    return Device(device.type, torch.get_num_threads())
