"""The labelling app: a person names clusters, and every cell has a label. Nothing here is needed to run the workflow."""
