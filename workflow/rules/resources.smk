# What jobs ask a scheduler for: figures of clusterfirst.needs, for the size of the slide or group as far as it is known.
#
# Snakemake asks while it plans, when next to nothing is there, and again when a job is submitted and its input is there.
# In a group job the input of later rules is not: nothing here may depend on a file that might be missing.
from functools import cache

from clusterfirst.plan import resources as needs, sizes

# How many GPUs a stage asks for; no others can use one.
GPUS_OF = {
    "outline": gpus("segmentation"),
    "embed": gpus("embedding"),
    "reduce": rapids_gpus,
    "cluster": rapids_gpus,
    "validate_clusters": rapids_gpus,
}
# All cells of their group concern them, even if they work for one of its slides.
TOGETHER = {"cluster", "share_map", "share_clusters", "validate_clusters"} | {
    "cluster_views",
    "classify_clusters",
}


def size_of_slide(folder):
    """How large a slide is, as well as is known by now."""
    sample = sample_of(folder)
    return sizes.of_slide(
        sample.path,
        mpp=sample.mpp,
        tiling=settings_of(folder)["tiling"],
        tiles=relocated(at("tiling", folder, "tiles.parquet")),
        filtered=relocated(at("filter", folder, "filtered.parquet")),
        masks=relocated(at("segmentation", folder, "masks.parquet")),
    )


def size_of_group(group):
    """How large all slides of a group are together."""
    return sum(map(size_of_slide, GROUPS[group]), start=sizes.Size())


@cache
def planned_cells(group):
    """Cells of a group before they are counted: asked once, or each of its slides would ask about every other."""
    return size_of_group(group).cells


def cells_of_group(group):
    """All cells of a group: counted on its map, once it is there."""
    return sizes.rows_of_plane(
        relocated(at("reduction", group, "umap2d.npy"))
    ) or planned_cells(group)


def given_mb(folder):
    """The size of what other people or programs say about a slide."""
    sample = sample_of(folder)
    return sum(sizes.file_mb(file) for file in (sample.objects, sample.truth) if file)


def need(stage, resource):
    """A resource function: what a stage needs, more with every attempt."""

    def ask(wildcards, threads, attempt):
        slide, group = wildcards.get("slide"), wildcards.get("group")
        grown = {"threads": threads, "attempt": attempt}
        if not (slide or group):
            return needs.of_pool(stage, resource, slides=len(SAMPLES), **grown)
        if group and stage in TOGETHER:
            size = sizes.Size(slides=len(GROUPS[group]), cells=cells_of_group(group))
        else:
            size = size_of_slide(slide) if slide else size_of_group(group)
        if stage in TOGETHER:
            grown["together"] = cells_of_group(group or SHARING[slide])
        return needs.of_job(
            stage,
            resource,
            size,
            settings_of(slide or group),
            gpu=GPUS_OF[stage](wildcards) if stage in GPUS_OF else 0,
            given_mb=given_mb(slide) if slide else 0,
            **grown,
        )

    return ask
