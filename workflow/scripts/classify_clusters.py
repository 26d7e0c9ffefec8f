"""Show a model what each cluster of a group looks like, and write what it would call them."""

from pathlib import Path

from clusterfirst.clustering.document import Clustering
from clusterfirst.io import log, log_to, write_json
from clusterfirst.plan.layout import ClassifyFolder
from clusterfirst.proposing import asking, plan, prompts, views
from clusterfirst.proposing.budget import Budget
from clusterfirst.proposing.cache import Cache
from clusterfirst.proposing.server import Server


def say_where_to(server, settings, shown, folder):
    """The log must tell what left the machine, even if the job is killed in the middle."""
    size = sum(Path(folder, view.file).stat().st_size for view in shown)
    log.info("%d pictures (%.1f MB) for %s at %s", len(shown), size / 1e6, settings["model"], server.receivers)


def say_what_it_took(cost, server, settings):
    price = plan.price(settings, cost.prompt_tokens, cost.completion_tokens)
    log.info(
        "%d requests with a picture each (%.1f MB) were sent to %s, %d answers were known; %d tokens in, %d out%s",
        cost.requests,
        cost.bytes / 1e6,
        server.receivers,
        cost.cached,
        cost.prompt_tokens,
        cost.completion_tokens,
        "" if price is None else f", at a price of {price:.4f}",
    )


def classify(server, settings):
    """Return the content of classes.json."""
    clusters, shown = Clustering.read(snakemake.input.clusters), views.read(snakemake.input.views)
    prompt, folder = prompts.read(snakemake.input.prompt), ClassifyFolder(snakemake.params.folder)
    limits = {name: settings[name] for name in ("budget_requests", "budget_tokens")}
    say_where_to(server, settings, shown, snakemake.input.views)
    with Budget(folder.ledger, **limits) as budget:
        asker = asking.Asker(prompt, settings, server, Cache(folder.answers), budget)
        try:
            votes, stopped = asker.ask(shown, snakemake.input.views)
        finally:
            say_what_it_took(asker.cost, server, settings)
    how = {"prompt": prompt, "model": settings["model"], "host": server.host, "cost": asker.cost}
    document = asking.document(clusters, shown, votes, **how)
    if stopped:
        document["stopped"] = f"{stopped}: {len(shown) - len(votes)} of {len(shown)} pictures were not asked about"
        log.warning("STOPPED: %s. Raise the budget and run again: only the rest is asked", document["stopped"])
    named = sum(entry["class"] is not None for entry in document["clusters"])
    log.info("%d of %d clusters have a proposal", named, len(document["clusters"]))
    return document


if __name__ == "__main__":
    log_to(snakemake.log[0])
    server = Server(snakemake.params.settings)
    try:
        write_json(classify(server, snakemake.params.settings), snakemake.output.classes)
    finally:
        server.close()
