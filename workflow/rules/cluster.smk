# From numbers to clusters, for all cells that are to be clustered together.


rule cluster:
    input:
        umap=of_group("reduce", "umap"),
        facts=of_group("reduce", "facts"),
        learnt=learnt_of_members,
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
    wildcard_constraints:
        group=alone_in("cluster", GROUP),
    conda:
        "../envs/clusterfirst.yaml"
    threads: 4
    resources:
        **asks("cluster"),
    params:
        settings=section("clustering"),
        typical=section("typical"),
        gpu=plan.config["gpu"],
    script:
        "../scripts/cluster.py"


# A slide's own cells of the clusters of its group.
rule share_clusters:
    input:
        clusters=of_group("cluster", "clusters"),
        facts=of_group("reduce", "facts"),
        umap=made("reduce", "umap"),
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
        slide=alone_in("share_clusters", SHARING_SLIDE),
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        **asks("share_clusters"),
    params:
        slide=lambda wildcards: plan.sample(wildcards.slide).slide,
    script:
        "../scripts/share_clusters.py"
