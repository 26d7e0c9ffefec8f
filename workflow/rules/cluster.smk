# From numbers to clusters.


rule cluster:
    input:
        umap=rules.reduce.output.umap,
    output:
        clusters=f"{RESULTS}/{{slide}}/clusters.json",
        plot=report(
            f"{RESULTS}/{{slide}}/k_distance.png",
            caption="../report/k_distance.rst",
            category="Slides",
            subcategory="{slide}",
            labels={"figure": "k-distance curve"},
        ),
    log:
        f"{RESULTS}/{{slide}}/logs/cluster.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/cluster.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 4
    resources:
        mem_mb=lambda wildcards, input, attempt: int(2000 + 10 * input.size_mb)
        * attempt,
        runtime=lambda wildcards, input, attempt: int(15 + input.size_mb) * attempt,
    params:
        settings=stage("clustering"),
    script:
        "../scripts/cluster.py"
