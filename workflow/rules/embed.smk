# From outlined cells to numbers.


rule embed:
    input:
        slide=slide_file,
        tiles=made("filter", "filtered.parquet"),
        cells=made("segmentation", "masks.parquet"),
        weights=weights_of("embedding"),
    output:
        embeddings=f"{RESULTS}/{{slide}}/embeddings.npy",
        columns=f"{RESULTS}/{{slide}}/embeddings.json",
    log:
        f"{RESULTS}/{{slide}}/logs/embed.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/embed.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 8
    resources:
        mem_mb=need("embed", "mem_mb"),
        runtime=need("embed", "runtime"),
        disk_mb=need("embed", "disk_mb"),
        gpu=GPUS_OF["embed"],
    params:
        settings=stage("embedding"),
        # The models that the weights belong to, in the same order.
        weights=lambda wildcards: list(weights_files("embedding", wildcards)),
        gpu=CONFIG["gpu"],
    script:
        "../scripts/embed.py"
