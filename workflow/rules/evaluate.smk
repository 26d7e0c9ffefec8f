# How good the results are, where somebody knows the truth.


localrules:
    evaluate_segmentation,


rule evaluate_slide_segmentation:
    input:
        slide=slide_file,
        cells=rules.segment.output.cells,
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
        # Polygons of both sides and the text of a GeoJSON file; compressed ones take ten times their size.
        mem_mb=lambda wildcards, input, attempt: int(
            3000
            + 10
            * sum(Path(f).stat().st_size for f in (input.cells, input.truth))
            / 1e6
        )
        * attempt,
        runtime=lambda wildcards, input, attempt: int(20 + input.size_mb // 50)
        * attempt,
    script:
        "../scripts/evaluate_slide_segmentation.py"


rule pool_segmentation_scores:
    input:
        scores=scored_slides,
    output:
        table=report(
            f"{RESULTS}/evaluation/segmentation.csv",
            caption="../report/pooled_segmentation.rst",
            category="Evaluation",
            subcategory="All slides",
            labels={"figure": "scores of the segmentation"},
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
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    script:
        "../scripts/pool_segmentation_scores.py"


# How well outlines match, of all slides whose truth is known.
rule evaluate_segmentation:
    input:
        rules.pool_segmentation_scores.output,
