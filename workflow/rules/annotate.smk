# From clusters to pictures.


rule annotate:
    input:
        slide=slide_file,
        tiles=made("filter", "filtered.parquet"),
        cells=made("segmentation", "masks.parquet"),
        plane=made("reduction", "umap2d.npy"),
        clusters=made("clustering", "clusters.json"),
        classes=classes_for(lambda settings: settings["annotation"]),
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
    conda:
        "../envs/clusterfirst.yaml"
    threads: 4
    resources:
        mem_mb=need("annotate", "mem_mb"),
        runtime=need("annotate", "runtime"),
        disk_mb=need("annotate", "disk_mb"),
    params:
        settings=stage("annotation"),
        all_settings=lambda wildcards: book.decisive(settings_of(wildcards.slide)),
        tissue=lambda wildcards: sample_of(wildcards.slide).tissue,
    script:
        "../scripts/annotate.py"
