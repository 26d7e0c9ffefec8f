# From a slide to the tiles worth looking at.


rule tile:
    input:
        slide=slide_file,
    output:
        tiles=f"{RESULTS}/{{slide}}/tiles.parquet",
    log:
        f"{RESULTS}/{{slide}}/logs/tile.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/tile.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        mem_mb=need("tile", "mem_mb"),
        runtime=need("tile", "runtime"),
        disk_mb=need("tile", "disk_mb"),
    params:
        settings=stage("tiling"),
        mpp=lambda wildcards: sample_of(wildcards.slide).mpp,
    script:
        "../scripts/tile.py"


rule filter_tiles:
    input:
        slide=slide_file,
        tiles=made("tiling", "tiles.parquet"),
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
    conda:
        "../envs/clusterfirst.yaml"
    threads: 4
    resources:
        mem_mb=need("filter_tiles", "mem_mb"),
        runtime=need("filter_tiles", "runtime"),
        disk_mb=need("filter_tiles", "disk_mb"),
    params:
        settings=stage("filter"),
    script:
        "../scripts/filter_tiles.py"


rule export_tiles:
    input:
        slide=slide_file,
        tiles=made("filter", "filtered.parquet"),
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
        mem_mb=need("export_tiles", "mem_mb"),
        runtime=need("export_tiles", "runtime"),
        disk_mb=need("export_tiles", "disk_mb"),
    script:
        "../scripts/export_tiles.py"
