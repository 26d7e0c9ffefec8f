# From clusters to pictures.


rule annotate:
    input:
        slide=by_content("annotate", slide_file),
        tiles=made("filter_tiles", "tiles"),
        cells=made("segment", "cells"),
        plane=made("reduce", "plane"),
        clusters=made("cluster", "clusters"),
        classes=classes_for("annotation"),
    output:
        folder=report(
            directory(f"{RESULTS}/{{slide}}/annotated"),
            patterns=["{figure,overview|gallery|umap}.png"],
            caption="../report/annotated.rst",
            category=category,
            subcategory="{slide}",
            labels={"figure": "{figure}"},
        ),
        # Any changed setting ends here, so these are always the settings that the results were made with.
        settings=f"{RESULTS}/{{slide}}/settings.yaml",
    log:
        f"{RESULTS}/{{slide}}/logs/annotate.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/annotate.tsv"
    wildcard_constraints:
        slide=alone_in("annotate", A_SLIDE),
    conda:
        "../envs/clusterfirst.yaml"
    threads: 4
    resources:
        **asks("annotate"),
    params:
        settings=section("annotation"),
        all_settings=section("decisive"),
        tissue=lambda wildcards: plan.sample(wildcards.slide).tissue,
        contents=contents_of("annotate"),
    script:
        "../scripts/annotate.py"
