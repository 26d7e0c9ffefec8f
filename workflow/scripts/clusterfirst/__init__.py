"""Label every cell of a histology slide by naming a few clusters.

The library knows nothing of Snakemake. One module holds one idea, in the order in which the data flows:
``settings`` → ``slides`` → ``tiling`` → ``quality`` → ``models`` → ``devices`` → ``objects`` → ``given`` →
``labelled`` → ``segmentation`` → ``embedding`` → ``reduction`` → ``clustering`` → ``annotation`` → ``export`` →
``page`` → ``evaluation`` → ``failures`` → ``status`` → ``cohort`` → ``doctor`` → ``labelling``. A module imports only
what stands before it, and ``io``.
"""

__version__ = "0.1.0"
