# From clusters to what shows them: a picture of each, and the few tiles with all of them.


rule representatives:
    input:
        slide=slide_file,
        tiles=made("filter", "filtered.parquet"),
        cells=made("segmentation", "masks.parquet"),
        clusters=made("clustering", "clusters.json"),
    output:
        tiles=directory(f"{RESULTS}/{{slide}}/representatives/tiles"),
        gallery=directory(f"{RESULTS}/{{slide}}/representatives/gallery"),
        table=f"{RESULTS}/{{slide}}/representatives/cells.csv",
        summary=f"{RESULTS}/{{slide}}/representatives/summary.json",
    log:
        f"{RESULTS}/{{slide}}/logs/representatives.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/representatives.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 4
    resources:
        mem_mb=need("representatives", "mem_mb"),
        runtime=need("representatives", "runtime"),
        disk_mb=need("representatives", "disk_mb"),
    script:
        "../scripts/representatives.py"


rule annotate_representatives:
    input:
        slide=slide_file,
        tiles=made("filter", "filtered.parquet"),
        cells=made("segmentation", "masks.parquet"),
        clusters=made("clustering", "clusters.json"),
        classes=classes_for(book.drawing_of_representatives),
        summary=rules.representatives.output.summary,
    output:
        folder=directory(f"{RESULTS}/{{slide}}/representatives/annotated"),
    log:
        f"{RESULTS}/{{slide}}/logs/annotate_representatives.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/annotate_representatives.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 4
    resources:
        mem_mb=need("annotate_representatives", "mem_mb"),
        runtime=need("annotate_representatives", "runtime"),
        disk_mb=need("annotate_representatives", "disk_mb"),
    params:
        settings=lambda wildcards: book.drawing_of_representatives(
            settings_of(wildcards.slide)
        ),
    script:
        "../scripts/annotate_representatives.py"
