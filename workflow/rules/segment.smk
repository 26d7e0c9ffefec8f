# From tiles to outlined cells.


scattergather:
    outlines=CONFIG["segmentation"]["shards"],


rule outline:
    input:
        slide=slide_file,
        tiles=made("filter", "filtered.parquet"),
        weights=weights_of("segmentation"),
    output:
        outlines=f"{RESULTS}/{{slide}}/outlines/{{scatteritem}}.parquet",
    log:
        f"{RESULTS}/{{slide}}/logs/outline-{{scatteritem}}.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/outline-{{scatteritem}}.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 8
    resources:
        mem_mb=need("outline", "mem_mb"),
        runtime=need("outline", "runtime"),
        disk_mb=need("outline", "disk_mb"),
        gpu=GPUS_OF["outline"],
    params:
        settings=segmentation(without=SETTLING),
        gpu=CONFIG["gpu"],
    script:
        "../scripts/outline.py"


rule segment:
    input:
        tiles=made("filter", "filtered.parquet"),
        outlines=outlines_of,
        objects=objects_of,
    output:
        cells=f"{RESULTS}/{{slide}}/masks.parquet",
        failed=f"{RESULTS}/{{slide}}/failed_tiles.csv",
    log:
        f"{RESULTS}/{{slide}}/logs/segment.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/segment.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        mem_mb=need("segment", "mem_mb"),
        runtime=need("segment", "runtime"),
        disk_mb=need("segment", "disk_mb"),
    params:
        settings=segmentation(without={"shards"}),
    script:
        "../scripts/segment.py"
