# From tiles to outlined cells.


rule segment:
    input:
        slide=slide_file,
        tiles=rules.filter_tiles.output.tiles,
        weights=weights_of("segmentation"),
    output:
        cells=f"{RESULTS}/{{slide}}/masks.parquet",
    log:
        f"{RESULTS}/{{slide}}/logs/segment.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/segment.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 8
    resources:
        # The network and its tiles, and the outlines: about a kilobyte a cell.
        mem_mb=lambda wildcards, input, attempt: int(5000 + 2 * input.size_mb) * attempt,
        runtime=lambda wildcards, input, attempt: int(60 + input.size_mb // 2) * attempt,
        gpu=gpus("segmentation"),
    params:
        settings=stage("segmentation"),
        gpu=CONFIG["gpu"],
    script:
        "../scripts/segment.py"
