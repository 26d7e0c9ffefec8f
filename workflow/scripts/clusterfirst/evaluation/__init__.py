"""How well masks match truth."""
