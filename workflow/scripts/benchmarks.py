"""Tabulate what every stage of every slide took."""

from clusterfirst.io import atomic, log_to
from clusterfirst.reports import costs

if __name__ == "__main__":
    log_to(snakemake.log[0])
    table = costs.read({name: list(files) for name, files in snakemake.params.files.items()})
    with atomic(snakemake.output.table) as part:
        table.to_csv(part, index=False, float_format="%.2f")
    costs.write_page(table, snakemake.output.page)
