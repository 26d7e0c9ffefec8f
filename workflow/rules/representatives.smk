# From clusters to the few tiles that show them.


rule representatives:
    input:
        slide=slide_file,
        tiles=made("filter", "filtered.parquet"),
        cells=made("segmentation", "masks.parquet"),
        clusters=made("clustering", "clusters.json"),
    output:
        tiles=directory(f"{RESULTS}/{{slide}}/representatives/tiles"),
        table=f"{RESULTS}/{{slide}}/representatives/cells.csv",
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
        settings=stage("annotation"),
    script:
        "../scripts/annotate_representatives.py"
