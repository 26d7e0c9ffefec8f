"""How sure a classifier may be: scores become probabilities that hold on slides that did not teach it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BOUNDS = (0.02, 5.0)
"""Of temperatures."""
_FAR = 10.0
"""Offsets lie between this and its negative."""
_ROUNDS, _STILL = 200, 1e-6
_STEADY = 3.0
"""What the classes' shares where it was taught weigh beside those of a slide's cells. Without them, the shares that are
likeliest run away: carried to other images, 0.66 of cells were right instead of 0.79."""
_BINS = 10


@dataclass(frozen=True)
class Calibration:
    """Turns scores into probabilities.

    Attributes
    ----------
    temperature : float
        What scores are divided by.
    offsets : numpy.ndarray
        K: what is added then.
    priors : numpy.ndarray
        K: how common the classes are where it was taught, as it sees it.
    """

    temperature: float
    offsets: np.ndarray
    priors: np.ndarray

    @classmethod
    def fit(cls, scores: np.ndarray, truth: np.ndarray, *, skewed: bool) -> Calibration:
        """Find the temperature, and offsets, that make what was true most likely.

        Guo et al. 2017, "On calibration of modern neural networks"; with offsets, Alexandari et al. 2020, "Maximum
        likelihood with bias-corrected calibration".

        Parameters
        ----------
        scores
            n × K, by classifiers that these cells did not teach; at least one cell.
        truth
            n, the classes: as common as they are.
        skewed
            What taught was chosen so that classes are not as common in it as in `truth`; only then there are offsets
            other than 0: each is one more thing to get wrong.
        """
        from scipy.optimize import minimize

        rows, count, classes = np.arange(len(truth)), *scores.shape

        def loss(found: np.ndarray) -> tuple[float, np.ndarray]:
            offsets, scaled = found[1:], scores / np.exp(found[0])
            logits = scaled + offsets
            sums = _log_sum(logits)
            over = np.exp(logits - sums[:, None])
            over[rows, truth] -= 1
            slopes = over.sum(axis=0) + offsets
            # Offsets are held back as by one cell's doubt, so that there are some without any cell of a class.
            value = (sums - logits[rows, truth]).sum() + (offsets**2).sum() / 2
            return value / count, np.r_[-(over * scaled).sum(), slopes] / count

        bounds = [tuple(np.log(_BOUNDS)), *[(-_FAR, _FAR) if skewed else (0, 0)] * classes]
        found = minimize(loss, np.zeros(classes + 1), jac=True, method="L-BFGS-B", bounds=bounds).x
        temperature, offsets = float(np.exp(found[0])), found[1:]
        return cls(temperature, offsets, softmax(scores / temperature + offsets).mean(axis=0))

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Return N × K, where classes are as common as where it was taught."""
        return softmax(scores / self.temperature + self.offsets)

    def on(self, chances: np.ndarray) -> np.ndarray:
        """Return how common classes are on a slide: so that its cells are likely, not far from where it was taught.

        Saerens, Latinne & Decaestecker 2002, "Adjusting the outputs of a classifier to new a priori probabilities";
        here with a Dirichlet prior around the taught shares, of `_STEADY` times the weight of the slide's cells.

        Parameters
        ----------
        chances
            N × K, `probabilities` of its cells; at least one.

        Returns
        -------
        numpy.ndarray
            K, adding up to 1.
        """
        here = self.priors
        for _ in range(_ROUNDS):
            new = (self.moved(chances, here).mean(axis=0) + _STEADY * self.priors) / (1 + _STEADY)
            if np.abs(new - here).max() < _STILL:
                return new
            here = new
        return here

    def moved(self, chances: np.ndarray, priors: np.ndarray) -> np.ndarray:
        """Return the probabilities where classes are as common as `priors` say."""
        odds = chances * (priors / np.maximum(self.priors, np.finfo(float).tiny))
        return odds / odds.sum(axis=1, keepdims=True)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return exp(logits), each row divided by its sum."""
    return np.exp(logits - _log_sum(logits)[:, None])


def _log_sum(logits: np.ndarray) -> np.ndarray:
    largest = logits.max(axis=1)
    return largest + np.log(np.exp(logits - largest[:, None]).sum(axis=1))


def reliability(chances: np.ndarray, truth: np.ndarray) -> list[dict]:
    """Compare how sure it is with how often it is right, in ten bins of the probability.

    Returns
    -------
    list of dict
        Of bins with cells: ``cells``, ``sure`` (mean probability of the class that is taken) and ``right`` (share).
    """
    sure, right = chances.max(axis=1), chances.argmax(axis=1) == truth
    place = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    return [
        {"cells": int(own.sum()), "sure": float(sure[own].mean()), "right": float(right[own].mean())}
        for own in (place == number for number in range(_BINS))
        if own.any()
    ]


def calibration_error(bins: list[dict]) -> float:
    """Return the mean distance between how sure and how right, over all cells (ECE)."""
    cells = sum(one["cells"] for one in bins)
    return sum(one["cells"] * abs(one["sure"] - one["right"]) for one in bins) / cells
