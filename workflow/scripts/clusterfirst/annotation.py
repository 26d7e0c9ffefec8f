"""Pictures: outlined tiles, the overview of a slide, the filter map, and the plots."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import shapely
from PIL import Image, ImageDraw, ImageFont

from . import clustering
from .clustering import NOISE, palette, tree
from .clustering.dbscan import KDistance
from .io import atomic, bounded_map, progress
from .quality import METRICS, UNREADABLE
from .slides import Slide
from .tiling import thin

_SHIFT = 4
"""Polygons are drawn at a sixteenth of a pixel."""
_NUCLEUS_UM = 8.0
_LEGEND_ROWS = 30
_MAP_PX = 1600
_BARS = 60
_NAMES = (5, 10, 25, 50)
_LARGEST_TREE = 500
"""Clusters; of more, a dendrogram shows nothing, and may be too deep for SciPy, which draws it by recursion."""
_KEPT = "#009e73"
_REASONS = {
    "tissue_fraction": ("glass on the thumbnail", "#bbbbbb"),
    "edge_density": ("too few edges", "#56b4e9"),
    "bright_ratio": ("mostly bright", "#e69f00"),
    "dark_ratio": ("mostly dark", "#332288"),
    "intensity_std": ("no contrast", "#cc79a7"),
    "laplacian_variance": ("blurred", "#0072b2"),
    "color_variance": ("no colour", "#f0e442"),
    UNREADABLE: ("cannot be decoded", "#d00000"),
}
assert set(_REASONS) == {"tissue_fraction", *METRICS, UNREADABLE}


@dataclass(frozen=True)
class Key:
    """What the numbers of cells mean in a picture.

    Attributes
    ----------
    colour : callable
        ``#rrggbb`` of a number.
    name : callable
        What the legend calls a number.
    others : str
        What it calls those for which it has no room.
    none : str
        What it calls cells of number −1.
    """

    colour: Callable[[int], str]
    name: Callable[[int], str]
    others: str
    none: str


CLUSTERS = Key(palette.colour, "cluster {}".format, "clusters", "noise")


def classes_key(classes: Sequence[dict]) -> Key:
    """Return the key of cells that are numbered by class.

    Parameters
    ----------
    classes
        ``name`` and ``colour`` (``#rrggbb``) of each.
    """
    return Key(
        lambda number: classes[number]["colour"] if number >= 0 else palette.NOISE,
        lambda number: classes[number]["name"],
        "classes",
        "no label",
    )


def draw_cells(
    image: np.ndarray,
    polygons: Sequence[np.ndarray],
    cluster_id: np.ndarray,
    *,
    line_px: float,
    fill: float = 0.0,
    key: Key = CLUSTERS,
) -> np.ndarray:
    """Draw outlines coloured by cluster.

    Parameters
    ----------
    image
        H × W × 3 uint8 RGB; not changed.
    polygons
        Vertices of each cell, n × 2, in pixels of the image (pixel 0 spans 0 to 1).
    cluster_id
        Per cell; or any other number that `key` knows.
    line_px
        Width of the outlines; at least one pixel is drawn.
    fill
        Opacity of the inside, 0 to 1.
    key
        Gives the colours.

    Returns
    -------
    numpy.ndarray
        A new image.
    """
    out = np.ascontiguousarray(image).copy()
    fixed = [_fixed(xy) for xy in polygons]
    if fill:
        inside = out.copy()
        for xy, number in zip(fixed, cluster_id, strict=True):
            cv2.fillPoly(inside, [xy], palette.rgb(key.colour(number)), cv2.LINE_AA, _SHIFT)
        out = cv2.addWeighted(inside, fill, out, 1 - fill, 0)
    for number in np.unique(cluster_id):
        ring = [fixed[i] for i in np.flatnonzero(cluster_id == number)]
        # Anti-aliased lines come out wider than asked for, by about a pixel and a half.
        width = max(1, round(line_px) - 1)
        cv2.polylines(out, ring, True, palette.rgb(key.colour(number)), width, cv2.LINE_AA, _SHIFT)
    return out


def _fixed(xy: np.ndarray) -> np.ndarray:
    """Points as OpenCV takes them: its pixel 0 has its centre, not its edge, at 0."""
    return np.round((xy - 0.5) * (1 << _SHIFT)).astype(np.int32)


def draw_outline(image: np.ndarray, xy: np.ndarray, rgb: tuple[int, int, int], *, width: int) -> None:
    """Draw one outline into an image, in any colour; see `draw_cells`."""
    cv2.polylines(image, [_fixed(xy)], True, rgb, width, cv2.LINE_AA, _SHIFT)


class _CellsInView:
    """Cells of a slide, looked up by rectangle and given in the rectangle's own pixels."""

    def __init__(self, polygons: np.ndarray):
        self._polygons = polygons
        self._tree = shapely.STRtree(polygons)

    def __call__(self, x: float, y: float, width: float, height: float, *, scale: float):
        """Return rows and vertices of the cells that touch a level-0 rectangle; `scale` is pixels per level-0 pixel."""
        rows = np.sort(self._tree.query(shapely.box(x, y, x + width, y + height), predicate="intersects"))
        points, owner = shapely.get_coordinates(shapely.get_exterior_ring(self._polygons[rows]), return_index=True)
        parts = np.split((points - (x, y)) * scale, np.flatnonzero(np.diff(owner)) + 1) if len(rows) else []
        return rows, parts


def annotate_tiles(
    slide: Slide,
    tiles: pd.DataFrame,
    polygons: np.ndarray,
    cluster_id: np.ndarray,
    folder: str | os.PathLike,
    *,
    line_um: float,
    max_tiles: int | None = None,
    with_numbers: bool = False,
    threads: int = 1,
    key: Key = CLUSTERS,
) -> None:
    """Write ``{tile_id}.png`` for every kept tile: its core, with every cell that reaches into it.

    Parameters
    ----------
    slide, tiles
        The open slide and its kept tiles.
    polygons, cluster_id
        Cells in level-0 pixels, and their clusters.
    folder
        Existing folder.
    line_um
        Width of outlines in µm.
    max_tiles
        Draw no more than this many, evenly spread.
    with_numbers
        Write the number of its cluster beside every cell.
    threads
        Tiles are drawn by this many threads.
    key
        What `cluster_id` means, if not clusters.
    """
    if max_tiles is not None:
        tiles = tiles[thin(np.ones(len(tiles), bool), max_tiles)] if max_tiles else tiles.iloc[:0]
    cells = _CellsInView(polygons)

    def draw(tile) -> None:
        image = slide.read(tile.x, tile.y, tile.width, tile.height, mpp=tile.mpp, patch=True)
        rows, parts = cells(tile.x, tile.y, tile.width, tile.height, scale=slide.mpp / tile.mpp)
        drawn = draw_cells(image, parts, cluster_id[rows], line_px=line_um / tile.mpp, key=key)
        if with_numbers:
            _write_numbers(drawn, parts, cluster_id[rows])
        save(drawn, Path(folder, f"{tile.tile_id}.png"))

    with ThreadPoolExecutor(threads) as pool:
        drawn = bounded_map(pool, draw, tiles.itertuples(), ahead=2 * threads)
        for _ in progress(drawn, total=len(tiles), what="annotate"):
            pass


def _write_numbers(image: np.ndarray, polygons: Sequence[np.ndarray], cluster_id: np.ndarray) -> None:
    """Write each cell's cluster to its right, or to its left at the right border: dark on a light edge."""
    for xy, number in zip(polygons, cluster_id, strict=True):
        text = str(number)
        (wide, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
        (left, top), (right, bottom) = xy.min(axis=0), xy.max(axis=0)
        x = right + 3 if right + 3 + wide < image.shape[1] else left - 3 - wide
        y = np.clip((top + bottom + high) / 2, high + 2, image.shape[0] - 2)
        for colour, width in (((255, 255, 255), 3), ((0, 0, 0), 1)):
            cv2.putText(image, text, (round(x), round(y)), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, width, cv2.LINE_AA)


def overview(
    slide: Slide,
    polygons: np.ndarray,
    cluster_id: np.ndarray,
    path: str | os.PathLike,
    *,
    title: str,
    longest: int,
    key: Key = CLUSTERS,
) -> None:
    """Write a picture of the whole slide with cells coloured by cluster, a scale bar and a legend.

    Parameters
    ----------
    slide
        The open slide.
    polygons, cluster_id
        Cells in level-0 pixels, and their clusters.
    path
        The PNG.
    title
        Stands above the legend.
    longest
        Longer side of the picture without its legend, in pixels.
    key
        What `cluster_id` means, if not clusters.
    """
    image, scale = slide.thumbnail(longest=longest)
    _, parts = _CellsInView(polygons)(0, 0, *slide.size, scale=scale)
    # Small cells are dots of colour; where they are large enough, the nucleus shines through.
    fill = 0.4 if scale * _NUCLEUS_UM / slide.mpp > 8 else 1.0
    drawn = draw_cells(image, parts, cluster_id, line_px=max(image.shape) / 1000, fill=fill, key=key)
    picture = Image.fromarray(drawn)
    scale_bar(picture, mpp=slide.mpp / scale)
    save(np.asarray(beside(picture, title, _legend(cluster_id, key))), path)


def annotate_slide(
    slide: Slide,
    tiles: pd.DataFrame,
    cells: pd.DataFrame,
    cluster_id: np.ndarray,
    plane: np.ndarray,
    folder: str | os.PathLike,
    *,
    title: str,
    line_um: float,
    max_tiles: int | None,
    overview_px: int,
    threads: int = 1,
    key: Key = CLUSTERS,
) -> None:
    """Write a picture of every tile (see `annotate_tiles`), ``overview.png`` and ``umap.png``.

    Parameters
    ----------
    slide
        The open slide.
    tiles
        All of them, with ``kept``.
    cells
        The rows of ``masks.parquet``.
    cluster_id
        Per cell; or any other number that `key` knows.
    plane
        N × 2: where cells lie on the map.
    folder
        An existing folder.
    title
        Stands above the legends.
    line_um, max_tiles, overview_px
        The ``annotation`` section of the configuration.
    threads, key
        See `annotate_tiles`.
    """
    # Outlines from elsewhere may lie on tiles that the filter rejects.
    tiles = tiles[tiles["kept"] | tiles["tile_id"].isin(cells["tile_id"])]
    polygons, folder = cells["geometry"].to_numpy(), Path(folder)
    drawn = {"line_um": line_um, "max_tiles": max_tiles, "threads": threads, "key": key}
    annotate_tiles(slide, tiles, polygons, cluster_id, folder, **drawn)
    overview(slide, polygons, cluster_id, folder / "overview.png", title=title, longest=overview_px, key=key)
    plot_umap(plane, cluster_id, folder / "umap.png", title=title, key=key)


def filter_map(slide: Slide, tiles: pd.DataFrame, path: str | os.PathLike, *, title: str) -> None:
    """Write the slide's thumbnail with kept tiles outlined and rejected ones tinted by the first reason.

    Of several magnifications the finest is shown.
    """
    image, scale = slide.thumbnail(longest=_MAP_PX)
    tiles = tiles[tiles["magnification"] == tiles["magnification"].max()]
    reasons = tiles["rejected_by"].str.split(",").str[0]
    tinted = image.copy()
    boxes = [
        tuple(round(edge * scale) for edge in (t.x, t.y, t.x + t.width, t.y + t.height)) for t in tiles.itertuples()
    ]
    for (x0, y0, x1, y1), reason in zip(boxes, reasons, strict=True):
        if reason:
            cv2.rectangle(tinted, (x0, y0), (x1 - 1, y1 - 1), palette.rgb(_REASONS[reason][1]), cv2.FILLED)
    out = cv2.addWeighted(tinted, 0.5, image, 0.5, 0)
    for (x0, y0, x1, y1), reason in zip(boxes, reasons, strict=True):
        # On a large slide a tile is a few pixels of the map: a thick frame would leave nothing to see inside.
        width = 1 if reason or min(x1 - x0, y1 - y0) < 24 else 3
        edge, inset = (255, 255, 255) if reason else palette.rgb(_KEPT), width // 2 + (width > 1)
        cv2.rectangle(out, (x0 + inset, y0 + inset), (x1 - 1 - inset, y1 - 1 - inset), edge, width)
    rows = [(_KEPT, f"kept: {int(tiles['kept'].sum()):,} of {len(tiles):,} tiles")]
    rows += [
        (shade, f"{text}: {int((reasons == name).sum()):,}")
        for name, (text, shade) in _REASONS.items()
        if (reasons == name).any()
    ]
    picture = Image.fromarray(out)
    scale_bar(picture, mpp=slide.mpp / scale)
    save(np.asarray(beside(picture, title, rows)), path)


def export_tiles(slide: Slide, tiles: pd.DataFrame, folder: str | os.PathLike, *, threads: int = 1) -> None:
    """Write the core of every kept tile as ``{tile_id}.png``, without drawings."""
    none = np.empty(0, object), np.empty(0, int)
    annotate_tiles(slide, tiles, *none, folder, line_um=1.0, threads=threads)


def plot_umap(
    plane: np.ndarray, cluster_id: np.ndarray, path: str | os.PathLike, *, title: str, key: Key = CLUSTERS
) -> None:
    """Write a scatter of cells in the plane, coloured by cluster, or by what else `key` says."""
    figure, axes = new_figure()
    size = float(np.clip(20000 / max(len(plane), 1), 0.2, 12))
    # Noise first, so that clusters lie on top.
    order = np.argsort(cluster_id, kind="stable")
    colours = [key.colour(number) for number in cluster_id[order]]
    axes.scatter(*plane[order].T, c=colours or None, s=size, linewidths=0, rasterized=True)
    axes.set(title=title, xlabel="first axis", ylabel="second axis", xticks=[], yticks=[])
    axes.set_aspect("equal", "datalim")
    handles = [axes.scatter([], [], c=shade, s=40, label=text) for shade, text in _legend(cluster_id, key)]
    if handles:
        axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
    save_figure(figure, path)


def plot_clusters(found: dict, path: str | os.PathLike, *, title: str, curve: KDistance | None = None) -> None:
    """Write what clustering came to: sizes, what naming the largest covers, and how the clusters were chosen.

    Parameters
    ----------
    found
        What `clustering.document` returned.
    path
        The PNG.
    title
        Stands above all.
    curve
        The k-distance curve of DBSCAN.
    """
    panels = [_sizes, _covered]
    if curve is not None:
        panels.append(lambda axes, _: _k_distance(axes, curve))
    if found["settings"].get("eps_tried"):
        panels.append(_eps_tried)
    if found["tree"]["groups"] is not None and 1 < len(found["clusters"]) <= _LARGEST_TREE:
        panels.append(_dendrogram)
    figure, grid = new_figure(rows=(len(panels) + 1) // 2, columns=2)
    figure.suptitle(title)
    places = list(grid.flat)
    if len(panels) % 2:
        # The last has the row for itself.
        *places, left, right = places
        left.remove()
        right.remove()
        places.append(figure.add_subplot(left.get_gridspec()[-1, :]))
    for axes, panel in zip(places, panels, strict=True):
        panel(axes, found)
        axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def _sizes(axes, found: dict) -> None:
    """Bars of the largest clusters."""
    clusters = found["clusters"][:_BARS]
    axes.bar(range(len(clusters)), [c["size"] for c in clusters], color=[c["colour"] for c in clusters], width=0.9)
    more = len(found["clusters"]) - len(clusters)
    axes.set(xlabel=f"cluster (and {more:,} smaller ones)" if more else "cluster", ylabel="cells")
    noise = found["counts"]["noise_fraction"]
    axes.set_title(f"{found['counts']['clusters']:,} clusters, {_percent(noise) if noise else 'no'} noise")
    axes.xaxis.get_major_locator().set_params(integer=True)


def _covered(axes, found: dict) -> None:
    """Cells reached by naming clusters, the largest first."""
    sizes = np.sort([cluster["size"] for cluster in found["clusters"]])[::-1]
    share = 100 * np.cumsum(sizes) / max(found["counts"]["cells"], 1)
    axes.plot(np.arange(len(share) + 1), np.append(0, share), color="#0072b2")
    for names in _NAMES:
        if names <= len(share):
            axes.plot(names, share[names - 1], "o", color="#0072b2")
            spot = {"xytext": (4, -12), "textcoords": "offset points", "fontsize": 8}
            axes.annotate(f"{names}: {share[names - 1]:.0f} %", (names, share[names - 1]), **spot)
    axes.axhline(100 * (1 - found["counts"]["noise_fraction"]), color=palette.NOISE, linestyle="--", label="not noise")
    axes.set(xlabel="clusters named, largest first", ylabel="cells they hold (%)", ylim=(0, 105))
    axes.set_title("What names can reach")
    axes.set_xlim(0, 1.1 * max(1, min(len(share), 2 * max(_NAMES))))
    axes.legend(frameon=False, loc="lower right")


def _k_distance(axes, curve: KDistance) -> None:
    """The sorted k-distance curve with the chosen eps."""
    if len(curve.curve):
        axes.plot(np.linspace(0, 100, len(curve.curve)), curve.curve, color="#0072b2")
    how = {
        "given": "given",
        "list": "best of the list",
        "knee": "at the knee",
        "quantile": "a quantile: the curve has no knee",
    }[curve.source]
    axes.axhline(curve.eps, color="#d55e00", linestyle="--", label=f"eps = {curve.eps:.3g} ({how})")
    axes.set(xlabel="cells, sorted (%)", ylabel=f"distance to neighbour {curve.k}", xlim=(0, 100))
    axes.set_title("k-distance curve")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def _eps_tried(axes, found: dict) -> None:
    """What came of every eps of the list."""
    tried = found["settings"]["eps_tried"]
    eps = [outcome["eps"] for outcome in tried]
    explained = [100 * outcome["explained"] for outcome in tried]
    axes.plot(eps, explained, "o-", color="#0072b2", label=f"variance told by {clustering.NAMES} names")
    axes.plot(eps, [100 * outcome["noise_fraction"] for outcome in tried], "o-", color=palette.NOISE, label="noise")
    for outcome, high in zip(tried, explained, strict=True):
        spot = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center", "fontsize": 8}
        axes.annotate(f"{outcome['clusters']:,}", (outcome["eps"], high), **spot)
    axes.axvline(found["settings"]["eps"], color="#d55e00", linestyle="--", label="chosen")
    axes.set(xlabel="eps (above the points: clusters)", ylabel="%", ylim=(-3, 110))
    if max(eps) > 8 * min(eps):
        axes.set_xscale("log")
    axes.set_title("The eps of the list")
    axes.legend(frameon=False)


def _dendrogram(axes, found: dict) -> None:
    """How the clusters would go on to join."""
    from scipy.cluster.hierarchy import dendrogram

    groups = found["tree"]["groups"]
    drawn = dendrogram(
        tree.read(found["tree"]).above(groups), ax=axes, no_labels=True, link_color_func=lambda _: "#555555"
    )
    leaves = drawn["leaves"]
    places = 10 * np.arange(len(leaves)) + 5
    axes.scatter(
        places, np.zeros(len(leaves)), marker="s", c=list(map(palette.colour, leaves)), clip_on=False, zorder=3
    )
    if len(leaves) <= _LEGEND_ROWS:
        axes.set_xticks(places, leaves, fontsize=8)
        axes.tick_params(axis="x", length=0, pad=6)
    axes.set(xlabel="cluster", ylabel="height (Ward)")
    axes.set_title(f"{len(found['tree']['leaves']):,} fine clusters joined to {len(drawn['leaves'])}, and beyond")


def _legend(cluster_id: np.ndarray, key: Key) -> list[tuple[str, str]]:
    """Legend rows, colour and text: the first clusters or classes, how many more, noise."""
    numbers, counts = np.unique(cluster_id, return_counts=True)
    rows = [
        (key.colour(number), f"{key.name(number)}: {count:,} ({_percent(count / len(cluster_id))})")
        for number, count in zip(numbers, counts, strict=True)
        if number != NOISE
    ]
    if len(rows) > _LEGEND_ROWS:
        rows = [*rows[:_LEGEND_ROWS], ("#ffffff", f"… and {len(rows) - _LEGEND_ROWS:,} more {key.others}")]
    if NOISE in numbers:
        count = counts[numbers == NOISE][0]
        rows.append((palette.NOISE, f"{key.none}: {count:,} ({_percent(count / len(cluster_id))})"))
    return rows


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "<1%"


def beside(picture: Image.Image, title: str, rows: list[tuple[str, str]]) -> Image.Image:
    """Set a legend to the right of a picture, its type in proportion to the picture."""
    unit = int(np.clip(max(picture.size) / 70, 14, 40))
    font, bold = typeface(unit), typeface(round(unit * 1.25))
    text_width = max([bold.getlength(title), *(font.getlength(text) + 2 * unit for _, text in rows)])
    high = max(picture.height, round((1.7 * len(rows) + 4.5) * unit))
    canvas = Image.new("RGB", (picture.width + round(text_width) + 3 * unit, high), "white")
    canvas.paste(picture)
    draw, left, top = ImageDraw.Draw(canvas), picture.width + round(1.5 * unit), round(1.5 * unit)
    draw.text((left, top), title, fill="black", font=bold)
    for row, (shade, text) in enumerate(rows, start=1):
        y = top + round((1.7 * row + 0.6) * unit)
        draw.rectangle((left, y, left + unit, y + unit), fill=shade)
        draw.text((left + 2 * unit, y + unit / 2), text, fill="black", font=font, anchor="lm")
    return canvas


def typeface(size: int) -> ImageFont.FreeTypeFont:
    """The typeface that comes with matplotlib: Pillow's own has no µ."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), size)


def scale_bar(picture: Image.Image, *, mpp: float) -> None:
    """Draw a bar of a round number of µm, about a sixth of the picture wide, at the bottom left."""
    wished = picture.width * mpp / 6
    power = 10 ** np.floor(np.log10(wished * (1 - 1e-9)))  # rounded up, no step would fit
    length = max(step * power for step in (1, 2, 5) if step * power <= wished)
    unit = int(np.clip(max(picture.size) / 90, 10, 32))
    text = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
    draw = ImageDraw.Draw(picture)
    left, bottom = unit, picture.height - unit
    right = left + length / mpp
    font = typeface(unit)
    width = max(right - left, font.getlength(text))
    draw.rectangle((left - unit / 2, bottom - 2.3 * unit, left + width + unit / 2, bottom + unit / 2), fill="white")
    draw.rectangle((left, bottom - unit / 3, right, bottom), fill="black")
    draw.text((left, bottom - 0.6 * unit), text, fill="black", font=font, anchor="lb")


def new_figure(*, rows: int = 1, columns: int = 1):
    """Return a figure and its axes, an array of them where there are several."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(8 if columns == 1 else 6 * columns, 6 if rows == columns == 1 else 4.5 * rows), layout="constrained"
    )
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns)


def save_figure(figure, path: str | os.PathLike) -> None:
    with atomic(path) as part:
        figure.savefig(part, dpi=150, metadata={"Software": None})


def save(image: np.ndarray, path: str | os.PathLike) -> None:
    with atomic(path) as part:
        # Level 3 is several times faster than OpenCV's best and a few percent larger.
        if not cv2.imwrite(str(part), image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 3]):
            raise OSError(f"{path} could not be written")
