"""Put the trials of a sweep side by side, and write down the best for each tissue."""

from clusterfirst.evaluation import trials
from clusterfirst.evaluation.clusters import Counts
from clusterfirst.io import log_to, read_json, write_csv

if __name__ == "__main__":
    log_to(snakemake.log[0])
    # Slides and groups are known by their folders, which begin with that of the trial.
    scores = {document["slide"]: document["counts"] for document in map(read_json, snakemake.input.scores)}
    validity = {document.pop("group"): document for document in map(read_json, snakemake.input.validity)}

    def outcome(trial: dict) -> trials.Outcome:
        slides, folder = trial["slides"], trial["folder"]
        # A slide that is clustered alone is its own group, as in `Cohort`.
        groups = {slide: facts["group"].removeprefix(folder) for slide, facts in slides.items()}
        known = {slide: scores.get(folder + slide) for slide in slides}
        return trials.Outcome(
            values=trial["values"],
            tissues={slide: facts["tissue"] for slide, facts in slides.items()},
            groups=groups,
            counts={slide: Counts.from_document(counts) for slide, counts in known.items() if counts},
            validity={group: validity[folder + group] for group in groups.values()},
        )

    outcomes = [outcome(trial) for trial in snakemake.params.trials]
    table = trials.compare(outcomes)
    tried = {key for one in outcomes for key in one.values}
    write_csv(table, snakemake.output.table, float_format="%.4f", numbers=tried)
    trials.write_best(table, outcomes, snakemake.output.best)
    trials.plot(table, outcomes, snakemake.output.plot)
    trials.write_page(table, outcomes, snakemake.output.page)
