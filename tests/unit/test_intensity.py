"""The slide's range of intensities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clusterfirst.segmentation.intensity import Intensity


def counted(values: np.ndarray) -> np.ndarray:
    return np.stack([np.bincount(values[:, channel], minlength=256) for channel in range(3)])


@hypothesis_settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3000), st.floats(0.01, 49), st.floats(51, 100))
def test_percentiles_of_a_histogram_are_those_of_its_values(seed, count, low, high):
    rng = np.random.default_rng(seed)
    centre, width = rng.uniform(20, 230, 3), rng.uniform(1, 60, 3)
    values = np.clip(rng.normal(centre, width, (count, 3)), 0, 255).astype(np.uint8)
    found = Intensity.from_histogram(counted(values), (low, high))
    wanted = np.percentile(values, (low, high), axis=0, method="inverted_cdf").astype(int)
    for got, want in zip((found.low, found.high), wanted, strict=True):
        assert np.abs(np.subtract(got, want)).max() <= 1


def test_percentiles_fall_on_values_that_occur():
    values = np.full((100, 3), 80, np.uint8)
    values[:5] = 60
    assert Intensity.from_histogram(counted(values), (0.1, 100)) == Intensity((60.0,) * 3, (80.0,) * 3)
    assert Intensity.from_histogram(counted(values), (6, 99.9)) == Intensity((80.0,) * 3, (80.0,) * 3)


def test_an_empty_histogram_gives_the_whole_range():
    assert Intensity.from_histogram(np.zeros((3, 256)), (0.1, 99.9)) == Intensity((0.0,) * 3, (255.0,) * 3)


def test_each_channel_is_scaled_by_its_own_range_and_not_clipped():
    scaled = Intensity((10, 20, 0), (110, 220, 255)).scale(
        np.array([[[10, 20, 0], [110, 220, 255], [0, 255, 51]]], np.uint8)
    )
    assert scaled.dtype == np.float32
    assert scaled[0] == pytest.approx(np.array([[0, 0, 0], [1, 1, 1], [-0.1, 1.175, 0.2]]))


def test_a_channel_of_one_value_scales_to_something_finite():
    assert np.isfinite(Intensity((7,) * 3, (7,) * 3).scale(np.full((2, 2, 3), 9, np.uint8))).all()
