# From outlined cells to numbers.


rule embed:
    input:
        slide=slide_file,
        tiles=rules.filter_tiles.output.tiles,
        cells=rules.segment.output.cells,
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
        mem_mb=lambda wildcards, input, attempt: int(
            4000 + 20 * Path(input.cells).stat().st_size / 1e6
        )
        * attempt,
        runtime=lambda wildcards, input, attempt: int(60 + input.size_mb // 4) * attempt,
        gpu=gpus("embedding"),
    params:
        settings=stage("embedding"),
        gpu=CONFIG["gpu"],
    script:
        "../scripts/embed.py"


rule reduce:
    input:
        embeddings=rules.embed.output.embeddings,
        columns=rules.embed.output.columns,
    output:
        umap=f"{RESULTS}/{{slide}}/umap.npy",
        plane=f"{RESULTS}/{{slide}}/umap2d.npy",
    log:
        f"{RESULTS}/{{slide}}/logs/reduce.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/reduce.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads:
        lambda wildcards: (
            1 if settings_of(wildcards.slide)["reduction"]["seed"] is not None else 8
        )
    resources:
        mem_mb=lambda wildcards, input, attempt: int(3000 + 8 * input.size_mb) * attempt,
        runtime=lambda wildcards, input, attempt: int(30 + input.size_mb) * attempt,
    params:
        settings=stage("reduction"),
    script:
        "../scripts/reduce.py"
