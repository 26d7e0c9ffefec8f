"""Pages about many slides: the cohort, and what it cost."""
