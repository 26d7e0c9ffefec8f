# Files that the project uses and does not carry: weights, and the sample slide of the demo.


rule fetch_weights:
    output:
        weights=named(f"{MODELS_DIR}/{{file}}"),
    log:
        named(f"{MODELS_DIR}/logs/{{file}}.log"),
    benchmark:
        named(f"{MODELS_DIR}/logs/{{file}}.tsv")
    wildcard_constraints:
        file=still_to_fetch(needed_weights()),
    retries: 2
    localrule: True
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
        disk_mb=3000,
    script:
        "../scripts/fetch.py"


use rule fetch_weights as fetch_slide with:
    output:
        slide=named(f"{weights.SLIDES_DIR}/{{file}}"),
    log:
        named(f"{weights.SLIDES_DIR}/logs/{{file}}.log"),
    benchmark:
        named(f"{weights.SLIDES_DIR}/logs/{{file}}.tsv")
    wildcard_constraints:
        file=still_to_fetch(
            named(f"{weights.SLIDES_DIR}/{name}") for name in weights.SLIDES
        ),
