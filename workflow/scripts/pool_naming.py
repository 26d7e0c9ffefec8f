"""Put together what simulated people got right on all slides with a truth: table, plot and page."""

from clusterfirst.evaluation import naming_curves
from clusterfirst.io import ClusterfirstError, log_to, read_json, write_csv

if __name__ == "__main__":
    log_to(snakemake.log[0])
    documents = [document for document in map(read_json, snakemake.input.moments) if document["runs"]]
    if not documents:
        raise ClusterfirstError("no detected cell has a truth, so no naming can be simulated")
    curves = naming_curves.Curves(documents)
    write_csv(naming_curves.table(curves), snakemake.output.table)
    naming_curves.plot(curves, snakemake.output.plot)
    naming_curves.write_page(curves, snakemake.output.plot, snakemake.output.page)
