"""Print the rules of a workflow as Snakemake reads them, as JSON: ``python read_rules.py SNAKEFILE CONFIG``."""

import json
import sys
from pathlib import Path

from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings


def described(rule):
    return {
        "input": sorted(name for name, _ in rule.input._allitems() if name),
        "params": sorted(name for name, _ in rule.params._allitems() if name),
        "output": dict(rule.output.items()),
        "outputs": len(rule.output),
        "log": [str(file) for file in rule.log],
        "benchmark": str(rule.benchmark) if rule.benchmark else None,
        "script": rule.script,
        "resources": sorted(rule.resources),
    }


if __name__ == "__main__":
    snakefile, config = map(Path, sys.argv[1:])
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        read = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=[config]),
            snakefile=snakefile,
        )
        print(json.dumps({rule.name: described(rule) for rule in read._workflow.rules}))
