"""Put the trials of a sweep side by side, and write down the best for each tissue."""

from clusterfirst.evaluation import trials
from clusterfirst.evaluation.clusters import Counts
from clusterfirst.io import atomic, log_to, read_json

if __name__ == "__main__":
    log_to(snakemake.log[0])
    results = snakemake.params.results
    known = set(snakemake.input.scores)

    def validity(group: str) -> dict:
        return {k: v for k, v in read_json(f"{results}/{group}/evaluation/validity.json").items() if k != "group"}

    def outcome(trial: dict) -> trials.Outcome:
        slides = trial["slides"]
        scores = {slide: f"{results}/{trial['folder']}{slide}/evaluation/clusters.json" for slide in slides}
        groups = {slide: facts["group"] for slide, facts in slides.items()}
        return trials.Outcome(
            values=trial["values"],
            tissues={slide: facts["tissue"] for slide, facts in slides.items()},
            groups=groups,
            counts={
                slide: Counts.from_document(read_json(path)["counts"])
                for slide, path in scores.items()
                if path in known
            },
            validity={group: validity(group) for group in groups.values()},
        )

    outcomes = [outcome(trial) for trial in snakemake.params.trials]
    table = trials.compare(outcomes)
    with atomic(snakemake.output.table) as part:
        table.to_csv(part, index=False, float_format="%.4f")
    trials.write_best(table, outcomes, snakemake.output.best)
    trials.plot(table, outcomes, snakemake.output.plot)
    trials.write_page(table, outcomes, snakemake.output.page)
