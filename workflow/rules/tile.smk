# From a slide to the tiles worth looking at.


rule tile:
    input:
        slide=by_content("tile", slide_file),
    output:
        tiles=f"{RESULTS}/{{slide}}/tiles.parquet",
    log:
        f"{RESULTS}/{{slide}}/logs/tile.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/tile.tsv"
    wildcard_constraints:
        slide=alone_in("tile", A_SLIDE),
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        **asks("tile"),
    params:
        settings=section("tiling"),
        mpp=lambda wildcards: plan.sample(wildcards.slide).mpp,
        contents=contents_of("tile"),
    script:
        "../scripts/tile.py"


rule filter_tiles:
    input:
        slide=by_content("filter_tiles", slide_file),
        tiles=made("tile", "tiles"),
    output:
        tiles=f"{RESULTS}/{{slide}}/filtered.parquet",
        picture=report(
            f"{RESULTS}/{{slide}}/filtered.png",
            caption="../report/filtered.rst",
            category=category,
            subcategory="{slide}",
            labels={"figure": "kept and rejected tiles"},
        ),
    log:
        f"{RESULTS}/{{slide}}/logs/filter_tiles.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/filter_tiles.tsv"
    wildcard_constraints:
        slide=alone_in("filter_tiles", A_SLIDE),
    conda:
        "../envs/clusterfirst.yaml"
    threads: 4
    resources:
        **asks("filter_tiles"),
    params:
        settings=section("filter"),
        contents=contents_of("filter_tiles"),
    script:
        "../scripts/filter_tiles.py"


rule export_tiles:
    input:
        slide=by_content("export_tiles", slide_file),
        tiles=made("filter_tiles", "tiles"),
    output:
        folder=directory(f"{RESULTS}/{{slide}}/tiles"),
    log:
        f"{RESULTS}/{{slide}}/logs/export_tiles.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/export_tiles.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 4
    resources:
        **asks("export_tiles"),
    params:
        contents=contents_of("export_tiles"),
    script:
        "../scripts/export_tiles.py"
