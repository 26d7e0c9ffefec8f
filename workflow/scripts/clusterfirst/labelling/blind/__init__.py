"""Blind evaluation: people label a sample of cells without seeing clusters; then both are compared.

Blind labels are about cells, not about clusters: they outlast any clustering, as long as nobody segments again.
"""
