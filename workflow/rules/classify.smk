# A multimodal model is shown what each cluster looks like, and proposes names.


rule cluster_views:
    input:
        slides=by_content("cluster_views", slides_of_members),
        cells=of_members("segment", "cells"),
        clusters=of_group("cluster", "clusters"),
    output:
        folder=directory(f"{RESULTS}/{{group}}/views"),
    log:
        f"{RESULTS}/{{group}}/logs/cluster_views.log",
    benchmark:
        f"{RESULTS}/{{group}}/benchmarks/cluster_views.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 4
    resources:
        **asks("cluster_views"),
    params:
        per_cluster=lambda wildcards: (
            plan.settings(wildcards.group).classify["per_cluster"]
        ),
        contents=contents_of("cluster_views"),
    script:
        "../scripts/cluster_views.py"


# On the machine where snakemake runs: there is the network, and the key in the environment.
rule classify_clusters:
    input:
        views=rules.cluster_views.output.folder,
        clusters=of_group("cluster", "clusters"),
        prompt=by_content("classify_clusters", prompt_of),
    output:
        classes=f"{RESULTS}/{{group}}/classes.json",
    log:
        f"{RESULTS}/{{group}}/logs/classify_clusters.log",
    benchmark:
        f"{RESULTS}/{{group}}/benchmarks/classify_clusters.tsv"
    # It tries again by itself, as often as that makes sense.
    retries: 0
    localrule: True
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        **asks("classify_clusters"),
    params:
        settings=section("classify"),
        # Of all groups: nothing is asked twice, and there is one budget.
        folder=f"{RESULTS_ON_DISK}/classify",
        contents=contents_of("classify_clusters"),
    script:
        "../scripts/classify_clusters.py"
