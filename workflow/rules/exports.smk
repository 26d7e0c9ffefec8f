# What is made of slides for other tools, and of what people exported from the labelling app.
from clusterfirst.labels import people as labelled

# Files of a slide, by the name that `export.formats` has for them.
FORMATS = {
    "cells": "cells.parquet",
    "qupath": "cells.geojson.gz",
    "h5ad": "cells.h5ad",
    "spatialdata": "cells.zarr",
    "csv": "cells.csv",
    "coco": "cells.coco.json",
    "paper": "final_annotations.json",
}
# Those that speak of pictures of tiles, and bring them.
WITH_TILES = {"coco", "paper"}


def newest_labels(folder):
    """The latest export of a slide's labels, as rules take it; None if there is none.

    The app writes beside the results, on this disk; nothing is looked for in a storage.
    """
    if STORED:
        return None
    found = labelled.newest(relocated(f"{RESULTS}/{folder}/labels"))
    return found and f"{RESULTS}/{folder}/labels/{found.name}"


def labels_of(wildcards):
    """An input function: the latest export of the slide's labels, if there is one."""
    return list(filter(None, [newest_labels(wildcards.slide)]))


def label_files(slides):
    """What becomes of labels and proposals, of those slides that have some."""
    return [
        f"{RESULTS}/{slide}/{file}"
        for slide in slides
        if newest_labels(slide) or classified(slide)
        for file in ("cells.parquet", "cells.geojson.gz", "annotated_by_label")
    ]


def labelled_slides(wildcards):
    """An input function: the same of the slides that people have labelled; that there are none is an error."""
    if files := label_files(filter(newest_labels, SAMPLES)):
        return files
    if STORED:
        raise WorkflowError(
            "labels are files that the labelling app writes on this disk, but the results go to a storage: copy them to "
            "a folder, label there, and run `snakemake labels` there (docs/cloud.md)"
        )
    raise WorkflowError(
        f"nobody has exported labels of any slide of {CONFIG['slides']} yet: name clusters with `clusterfirst-label "
        f"{RESULTS_ON_DISK}` (or `make label`), press Export, and run again"
    )


def export_files(slides):
    """The files for other tools that the settings of slides ask for."""
    wanted = []
    for slide in slides:
        settings = settings_of(slide)
        files = [FORMATS[name] for name in settings["export"]["formats"]]
        if settings["export"]["nuclei_mask"]:
            files.append("nuclei_mask.tiff")
        if settings["tiling"]["export"]:
            files.append("tiles")
        wanted += [f"{RESULTS}/{slide}/{file}" for file in files]
    return wanted


def all_exports(wildcards):
    """An input function: the same of all slides, and what becomes of labels; that there is nothing is an error."""
    files = dict.fromkeys([*export_files(SAMPLES), *label_files(SAMPLES)])
    if not files:
        raise WorkflowError(
            f"there is nothing to export: list what you want under `export:` in the config, e.g. formats: [cells, qupath] "
            f"(known: {', '.join(FORMATS)})"
        )
    return list(files)


def slide_if_pictured(wildcards):
    """An input function: the slide, where its picture is to be exported, too."""
    wanted = settings_of(wildcards.slide)["export"]["image"]
    return slide_file(wildcards) if wanted else []


def classes_for(drawing):
    """An input function: what cells are called, if what is drawn of a slide needs to know."""

    def find(wildcards):
        needed = book.draws_classes(drawing(settings_of(wildcards.slide)))
        return f"{RESULTS}/{wildcards.slide}/cells.parquet" if needed else []

    return find
