"""Intervals of packages: a table of errors from some fields, its scale from the others."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fluorgen.confidence import (
    Calibration,
    calibrate,
    calibrate_by_residual,
    calibrate_intervals,
    interval,
)
from napari_fluorgen.errors import InputError


def fields(n, seed=0, side=48):
    """Smooth predictions whose error grows with intensity."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        rows, columns = np.indices((side, side)) / side
        prediction = np.abs(np.sin(rows * rng.uniform(3, 9)) * columns).astype(np.float32)
        truth = prediction + (0.01 + 0.1 * prediction) * rng.normal(size=prediction.shape)
        yield prediction, truth.astype(np.float32)


def test_unseen_fields_are_covered_and_bright_pixels_have_wide_intervals():
    one = calibrate_by_residual(list(fields(20)))
    assert one.n_fields == 15
    inside, widths = [], []
    for prediction, truth in fields(20, seed=1):
        low, high = interval(prediction, None, one)
        inside.append(np.mean((low <= truth) & (truth <= high)))
        widths.append(
            [np.mean((high - low)[part]) for part in (prediction < 0.1, prediction > 0.4)]
        )
    assert np.mean(inside) == pytest.approx(0.9, abs=0.02)
    dark, bright = np.nanmean(widths, axis=0)
    assert bright > 2 * dark


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_fields_suffice(n):
    one = calibrate_by_residual(list(fields(n)))
    assert np.isfinite(one.scale)
    low, high = interval(next(fields(1, seed=2))[0], None, one)
    assert (low <= high).all()


def test_stains_without_a_field_have_none_and_the_rest_is_kept_in_the_calibration(tmp_path):
    found = calibrate_intervals({"lipids": list(fields(3)), "cytoplasm": []})
    assert list(found) == ["lipids"]
    truth = np.zeros((8, 8), np.uint8)
    truth[2:5, 2:5] = 1
    calibration = calibrate([(truth * 0.8 + 0.1, truth)]).with_intervals(found)
    record = calibration.meta["intervals"]["lipids"]
    assert (record["coverage"], record["n_fields"]) == (0.9, 2)
    path = calibration.to_npz(tmp_path / "calibration.npz")
    again = Calibration.from_npz(path)
    assert again.meta == calibration.meta
    prediction, _ = next(fields(1, seed=3))
    for a, b in zip(
        interval(prediction, None, again.intervals["lipids"]),
        interval(prediction, None, found["lipids"]),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_no_field():
    with pytest.raises(InputError, match="no field"):
        calibrate_by_residual([])
