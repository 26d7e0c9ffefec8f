# From what people named in the labelling app, and what a model proposed, to labels of all cells.


rule label_cells:
    input:
        **label_sources(),
        cells=made("segment", "cells"),
        plane=made("reduce", "plane"),
        clusters=made("cluster", "clusters"),
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
        **asks("label_cells"),
    params:
        folder=lambda wildcards: f"{RESULTS}/{wildcards.slide}/labels",
        contents=contents_of("label_cells"),
    script:
        "../scripts/label_cells.py"


rule annotate_labels:
    input:
        slide=by_content("annotate_labels", slide_file),
        tiles=made("filter_tiles", "tiles"),
        cells=rules.label_cells.output.cells,
        clusters=made("cluster", "clusters"),
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
        **asks("annotate_labels"),
    params:
        settings=section("annotation"),
        contents=contents_of("annotate_labels"),
    script:
        "../scripts/annotate_labels.py"
