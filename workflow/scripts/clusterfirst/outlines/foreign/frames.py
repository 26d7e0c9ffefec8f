"""Where coordinates begin: at the corner of level 0, or of the scanned part, which is all that QuPath shows."""

ORIGIN = "clusterfirst:origin"
"""Member of a GeoJSON collection of ours: where in level-0 pixels its coordinates begin."""
