# From what people named to an atlas, and from an atlas to what the cells of other slides are.


rule learn_atlas:
    input:
        # For pictures of what is taken for what: when they were written does not matter.
        shown=slides_that_teach,
        said=every(wanted.teaching_labels),
        blind=every(wanted.blind_answers),
        embeddings=of_found(wanted.teaching_slides, "embed", "embeddings"),
        columns=of_found(wanted.teaching_slides, "embed", "columns"),
        cells=of_found(wanted.teaching_slides, "segment", "cells"),
    output:
        atlas=f"{RESULTS}/atlas/{{atlas}}.atlas",
        page=report(
            f"{RESULTS}/atlas/{{atlas}}.html",
            caption="../report/atlas.rst",
            category="Atlas",
            labels={"figure": "page: what was learnt"},
        ),
    log:
        f"{RESULTS}/atlas/{{atlas}}/logs/learn_atlas.log",
    benchmark:
        f"{RESULTS}/atlas/{{atlas}}/benchmarks/learn_atlas.tsv"
    wildcard_constraints:
        atlas=learnable(),
    conda:
        "../envs/clusterfirst.yaml"
    threads: 4
    resources:
        **asks("learn_atlas"),
    params:
        slides=every(wanted.teaching_slides),
        patients=every(lambda plan: wanted.patients(plan, wanted.teaching_slides(plan))),
        settings=every(wanted.teaching_settings),
    script:
        "../scripts/learn_atlas.py"


rule apply_atlas:
    input:
        atlas=by_content("apply_atlas", atlas_file),
        embeddings=made("embed", "embeddings"),
        columns=made("embed", "columns"),
        cells=made("segment", "cells"),
    output:
        learnt=f"{RESULTS}/{{slide}}/learnt.parquet",
    log:
        f"{RESULTS}/{{slide}}/logs/apply_atlas.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/apply_atlas.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 4
    resources:
        **asks("apply_atlas"),
    params:
        apply=section("apply"),
        contents=contents_of("apply_atlas"),
    script:
        "../scripts/apply_atlas.py"


# An atlas of all slides that people have labelled.
rule learn:
    input:
        atlas_to_learn(),


# What it says of the cells of slides: neither clusters nor map are needed.
rule apply:
    input:
        every(wanted.applied),
