"""The labelling app: a person names clusters, and every cell has a label. The workflow runs without it."""
