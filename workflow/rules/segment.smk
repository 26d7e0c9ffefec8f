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
        # The network, its tiles, and the processes that read and outline.
        mem_mb=lambda wildcards, threads, attempt: (5000 + 500 * threads) * attempt,
        runtime=lambda wildcards, input, attempt: int(
            60 + input.size_mb // 2 / CONFIG["segmentation"]["shards"]
        )
        * attempt,
        gpu=gpus("segmentation"),
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
        mem_mb=lambda wildcards, input, attempt: int(2000 + 20 * input.size_mb)
        * attempt,
        runtime=lambda wildcards, input, attempt: int(15 + input.size_mb // 10)
        * attempt,
    params:
        settings=segmentation(without={"shards"}),
    script:
        "../scripts/segment.py"
