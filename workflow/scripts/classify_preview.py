"""Print what a model would be sent, and what that may cost. Nothing is sent."""

import os

from clusterfirst.io import log_to
from clusterfirst.plan.layout import ClassifyFolder
from clusterfirst.proposing import plan, prompts, views
from clusterfirst.proposing.cache import Cache
from clusterfirst.proposing.server import address, receivers

if __name__ == "__main__":
    log_to(snakemake.log[0])
    params, input_ = snakemake.params, snakemake.input
    cache = Cache(ClassifyFolder(params.folder).answers)
    plans = []
    for group, settings, folder, file in zip(params.groups, params.settings, input_.views, input_.prompts, strict=True):
        prompt, place = prompts.read(file), address(settings, os.environ)
        reckoned = plan.reckon(views.read(folder), folder, prompt, settings, address=place, cache=cache)
        who = receivers(settings, os.environ)
        plans.append(plan.told(group, reckoned, settings, receivers=who, prompt=prompt, folder=folder))
    told = "Nothing was sent. `snakemake classify` does it, with the same `--configfile`."
    print("\n".join([*plans, told]), flush=True)
