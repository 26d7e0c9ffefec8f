# From clusters to what shows them: a picture of each, and the few tiles with all of them.


rule representatives:
    input:
        slide=by_content("representatives", slide_file),
        tiles=made("filter_tiles", "tiles"),
        cells=made("segment", "cells"),
        clusters=made("cluster", "clusters"),
    output:
        tiles=directory(f"{RESULTS}/{{slide}}/representatives/tiles"),
        gallery=directory(f"{RESULTS}/{{slide}}/representatives/gallery"),
        table=f"{RESULTS}/{{slide}}/representatives/cells.csv",
        summary=f"{RESULTS}/{{slide}}/representatives/summary.json",
    log:
        f"{RESULTS}/{{slide}}/logs/representatives.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/representatives.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 4
    resources:
        **asks("representatives"),
    params:
        contents=contents_of("representatives"),
    script:
        "../scripts/representatives.py"


rule annotate_representatives:
    input:
        slide=by_content("annotate_representatives", slide_file),
        tiles=made("filter_tiles", "tiles"),
        cells=made("segment", "cells"),
        clusters=made("cluster", "clusters"),
        classes=classes_for("drawing_of_representatives"),
        summary=rules.representatives.output.summary,
    output:
        folder=directory(f"{RESULTS}/{{slide}}/representatives/annotated"),
    log:
        f"{RESULTS}/{{slide}}/logs/annotate_representatives.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/annotate_representatives.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 4
    resources:
        **asks("annotate_representatives"),
    params:
        settings=section("drawing_of_representatives"),
        contents=contents_of("annotate_representatives"),
    script:
        "../scripts/annotate_representatives.py"
