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
