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
        # The outlines: about 3.5 kB a cell while they are read.
        mem_mb=lambda wildcards, input, attempt: int(
            1500 + 10 * Path(input.cells).stat().st_size / 1e6
        )
        * attempt,
        # The mask takes a minute per million cells; the rest is for the slide's thumbnail.
        runtime=lambda wildcards, input, attempt: int(20 + input.size_mb // 100)
        * attempt,
    script:
        "../scripts/nuclei_mask.py"
