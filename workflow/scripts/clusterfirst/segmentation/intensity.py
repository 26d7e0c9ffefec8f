"""One range of intensities for the whole slide: scaling tile by tile would draw seams of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Intensity:
    """What becomes 0 and 1 in each channel.

    Attributes
    ----------
    low, high : tuple of float
        Grey values 0 to 255 of red, green and blue.
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]

    @classmethod
    def from_histogram(cls, counts: np.ndarray, percentiles: tuple[float, float]) -> Intensity:
        """Take percentiles of a 3 × 256 histogram (see `tissue.histogram`); 0 to 255 if it is empty."""
        counts = np.asarray(counts, float)
        if not counts.any():
            return cls((0.0,) * 3, (255.0,) * 3)
        shares = counts.cumsum(axis=1) / counts.sum(axis=1, keepdims=True)
        return cls(*(tuple(float(np.searchsorted(row, percent / 100)) for row in shares) for percent in percentiles))

    def scale(self, images: np.ndarray) -> np.ndarray:
        """Scale … × 3 uint8 linearly; return float32. Values beyond the range go below 0 and above 1."""
        low = np.asarray(self.low, np.float32)
        span = np.maximum(np.asarray(self.high, np.float32) - low, 1)
        return (images - low) / span
