"""All slides of a run on one page: how they look, what cells they hold, how good they are."""
