"""Print how far the run has come."""

from clusterfirst import status
from clusterfirst.io import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    results, plan = snakemake.params.results, snakemake.params.plan
    run = status.run_at_work(results)
    print(status.page(status.survey(status.from_plan(plan), run=run), results=results, run=run), flush=True)
