"""Columns in which a linear rule can follow curved borders between classes: random Fourier features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_PAIRS = 500
"""So many pairs of cells tell how far apart cells are."""
_LINEAR = 0.5
"""What the cell's own columns weigh beside the random ones; without them, what lies outside of all that was taught has
no score at all."""
_CHUNK_ROWS = 16_384


@dataclass(frozen=True)
class Basis:
    """Random Fourier features of a Gaussian kernel, the columns themselves beside them, and a constant.

    Rahimi & Recht 2007, "Random features for large-scale kernel machines".

    Attributes
    ----------
    directions : numpy.ndarray
        d × F float32.
    phases : numpy.ndarray
        F float32.
    """

    directions: np.ndarray
    phases: np.ndarray

    @classmethod
    def draw(cls, rows: np.ndarray, features: int, *, seed: int) -> Basis:
        """Draw a basis for cells like these; the kernel's width is the median distance between two of them.

        Parameters
        ----------
        rows
            n × d, see `recipe.Recipe.describe`; at least one.
        features
            F, how many.
        """
        rng = np.random.default_rng(seed)
        one, other = rows[rng.integers(len(rows), size=(2, _PAIRS))].astype(np.float64)
        squared = np.median(((one - other) ** 2).sum(axis=1))
        # Cells that are all the same have no distance, and any width serves.
        width = np.sqrt(2 / squared) if squared > 0 else 1.0
        directions = width * rng.standard_normal((rows.shape[1], features))
        return cls(directions.astype(np.float32), rng.uniform(0, 2 * np.pi, features).astype(np.float32))

    @property
    def columns(self) -> int:
        """How many columns `of` gives."""
        return len(self.phases) + len(self.directions) + 1

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Return rows in this basis, n × `columns` float32."""
        features, wide = len(self.phases), len(self.directions)
        out = np.empty((len(rows), self.columns), np.float32)
        for start in range(0, len(rows), _CHUNK_ROWS):
            part = slice(start, start + _CHUNK_ROWS)
            waves = out[part, :features]
            np.cos(rows[part] @ self.directions + self.phases, out=waves)
            waves *= np.float32(np.sqrt(2 / features))
            out[part, features : features + wide] = _LINEAR * rows[part]
        out[:, -1] = 1
        return out
