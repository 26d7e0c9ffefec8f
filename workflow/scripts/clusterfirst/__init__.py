"""Label every cell of a histology slide by naming a few clusters.

The library knows nothing of Snakemake. A package is a wing of the house, in the order in which the data flows:
``slide`` → ``outlines`` → ``segmentation`` → ``embedding`` → ``reduction`` → ``clustering`` → ``labels`` →
``drawing`` → ``proposing`` → ``export`` → ``plan`` → ``small`` → ``evaluation`` → ``health`` → ``reports`` →
``labelling``. A module imports only from its own wing and those before it. Single files and ``plan.layout`` stand
before all wings, ``html`` before ``drawing``. The floor plan is in docs/architecture.md.
"""

__version__ = "0.1.0"
