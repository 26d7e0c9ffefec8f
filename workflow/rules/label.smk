# From what people named in the labelling app, and what a model proposed, to labels of all cells.


rule label_cells:
    input:
        cells=made("segmentation", "masks.parquet"),
        plane=made("reduction", "umap2d.npy"),
        clusters=made("clustering", "clusters.json"),
        labels=labels_of,
        proposals=proposals_of,
    output:
        cells=f"{RESULTS}/{{slide}}/cells.parquet",
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
        clusters=made("clustering", "clusters.json"),
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
