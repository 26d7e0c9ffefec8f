# How good the results are, where somebody knows the truth.


localrules:
    evaluate_segmentation,


def truth_file(wildcards):
    truth = SAMPLES[wildcards.slide].truth
    if not truth:
        raise WorkflowError(
            f"slide {wildcards.slide} has no truth: name its file in column 'truth' of {CONFIG['slides']}"
        )
    return truth


def scored_slides(wildcards):
    """An input function, so that a sheet without truths is an error only to those who ask for scores."""
    known = [slide for slide, sample in SAMPLES.items() if sample.truth]
    if not known:
        raise WorkflowError(
            "no slide has a truth to be scored against: name files of true outlines (QuPath GeoJSON, GeoParquet or "
            f"label images) in column 'truth' of {CONFIG['slides']}"
        )
    return expand(f"{RESULTS}/{{slide}}/evaluation/segmentation.json", slide=known)


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
