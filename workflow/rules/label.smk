# From what people named in the labelling app to labels of all cells.
from clusterfirst import labelled


def newest_labels(folder):
    """The latest export of a slide's labels, as rules take it; None if there is none.

    The app writes beside the results, on this disk; nothing is looked for in a storage.
    """
    if in_storage(f"{RESULTS}/"):
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
    if in_storage(f"{RESULTS}/"):
        raise WorkflowError(
            "labels are files that the labelling app writes on this disk, but the results go to a storage: copy them to "
            "a folder, label there, and run `snakemake labels` there (docs/cloud.md)"
        )
    raise WorkflowError(
        f"nobody has exported labels of any slide of {CONFIG['slides']} yet: name clusters with `clusterfirst-label "
        f"{RESULTS_ON_DISK}` (or `make label`), press Export, and run again"
    )


rule label_cells:
    input:
        cells=made("segmentation", "masks.parquet"),
        plane=made("reduction", "umap2d.npy"),
        clusters=made("clustering", "clusters.json"),
        labels=labels_of,
    output:
        cells=f"{RESULTS}/{{slide}}/cells.parquet",
        geojson=f"{RESULTS}/{{slide}}/cells.geojson.gz",
    log:
        f"{RESULTS}/{{slide}}/logs/label_cells.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/label_cells.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        mem_mb=need("label_cells", "mem_mb"),
        runtime=need("label_cells", "runtime"),
        disk_mb=need("label_cells", "disk_mb"),
    params:
        folder=lambda wildcards: f"{RESULTS}/{wildcards.slide}/labels",
    script:
        "../scripts/label_cells.py"


rule annotate_labels:
    input:
        slide=slide_file,
        tiles=made("filter", "filtered.parquet"),
        cells=rules.label_cells.output.cells,
    output:
        folder=report(
            directory(f"{RESULTS}/{{slide}}/annotated_by_label"),
            patterns=["{figure,overview|umap}.png"],
            caption="../report/annotated_by_label.rst",
            category=category,
            subcategory="{slide}",
            labels={"figure": "{figure} by label"},
        ),
    log:
        f"{RESULTS}/{{slide}}/logs/annotate_labels.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/annotate_labels.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 4
    resources:
        mem_mb=need("annotate_labels", "mem_mb"),
        runtime=need("annotate_labels", "runtime"),
        disk_mb=need("annotate_labels", "disk_mb"),
    params:
        settings=stage("annotation"),
    script:
        "../scripts/annotate_labels.py"
