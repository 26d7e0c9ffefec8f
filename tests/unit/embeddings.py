"""Cells in made-up embeddings."""

import numpy as np

from clusterfirst.clustering import NOISE

BLOBS = {0: (120, (0, 0, 0)), 1: (80, (8, 0, 0)), 2: (50, (0, 8, 0))}
STRAYS = 25


def blobs() -> tuple[np.ndarray, np.ndarray]:
    """Three tight blobs, the smallest first, and strays scattered about them."""
    rng = np.random.default_rng(0)
    parts = [rng.normal(middle, 0.3, (size, 3)) for size, middle in reversed(BLOBS.values())]
    truth = np.repeat([*reversed(BLOBS), NOISE], [*(size for size, _ in reversed(BLOBS.values())), STRAYS])
    return np.vstack([*parts, rng.uniform(-6, 14, (STRAYS, 3))]).astype(np.float32), truth


def cloud(count: int = 300, features: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, features))


def moons(count: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two interleaving half circles: no ball holds one without a part of the other."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, np.pi, count)
    truth = np.arange(count) % 2
    x = np.where(truth, 1 - np.cos(angle), np.cos(angle))
    y = np.where(truth, 0.5 - np.sin(angle), np.sin(angle))
    return np.column_stack([x, y]) + rng.normal(0, 0.04, (count, 2)), truth
