"""Print how far the run has come."""

from clusterfirst.health import lock, survey, table
from clusterfirst.io import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    results, plan = snakemake.params.results, snakemake.params.plan
    run = lock.run_at_work(results)
    units = survey.survey(survey.from_plan(plan), run=run)
    print(table.page(units, results=results, run=run), flush=True)
