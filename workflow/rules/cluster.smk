# From numbers to clusters, for all cells that are to be clustered together.


rule cluster:
    input:
        umap=of_group("reduction", "umap.npy"),
        facts=of_group("reduction", "reduction.json"),
    output:
        clusters=f"{RESULTS}/{{group}}/clusters.json",
        plot=report(
            f"{RESULTS}/{{group}}/clusters.png",
            caption="../report/clusters.rst",
            category=category,
            subcategory="{group}",
            labels={"figure": "clusters"},
        ),
    log:
        f"{RESULTS}/{{group}}/logs/cluster.log",
    benchmark:
        f"{RESULTS}/{{group}}/benchmarks/cluster.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 4
    resources:
        mem_mb=need("cluster", "mem_mb"),
        runtime=need("cluster", "runtime"),
        disk_mb=need("cluster", "disk_mb"),
        gpu=GPUS_OF["cluster"],
    params:
        settings=stage("clustering"),
        typical=lambda wildcards: {
            key: settings_of(wildcards.group)["representatives"][key]
            for key in ("max_items", "min_confidence")
        },
        gpu=CONFIG["gpu"],
    script:
        "../scripts/cluster.py"


# A slide's own cells of the clusters of its group.
rule share_clusters:
    input:
        clusters=of_group("clustering", "clusters.json"),
        facts=of_group("reduction", "reduction.json"),
        umap=made("reduction", "umap.npy"),
    output:
        clusters=f"{RESULTS}/{{slide}}/clusters.json",
        plot=report(
            f"{RESULTS}/{{slide}}/clusters.png",
            caption="../report/shared_clusters.rst",
            category=category,
            subcategory="{slide}",
            labels={"figure": "clusters"},
        ),
    log:
        f"{RESULTS}/{{slide}}/logs/share_clusters.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/share_clusters.tsv"
    wildcard_constraints:
        slide=SHARING_SLIDE,
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        mem_mb=need("share_clusters", "mem_mb"),
        runtime=need("share_clusters", "runtime"),
        disk_mb=need("share_clusters", "disk_mb"),
    params:
        slide=lambda wildcards: sample_of(wildcards.slide).slide,
    script:
        "../scripts/share_clusters.py"
