# What `snakemake --report` and the cohort page show: what there is. Snakemake itself would refuse a report as long as one
# slide of hundreds has failed, and leave out what is not made by default.
from clusterfirst.health import survey as status

# Only then: with --report-after-run, the run comes first.
REPORTING = (
    any(word.split("=")[0] == "--report" for word in sys.argv)
    and "--report-after-run" not in sys.argv
)


def there(files):
    """Whether all files have been made."""
    return all(exists(relocated(file)) for file in files)


def finished_slides():
    """Slides whose files are all there, and those of the slides they are clustered with."""
    whole = {slide for slide in SAMPLES if there(files_of([slide]))}
    return [slide for slide in SAMPLES if whole.issuperset(GROUPS[group_of("", slide)])]


def what_there_is(wildcards):
    """An input function: the files of finished slides, and labels, evaluations, sweep and costs, if they have been made."""
    slides = finished_slides()
    if not slides:
        raise WorkflowError(
            f"there is nothing to report: no slide of {CONFIG['slides']} is finished in {RESULTS_ON_DISK}/; run snakemake first"
        )
    if left_out := [slide for slide in SAMPLES if slide not in slides]:
        logger.warning(
            f"not in the report, because they, or slides they are clustered with, are not finished: {', '.join(left_out)}"
        )
        # For its first page.
        config["left_out"] = ", ".join(left_out)
    table = [f"{RESULTS}/benchmarks.html", f"{RESULTS}/benchmarks.csv"]
    return [
        *files_of(slides),
        *filter(lambda file: there([file]), label_files(slides)),
        *(evaluations() if not left_out else []),
        *made_sweep(),
        *(table if there(table) else []),
    ]


def evaluations():
    """The pages of evaluations that have been made of all slides with a truth."""
    known = [slide for slide, sample in SAMPLES.items() if sample.truth]
    pages = {"segmentation.png": "segmentation.png", "clusters.html": "clusters.json"}
    return [
        f"{RESULTS}/evaluation/{page}"
        for page, part in pages.items()
        if known
        and there([f"{RESULTS}/evaluation/{page}"])
        and there(f"{RESULTS}/{slide}/evaluation/{part}" for slide in known)
    ]


def made_sweep():
    """The page of the sweep, if all its trials have been made."""
    page = f"{RESULTS}/sweep/sweep.html"
    pictures = (
        f"{RESULTS}/{group}/clusters.png"
        for group in GROUPS
        if group.startswith("sweep/")
    )
    return [page] if whole_trials() and there([page]) and there(pictures) else []


def benchmark_files(wildcards):
    """A params function: every file of times and memory, by slide or group, with the time it was written."""
    # With a storage, the copies on this disk.
    results = Path(workflow.inputfile(RESULTS_ON_DISK))
    found = {
        name: {
            file.as_posix(): file.stat().st_mtime_ns
            for file in (results / name / "benchmarks").glob("*.tsv")
        }
        for name in dict.fromkeys([*SAMPLES, *GROUPS])
        if not name.startswith("sweep/")
    }
    if not any(found.values()):
        raise WorkflowError(
            f"no stage of any slide has been run in {RESULTS_ON_DISK}/: there is nothing to tabulate"
        )
    return found


def asked_for_as_well(wildcards):
    """An input function: what the other targets of this call ask for."""
    files = []
    for target in sorted({*workflow.dag_settings.targets} - {"cohort"}):
        known = workflow.is_rule(target)
        for one in workflow.get_rule(target).input if known else [target]:
            found = one(wildcards) if callable(one) else one
            files += [found] if isinstance(found, str) else found
    return [file for file in dict.fromkeys(files) if file != f"{RESULTS}/cohort.html"]


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
    plan, finished = plan_of_status(), {*finished_slides()}
    missing = [slide for slide in SAMPLES if slide not in finished]
    of_them = {*missing, *(group_of("", slide) for slide in missing)}
    plan["units"] = {
        name: unit for name, unit in plan["units"].items() if name in of_them
    }
    # The run at work is this one, and it makes no slide: what has failed does not wait for it.
    found = status.survey(status.from_plan(plan), run=status.Run(False))
    by_name = {one.unit.name: one for one in found}
    return {slide: status.standstill(by_name[slide]) for slide in missing}
