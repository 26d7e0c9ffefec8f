# All finished slides on one page.
from clusterfirst import status


def groups_of_finished(wildcards):
    """A params function: the group of every finished slide."""
    if slides := finished_slides():
        return {slide: group_of("", slide) for slide in slides}
    raise WorkflowError(
        f"no slide of {CONFIG['slides']} is finished in {results_folder()}/, so there is nothing to show: run snakemake "
        "first (`snakemake status` says what is missing)"
    )


def newest_exports(wildcards):
    """A params function: the latest export of labels, of those finished slides that have one."""
    found = {slide: newest_labels(slide) for slide in finished_slides()}
    return {slide: Path(file).name for slide, file in found.items() if file}


def unfinished_slides(wildcards):
    """A params function: what all other slides wait for, or why they failed; so that the page is made again for news."""
    results, plan, finished = results_folder(), plan_of_status(), {*finished_slides()}
    missing = [slide for slide in SAMPLES if slide not in finished]
    of_them = {*missing, *(group_of("", slide) for slide in missing)}
    plan["units"] = {
        name: unit for name, unit in plan["units"].items() if name in of_them
    }
    found = status.survey(status.from_plan(plan), run=status.run_at_work(results))
    by_name = {one.unit.name: one for one in found}
    return {slide: status.standstill(by_name[slide]) for slide in missing}


# It shows what there is, and runs nothing.
rule cohort:
    output:
        page=f"{RESULTS}/cohort.html",
    log:
        f"{RESULTS}/logs/cohort.log",
    localrule: True
    conda:
        "../envs/clusterfirst.yaml"
    threads: 4
    resources:
        mem_mb=need("cohort", "mem_mb"),
        runtime=need("cohort", "runtime"),
        disk_mb=need("cohort", "disk_mb"),
    params:
        # They are no inputs: as such, they would be made again where they are out of date.
        results=lambda wildcards: results_folder(),
        groups=groups_of_finished,
        exports=newest_exports,
        missing=unfinished_slides,
        # Each stage that runs again writes its own anew.
        benchmarks=benchmark_files,
    script:
        "../scripts/cohort.py"
