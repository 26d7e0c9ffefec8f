# From many numbers per cell to few, for all cells that are to be clustered together.


rule reduce:
    input:
        embeddings=of_members("embed", "embeddings"),
        columns=of_members("embed", "columns"),
        cells=of_members("segment", "cells"),
    output:
        umap=f"{RESULTS}/{{group}}/umap.npy",
        plane=f"{RESULTS}/{{group}}/umap2d.npy",
        facts=f"{RESULTS}/{{group}}/reduction.json",
    log:
        f"{RESULTS}/{{group}}/logs/reduce.log",
    benchmark:
        f"{RESULTS}/{{group}}/benchmarks/reduce.tsv"
    wildcard_constraints:
        group=alone_in("reduce", GROUP),
    conda:
        "../envs/clusterfirst.yaml"
    threads: 8
    resources:
        **asks("reduce"),
    params:
        settings=section("reduction"),
        slides=lambda wildcards: plan.names(wildcards.group),
        gpu=plan.config["gpu"],
    script:
        "../scripts/reduce.py"


# A slide's own part of the map of its group.
rule share_map:
    input:
        umap=of_group("reduce", "umap"),
        plane=of_group("reduce", "plane"),
        facts=of_group("reduce", "facts"),
    output:
        umap=f"{RESULTS}/{{slide}}/umap.npy",
        plane=f"{RESULTS}/{{slide}}/umap2d.npy",
        facts=f"{RESULTS}/{{slide}}/reduction.json",
    log:
        f"{RESULTS}/{{slide}}/logs/share_map.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/share_map.tsv"
    wildcard_constraints:
        slide=alone_in("share_map", SHARING_SLIDE),
    localrule: True
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        **asks("share_map"),
    params:
        slide=lambda wildcards: plan.sample(wildcards.slide).slide,
    script:
        "../scripts/share_map.py"
