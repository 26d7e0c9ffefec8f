# A multimodal model is shown what each cluster looks like, and proposes names.


rule cluster_views:
    input:
        slides=lambda wildcards: [
            named(sample_of(member).path) for member in members_of(wildcards)
        ],
        cells=of_members("segmentation", "masks.parquet"),
        clusters=of_group("clustering", "clusters.json"),
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
        mem_mb=need("cluster_views", "mem_mb"),
        runtime=need("cluster_views", "runtime"),
        disk_mb=need("cluster_views", "disk_mb"),
    params:
        per_cluster=lambda wildcards: settings_of(wildcards.group)["classify"][
            "per_cluster"
        ],
    script:
        "../scripts/cluster_views.py"


# On the machine where snakemake runs: there is the network, and the key in the environment.
rule classify_clusters:
    input:
        views=rules.cluster_views.output.folder,
        clusters=of_group("clustering", "clusters.json"),
        prompt=lambda wildcards: prompt_of(wildcards.group),
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
        mem_mb=need("classify_clusters", "mem_mb"),
        runtime=need("classify_clusters", "runtime"),
        disk_mb=need("classify_clusters", "disk_mb"),
    params:
        settings=stage("classify"),
        # Of all groups: nothing is asked twice, and there is one budget.
        folder=f"{RESULTS_ON_DISK}/classify",
    script:
        "../scripts/classify_clusters.py"
