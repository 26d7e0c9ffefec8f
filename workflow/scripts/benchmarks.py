"""Tabulate what every stage of every slide took."""

from clusterfirst.io import ClusterfirstError, log_to, write_csv
from clusterfirst.reports import costs

if __name__ == "__main__":
    log_to(snakemake.log[0])
    if not snakemake.params.files:
        raise ClusterfirstError("no stage of any slide has been run, so there is nothing to tabulate")
    table = costs.read({name: list(files) for name, files in snakemake.params.files.items()})
    write_csv(table, snakemake.output.table, float_format="%.2f")
    costs.write_page(table, snakemake.output.page)
