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
        # At most what all tiles take.
        mem_mb=need("annotate", "mem_mb"),
        runtime=need("annotate", "runtime"),
        disk_mb=need("annotate", "disk_mb"),
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
        # At most what all tiles take.
        mem_mb=need("annotate", "mem_mb"),
        runtime=need("annotate", "runtime"),
        disk_mb=need("annotate", "disk_mb"),
    params:
        settings=stage("annotation"),
    script:
        "../scripts/annotate_representatives.py"
