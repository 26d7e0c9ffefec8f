# From cells to files for other tools.


rule nuclei_mask:
    input:
        slide=by_content("nuclei_mask", slide_file),
        cells=made("segment", "cells"),
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
        **asks("nuclei_mask"),
    params:
        contents=contents_of("nuclei_mask"),
    script:
        "../scripts/nuclei_mask.py"


# From cells to one format each; what a format needs and how it is written stand in clusterfirst.export.
for name, format in FORMATS.items():

    rule:
        name:
            f"export_{name}"
        input:
            **parts_of(name),
            cells=made("label_cells", "cells"),
        output:
            file=(directory if format.folder else str)(
                f"{RESULTS}/{{slide}}/{format.file}"
            ),
        log:
            f"{RESULTS}/{{slide}}/logs/export_{name}.log",
        benchmark:
            f"{RESULTS}/{{slide}}/benchmarks/export_{name}.tsv"
        conda:
            "../envs/clusterfirst.yaml"
        threads: format.threads
        resources:
            **asks(f"export_{name}"),
        params:
            format=name,
            contents=contents_of(f"export_{name}"),
        script:
            "../scripts/export.py"
