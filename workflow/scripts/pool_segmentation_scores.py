"""Pool the scores of all slides that have a truth: over all objects, and as the mean over slides."""

from clusterfirst.evaluation import drawing, segmentation
from clusterfirst.io import log_to, read_json, write_csv, write_json

if __name__ == "__main__":
    log_to(snakemake.log[0])
    documents = [read_json(path) for path in snakemake.input.scores]
    scores = {document["slide"]: segmentation.Scores.from_document(document) for document in documents}
    micro, mean = segmentation.pool(scores.values())
    write_csv(segmentation.table(scores), snakemake.output.table, float_format="%.4f")
    write_json({"slides": list(scores), "micro": micro.document(), "mean": mean}, snakemake.output.scores)
    drawing.curve(scores, micro, snakemake.output.plot, title="segmentation")
