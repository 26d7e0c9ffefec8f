# From cells to files for other tools.


rule nuclei_mask:
    input:
        slide=slide_file,
        cells=made("segmentation", "masks.parquet"),
    output:
        mask=f"{RESULTS}/{{slide}}/nuclei_mask.tiff",
        overlay=report(
            f"{RESULTS}/{{slide}}/nuclei_mask.png",
            caption="../report/nuclei_mask.rst",
            category=category,
            subcategory="{slide}",
            labels={"figure": "nuclei"},
        ),
    log:
        f"{RESULTS}/{{slide}}/logs/nuclei_mask.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/nuclei_mask.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        mem_mb=need("nuclei_mask", "mem_mb"),
        runtime=need("nuclei_mask", "runtime"),
        disk_mb=need("nuclei_mask", "disk_mb"),
    script:
        "../scripts/nuclei_mask.py"


rule export_qupath:
    input:
        cells=f"{RESULTS}/{{slide}}/cells.parquet",
    output:
        geojson=f"{RESULTS}/{{slide}}/cells.geojson.gz",
    log:
        f"{RESULTS}/{{slide}}/logs/export_qupath.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/export_qupath.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 2
    resources:
        mem_mb=need("export_qupath", "mem_mb"),
        runtime=need("export_qupath", "runtime"),
        disk_mb=need("export_qupath", "disk_mb"),
    script:
        "../scripts/export_qupath.py"


rule export_h5ad:
    input:
        cells=f"{RESULTS}/{{slide}}/cells.parquet",
        embeddings=made("embedding", "embeddings.npy"),
        columns=made("embedding", "embeddings.json"),
        reduced=made("reduction", "umap.npy"),
    output:
        h5ad=f"{RESULTS}/{{slide}}/cells.h5ad",
    log:
        f"{RESULTS}/{{slide}}/logs/export_h5ad.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/export_h5ad.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        mem_mb=need("export_h5ad", "mem_mb"),
        runtime=need("export_h5ad", "runtime"),
        disk_mb=need("export_h5ad", "disk_mb"),
    script:
        "../scripts/export_h5ad.py"


rule export_spatialdata:
    input:
        cells=f"{RESULTS}/{{slide}}/cells.parquet",
        embeddings=made("embedding", "embeddings.npy"),
        columns=made("embedding", "embeddings.json"),
        reduced=made("reduction", "umap.npy"),
        slide=slide_if_pictured,
    output:
        zarr=directory(f"{RESULTS}/{{slide}}/cells.zarr"),
    log:
        f"{RESULTS}/{{slide}}/logs/export_spatialdata.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/export_spatialdata.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 2
    resources:
        mem_mb=need("export_spatialdata", "mem_mb"),
        runtime=need("export_spatialdata", "runtime"),
        disk_mb=need("export_spatialdata", "disk_mb"),
    script:
        "../scripts/export_spatialdata.py"


rule export_csv:
    input:
        cells=f"{RESULTS}/{{slide}}/cells.parquet",
    output:
        csv=f"{RESULTS}/{{slide}}/cells.csv",
    log:
        f"{RESULTS}/{{slide}}/logs/export_csv.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/export_csv.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        mem_mb=need("export_csv", "mem_mb"),
        runtime=need("export_csv", "runtime"),
        disk_mb=need("export_csv", "disk_mb"),
    script:
        "../scripts/export_csv.py"


rule export_coco:
    input:
        cells=f"{RESULTS}/{{slide}}/cells.parquet",
        tiles=made("filter", "filtered.parquet"),
        pictures=f"{RESULTS}/{{slide}}/tiles",
    output:
        coco=f"{RESULTS}/{{slide}}/cells.coco.json",
    log:
        f"{RESULTS}/{{slide}}/logs/export_coco.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/export_coco.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        mem_mb=need("export_coco", "mem_mb"),
        runtime=need("export_coco", "runtime"),
        disk_mb=need("export_coco", "disk_mb"),
    script:
        "../scripts/export_coco.py"


rule export_paper:
    input:
        cells=f"{RESULTS}/{{slide}}/cells.parquet",
        tiles=made("filter", "filtered.parquet"),
        pictures=f"{RESULTS}/{{slide}}/tiles",
    output:
        annotations=f"{RESULTS}/{{slide}}/final_annotations.json",
    log:
        f"{RESULTS}/{{slide}}/logs/export_paper.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/export_paper.tsv"
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        mem_mb=need("export_paper", "mem_mb"),
        runtime=need("export_paper", "runtime"),
        disk_mb=need("export_paper", "disk_mb"),
    script:
        "../scripts/export_paper.py"
