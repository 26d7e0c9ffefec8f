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
