"""A run as an object: settings, sheet, trials, groups, what is wanted, and what jobs need."""
