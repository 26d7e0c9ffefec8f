# From all that is finished to one page.


# It shows what there is, and runs nothing.
rule cohort:
    input:
        # It tells of what is made in the same call, so it waits for that.
        asked_for_as_well("cohort"),
    output:
        page=f"{RESULTS}/cohort.html",
    log:
        f"{RESULTS}/logs/cohort.log",
    localrule: True
    conda:
        "../envs/clusterfirst.yaml"
    threads: 4
    resources:
        **asks("cohort"),
    params:
        # They are no inputs of their own: as such, they would be made again where they are out of date.
        results=every(Plan.local_results),
        groups=targets.or_later(of_finished(wanted.groups_of), ["cohort"]),
        exports=of_finished(wanted.names_of_exports),
        # What they wait for, or why they failed: the page is made again for news.
        missing=of_finished(survey.unfinished),
        # Each stage that runs again writes its own anew.
        benchmarks=targets.or_later(benchmark_files, ["cohort"]),
    script:
        "../scripts/cohort.py"
