"""Put all finished slides on one page."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from clusterfirst import __version__
from clusterfirst.io import ClusterfirstError, log_to, progress
from clusterfirst.reports import costs
from clusterfirst.reports.cohort import figures, page
from clusterfirst.reports.cohort.cohort import Cohort, Missing

if __name__ == "__main__":
    log_to(snakemake.log[0])
    results, groups, exports = Path(snakemake.params.results), snakemake.params.groups, snakemake.params.exports
    if not groups:
        raise ClusterfirstError(f"no slide is finished in {results}/, so there is nothing to show: run snakemake first")
    table = costs.read({name: list(files) for name, files in snakemake.params.benchmarks.items()})
    seconds = table.groupby("slide")["seconds"].sum().to_dict()

    def read(slide):
        took = seconds.get(slide, 0.0)
        return figures.read(results / slide, name=slide, group=groups[slide], seconds=took, exported=exports.get(slide))

    with ThreadPoolExecutor(snakemake.threads) as pool:
        slides = list(progress(pool.map(read, groups), total=len(groups), what="slides"))
    shared = {group: seconds.get(group, 0.0) for slide, group in groups.items() if group != slide}
    missing = [Missing(slide, *standstill) for slide, standstill in snakemake.params.missing.items()]
    cohort = Cohort(results, slides, missing, shared, __version__, datetime.now().astimezone())
    page.write(cohort, snakemake.output.page)
