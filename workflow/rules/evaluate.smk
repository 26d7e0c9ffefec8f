# How good the results are, where somebody knows the truth.


rule evaluate_slide_segmentation:
    input:
        slide=by_content("evaluate_slide_segmentation", slide_file),
        cells=made("segment", "cells"),
        truth=by_content("evaluate_slide_segmentation", truth_file),
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
        **asks("evaluate_slide_segmentation"),
    params:
        given=section("given"),
        contents=contents_of("evaluate_slide_segmentation"),
    script:
        "../scripts/evaluate_slide_segmentation.py"


rule pool_segmentation_scores:
    input:
        # Points are no outlines.
        scores=every(
            partial(wanted.truths, stage="evaluate_slide_segmentation", outlines=True)
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
        **asks("pool_segmentation_scores"),
    script:
        "../scripts/pool_segmentation_scores.py"


# How well outlines match, of all slides whose truth is known.
rule evaluate_segmentation:
    input:
        rules.pool_segmentation_scores.output,


rule evaluate_slide_clusters:
    input:
        cells=made("segment", "cells"),
        clusters=made("cluster", "clusters"),
        truth=by_content("evaluate_slide_clusters", truth_file),
    output:
        scores=f"{RESULTS}/{{slide}}/evaluation/clusters.json",
        truth=f"{RESULTS}/{{slide}}/evaluation/truth.parquet",
    log:
        f"{RESULTS}/{{slide}}/logs/evaluate_slide_clusters.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/evaluate_slide_clusters.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        **asks("evaluate_slide_clusters"),
    params:
        given=section("given"),
        contents=contents_of("evaluate_slide_clusters"),
    script:
        "../scripts/evaluate_slide_clusters.py"


# How clear the clusters are, and how well they mix slides: needs no truth.
rule validate_clusters:
    input:
        umap=of_group("reduce", "umap"),
        facts=of_group("reduce", "facts"),
        clusters=of_group("cluster", "clusters"),
        learnt=learnt_of_members,
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
        **asks("validate_clusters"),
    params:
        gpu=plan.config["gpu"],
    script:
        "../scripts/validate_clusters.py"


rule pool_cluster_scores:
    input:
        scores=every(partial(wanted.truths, stage="evaluate_slide_clusters")),
        validity=every_group("validate_clusters", "figures"),
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
        **asks("pool_cluster_scores"),
    params:
        groups=lambda wildcards: {
            slide: plan.groups.of_slide(slide) for slide in plan.samples
        },
        tissues={slide: sample.tissue for slide, sample in plan.samples.items()},
    script:
        "../scripts/pool_cluster_scores.py"


# How many cells are right once clusters have names, of all slides whose truth is known.
rule evaluate:
    input:
        rules.pool_cluster_scores.output,


rule simulate_naming:
    input:
        embeddings=of_members("embed", "embeddings"),
        columns=of_members("embed", "columns"),
        cells=of_members("segment", "cells"),
        clusters=of_group("cluster", "clusters"),
        said=lambda wildcards: [
            plan.at("evaluate_slide_clusters", slide, "truth")
            for slide in wanted.with_truth(plan, wildcards.group)
        ],
    output:
        moments=f"{RESULTS}/{{group}}/evaluation/naming.json",
    log:
        f"{RESULTS}/{{group}}/logs/simulate_naming.log",
    benchmark:
        f"{RESULTS}/{{group}}/benchmarks/simulate_naming.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 4
    resources:
        **asks("simulate_naming"),
    params:
        learning=section("learning"),
        reduction=section("reduction"),
        slides=lambda wildcards: plan.names(wildcards.group),
        with_truth=lambda wildcards: [
            plan.sample(slide).slide
            for slide in wanted.with_truth(plan, wildcards.group)
        ],
    script:
        "../scripts/simulate_naming.py"


rule pool_naming:
    input:
        moments=every(wanted.naming_moments),
    output:
        page=report(
            f"{RESULTS}/evaluation/naming.html",
            caption="../report/naming.rst",
            category="Evaluation",
            subcategory="All slides",
            labels={"figure": "page: a person's time"},
        ),
        table=f"{RESULTS}/evaluation/naming.csv",
        plot=f"{RESULTS}/evaluation/naming.png",
    log:
        f"{RESULTS}/evaluation/logs/pool_naming.log",
    benchmark:
        f"{RESULTS}/evaluation/benchmarks/pool_naming.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        **asks("pool_naming"),
    script:
        "../scripts/pool_naming.py"


# How many cells are right after so many seconds of a person, asked as we do and in other ways.
rule evaluate_naming:
    input:
        rules.pool_naming.output,


rule transfer_labels:
    input:
        embeddings=of_found(wanted.split_slides, "embed", "embeddings"),
        columns=of_found(wanted.split_slides, "embed", "columns"),
        cells=of_found(wanted.split_slides, "segment", "cells"),
        clusters=of_found(wanted.split_slides, "cluster", "clusters"),
        said=of_found(wanted.split_slides, "evaluate_slide_clusters", "truth"),
    output:
        page=report(
            f"{RESULTS}/evaluation/transfer.html",
            caption="../report/transfer.rst",
            category="Evaluation",
            subcategory="All slides",
            labels={"figure": "page: labels carried to other slides"},
        ),
        table=f"{RESULTS}/evaluation/transfer.csv",
    log:
        f"{RESULTS}/evaluation/logs/transfer_labels.log",
    benchmark:
        f"{RESULTS}/evaluation/benchmarks/transfer_labels.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 4
    resources:
        **asks("transfer_labels"),
    params:
        slides=every(wanted.split_slides),
        splits=every(
            lambda plan: [
                plan.samples[slide].split for slide in wanted.split_slides(plan)
            ]
        ),
        groups=every(
            lambda plan: [
                plan.groups.of_slide(slide) for slide in wanted.split_slides(plan)
            ]
        ),
        patients=every(lambda plan: wanted.patients(plan, wanted.split_slides(plan))),
        settings=every(partial(wanted.teaching_settings, find=wanted.split_slides)),
    script:
        "../scripts/transfer_labels.py"


# What an atlas is worth on slides that taught nothing (column `split` of the sheet).
rule evaluate_transfer:
    input:
        rules.transfer_labels.output,


rule compare_trials:
    input:
        scores=every(wanted.trial_scores),
        validity=every(wanted.trial_validity),
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
        **asks("compare_trials"),
    params:
        trials=every(wanted.described_trials),
    script:
        "../scripts/compare_trials.py"


# Every combination of the values listed under `sweep`, side by side.
rule sweep:
    input:
        rules.compare_trials.output,
