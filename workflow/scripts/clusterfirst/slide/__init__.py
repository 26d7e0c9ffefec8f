"""A slide: pixels at any resolution, the grid of its tiles, and where its tissue is."""
