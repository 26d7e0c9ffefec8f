# What people exported from the labelling app, and what is to be made of it.
from clusterfirst import labelled


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
    """What becomes of labels, of those slides that have some."""
    return [
        f"{RESULTS}/{slide}/{file}"
        for slide in slides
        if newest_labels(slide)
        for file in ("cells.parquet", "cells.geojson.gz", "annotated_by_label")
    ]


def labelled_slides(wildcards):
    """An input function: the same of all slides; that there are none is an error only to those who ask."""
    if files := label_files(SAMPLES):
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
