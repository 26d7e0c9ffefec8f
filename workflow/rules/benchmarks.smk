# From what Snakemake measured to a table.


# What each stage of each slide took. It tabulates what has been run, and runs nothing.
rule benchmarks:
    input:
        # What is made in the same call is to be in it, but for the page that has a link to it.
        asked_for_as_well("benchmarks", "cohort"),
    output:
        page=report(
            f"{RESULTS}/benchmarks.html",
            caption="../report/benchmarks.rst",
            category="Costs",
            labels={"figure": "page: time and memory"},
        ),
        table=report(
            f"{RESULTS}/benchmarks.csv",
            caption="../report/benchmarks.rst",
            category="Costs",
            labels={"figure": "table: time and memory"},
        ),
    log:
        f"{RESULTS}/logs/benchmarks.log",
    localrule: True
    conda:
        "../envs/clusterfirst.yaml"
    threads: 1
    resources:
        **asks("benchmarks"),
    params:
        # They are no inputs: as such, they would be made again together with the stages that they are of.
        files=targets.or_later(benchmark_files, ("benchmarks", "cohort")),
    script:
        "../scripts/benchmarks.py"
