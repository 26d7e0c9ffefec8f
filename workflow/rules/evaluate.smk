# How good the results are, where somebody knows the truth.


rule evaluate_slide_segmentation:
    input:
        slide=slide_file,
        cells=made("segmentation", "masks.parquet"),
        truth=truth_file,
    output:
        scores=f"{RESULTS}/{{slide}}/evaluation/segmentation.json",
        picture=report(
            f"{RESULTS}/{{slide}}/evaluation/segmentation.png",
            caption="../report/evaluated_segmentation.rst",
            category="Evaluation",
            subcategory="{slide}",
            labels={"figure": "hits, misses and false alarms"},
        ),
    log:
        f"{RESULTS}/{{slide}}/logs/evaluate_slide_segmentation.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/evaluate_slide_segmentation.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        mem_mb=need("evaluate_slide_segmentation", "mem_mb"),
        runtime=need("evaluate_slide_segmentation", "runtime"),
        disk_mb=need("evaluate_slide_segmentation", "disk_mb"),
    script:
        "../scripts/evaluate_slide_segmentation.py"


rule pool_segmentation_scores:
    input:
        # Points are no outlines.
        scores=slides_with_truth(
            "evaluation/segmentation.json", but=(".csv", ".tsv", ".txt")
        ),
    output:
        table=report(
            f"{RESULTS}/evaluation/segmentation.csv",
            caption="../report/pooled_segmentation.rst",
            category="Evaluation",
            subcategory="All slides",
            labels={"figure": "table: scores of the outlines"},
        ),
        scores=f"{RESULTS}/evaluation/segmentation.json",
        plot=report(
            f"{RESULTS}/evaluation/segmentation.png",
            caption="../report/pooled_segmentation.rst",
            category="Evaluation",
            subcategory="All slides",
            labels={"figure": "F1 over IoU"},
        ),
    log:
        f"{RESULTS}/evaluation/logs/pool_segmentation_scores.log",
    benchmark:
        f"{RESULTS}/evaluation/benchmarks/pool_segmentation_scores.tsv"
    localrule: True
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        mem_mb=need("pool_segmentation_scores", "mem_mb"),
        runtime=need("pool_segmentation_scores", "runtime"),
        disk_mb=need("pool_segmentation_scores", "disk_mb"),
    script:
        "../scripts/pool_segmentation_scores.py"


# How well outlines match, of all slides whose truth is known.
rule evaluate_segmentation:
    input:
        rules.pool_segmentation_scores.output,


rule evaluate_slide_clusters:
    input:
        cells=made("segmentation", "masks.parquet"),
        clusters=made("clustering", "clusters.json"),
        truth=truth_file,
    output:
        scores=f"{RESULTS}/{{slide}}/evaluation/clusters.json",
    log:
        f"{RESULTS}/{{slide}}/logs/evaluate_slide_clusters.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/evaluate_slide_clusters.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        mem_mb=need("evaluate_slide_clusters", "mem_mb"),
        runtime=need("evaluate_slide_clusters", "runtime"),
        disk_mb=need("evaluate_slide_clusters", "disk_mb"),
    script:
        "../scripts/evaluate_slide_clusters.py"


# How clear the clusters are, and how well they mix slides: needs no truth.
rule validate_clusters:
    input:
        umap=of_group("reduction", "umap.npy"),
        facts=of_group("reduction", "reduction.json"),
        clusters=of_group("clustering", "clusters.json"),
    output:
        figures=f"{RESULTS}/{{group}}/evaluation/validity.json",
    log:
        f"{RESULTS}/{{group}}/logs/validate_clusters.log",
    benchmark:
        f"{RESULTS}/{{group}}/benchmarks/validate_clusters.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 4
    resources:
        mem_mb=need("validate_clusters", "mem_mb"),
        runtime=need("validate_clusters", "runtime"),
        disk_mb=need("validate_clusters", "disk_mb"),
        gpu=GPUS_OF["validate_clusters"],
    params:
        gpu=CONFIG["gpu"],
    script:
        "../scripts/validate_clusters.py"


rule pool_cluster_scores:
    input:
        scores=slides_with_truth("evaluation/clusters.json"),
        validity=every_group("evaluation/validity.json"),
    output:
        page=report(
            f"{RESULTS}/evaluation/clusters.html",
            caption="../report/pooled_clusters.rst",
            category="Evaluation",
            subcategory="All slides",
            labels={"figure": "page: clusters against people"},
        ),
        table=report(
            f"{RESULTS}/evaluation/clusters.csv",
            caption="../report/pooled_clusters.rst",
            category="Evaluation",
            subcategory="All slides",
            labels={"figure": "table: clusters against people"},
        ),
        scores=f"{RESULTS}/evaluation/evaluation.json",
        efficiency=report(
            f"{RESULTS}/evaluation/label_efficiency.png",
            caption="../report/label_efficiency.rst",
            category="Evaluation",
            subcategory="All slides",
            labels={"figure": "label efficiency"},
        ),
        confusion=report(
            f"{RESULTS}/evaluation/confusion.png",
            caption="../report/confusion.rst",
            category="Evaluation",
            subcategory="All slides",
            labels={"figure": "confusion"},
        ),
        bars=report(
            f"{RESULTS}/evaluation/figures.png",
            caption="../report/figures.rst",
            category="Evaluation",
            subcategory="All slides",
            labels={"figure": "clusters beside chance"},
        ),
    log:
        f"{RESULTS}/evaluation/logs/pool_cluster_scores.log",
    benchmark:
        f"{RESULTS}/evaluation/benchmarks/pool_cluster_scores.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        mem_mb=need("pool_cluster_scores", "mem_mb"),
        runtime=need("pool_cluster_scores", "runtime"),
        disk_mb=need("pool_cluster_scores", "disk_mb"),
    params:
        groups=lambda wildcards: {slide: SHARING.get(slide, slide) for slide in SAMPLES},
        tissues={slide: sample.tissue for slide, sample in SAMPLES.items()},
    script:
        "../scripts/pool_cluster_scores.py"


# How many cells are right once clusters have names, of all slides whose truth is known.
rule evaluate:
    input:
        rules.pool_cluster_scores.output,


rule compare_trials:
    input:
        scores=trial_files(scores=True),
        validity=trial_files(scores=False),
    output:
        table=f"{RESULTS}/sweep/sweep.csv",
        best=f"{RESULTS}/sweep/best.yaml",
        plot=report(
            f"{RESULTS}/sweep/sweep.png",
            caption="../report/sweep.rst",
            category="Sweep",
            subcategory="All trials",
            labels={"figure": "all trials"},
        ),
        page=report(
            f"{RESULTS}/sweep/sweep.html",
            caption="../report/sweep.rst",
            category="Sweep",
            subcategory="All trials",
            labels={"figure": "page: all trials"},
        ),
    log:
        f"{RESULTS}/sweep/logs/compare_trials.log",
    benchmark:
        f"{RESULTS}/sweep/benchmarks/compare_trials.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        mem_mb=need("compare_trials", "mem_mb"),
        runtime=need("compare_trials", "runtime"),
        disk_mb=need("compare_trials", "disk_mb"),
    params:
        trials=described_trials,
    script:
        "../scripts/compare_trials.py"


# Every combination of the values listed under `sweep`, side by side.
rule sweep:
    input:
        rules.compare_trials.output,
