"""Pictures: outlined tiles, the overview of a slide, the filter map, and the plots."""

from .cells import draw_cells, draw_outline
from .colour_keys import CLUSTERS, ColourKey, classes_key, clusters_key
from .legends import beside, percent, save, scale_bar, typeface
from .overview import annotate_slide, filter_map, overview
from .plots import new_figure, plot_clusters, plot_umap, save_figure
from .selection import Cells, Named, read_classes, select_cells
from .tiles import annotate_tiles, export_tiles, tiles_to_draw

__all__ = [
    "CLUSTERS",
    "Cells",
    "ColourKey",
    "Named",
    "annotate_slide",
    "annotate_tiles",
    "beside",
    "classes_key",
    "clusters_key",
    "draw_cells",
    "draw_outline",
    "export_tiles",
    "filter_map",
    "new_figure",
    "overview",
    "percent",
    "plot_clusters",
    "plot_umap",
    "read_classes",
    "save",
    "save_figure",
    "scale_bar",
    "select_cells",
    "tiles_to_draw",
    "typeface",
]
