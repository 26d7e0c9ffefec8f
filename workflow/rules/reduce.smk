# From many numbers per cell to few, for all cells that are to be clustered together.


rule reduce:
    input:
        embeddings=of_members("embedding", "embeddings.npy"),
        columns=of_members("embedding", "embeddings.json"),
        cells=of_members("segmentation", "masks.parquet"),
    output:
        umap=f"{RESULTS}/{{group}}/umap.npy",
        plane=f"{RESULTS}/{{group}}/umap2d.npy",
        facts=f"{RESULTS}/{{group}}/reduction.json",
    log:
        f"{RESULTS}/{{group}}/logs/reduce.log",
    benchmark:
        f"{RESULTS}/{{group}}/benchmarks/reduce.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 8
    resources:
        mem_mb=need("reduce", "mem_mb"),
        runtime=need("reduce", "runtime"),
        disk_mb=need("reduce", "disk_mb"),
        gpu=GPUS_OF["reduce"],
    params:
        settings=stage("reduction"),
        slides=names_of_members,
        gpu=CONFIG["gpu"],
    script:
        "../scripts/reduce.py"


# A slide's own part of the map of its group.
rule share_map:
    input:
        umap=of_group("reduction", "umap.npy"),
        plane=of_group("reduction", "umap2d.npy"),
        facts=of_group("reduction", "reduction.json"),
    output:
        umap=f"{RESULTS}/{{slide}}/umap.npy",
        plane=f"{RESULTS}/{{slide}}/umap2d.npy",
        facts=f"{RESULTS}/{{slide}}/reduction.json",
    log:
        f"{RESULTS}/{{slide}}/logs/share_map.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/share_map.tsv"
    wildcard_constraints:
        slide=SHARING_SLIDE,
    localrule: True
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        mem_mb=need("share_map", "mem_mb"),
        runtime=need("share_map", "runtime"),
        disk_mb=need("share_map", "disk_mb"),
    params:
        slide=lambda wildcards: sample_of(wildcards.slide).slide,
    script:
        "../scripts/share_map.py"
