"""Print how far the run has come."""

from clusterfirst.health import survey
from clusterfirst.io import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    results, plan = snakemake.params.results, snakemake.params.plan
    run = survey.run_at_work(results)
    print(survey.page(survey.survey(survey.from_plan(plan), run=run), results=results, run=run), flush=True)
