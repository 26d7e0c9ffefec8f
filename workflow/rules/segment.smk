# From tiles to outlined cells.


scattergather:
    outlines=plan.config["segmentation"]["shards"],


rule outline:
    input:
        slide=by_content("outline", slide_file),
        tiles=made("filter_tiles", "tiles"),
        weights=weights_of("segmentation"),
    output:
        outlines=f"{RESULTS}/{{slide}}/outlines/{{scatteritem}}.parquet",
    log:
        f"{RESULTS}/{{slide}}/logs/outline-{{scatteritem}}.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/outline-{{scatteritem}}.tsv"
    wildcard_constraints:
        slide=alone_in("outline", A_SLIDE),
    conda:
        "../envs/clusterfirst.yaml"
    threads: 8
    resources:
        **asks("outline"),
    params:
        settings=of_segmentation(without=segmentation.SETTLING),
        gpu=plan.config["gpu"],
        contents=contents_of("outline"),
    script:
        "../scripts/outline.py"


rule segment:
    input:
        tiles=made("filter_tiles", "tiles"),
        outlines=outlines_of,
        objects=by_content("segment", objects_of),
    output:
        cells=f"{RESULTS}/{{slide}}/masks.parquet",
        failed=f"{RESULTS}/{{slide}}/failed_tiles.csv",
    log:
        f"{RESULTS}/{{slide}}/logs/segment.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/segment.tsv"
    wildcard_constraints:
        slide=alone_in("segment", A_SLIDE),
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        **asks("segment"),
    params:
        settings=of_segmentation(without={"shards"}),
        given=given,
        contents=contents_of("segment"),
    script:
        "../scripts/segment.py"
