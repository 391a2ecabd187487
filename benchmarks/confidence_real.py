"""The warning on real light, and what calibrating again on parts of a field brings there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import real_light

import napari_fluorgen as fluorgen
from napari_fluorgen.confidence import (
    Calibration,
    calibrate,
    error_rates,
    looks_like_calibration,
    p_value_maps,
)

PARTS = 4
SPLITS = 50
LEVELS = (0.05, 0.1, 0.2)


def real_fields(
    model: fluorgen.models.Model, calibration: Calibration, data: Path
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the verdict on each real field, and errors before and after recalibration.

    The nuclei of the DNA stain are the truth. A field is cut into 4 x 4 parts; eight drawn at
    random calibrate, the other eight test, 50 times.
    """
    assert calibration.fields is not None
    for name, read in real_light.FIELDS.items():
        real = read(data)
        field = fluorgen.stain(real.stack, model)
        verdict = looks_like_calibration(field.nuclei_probability, calibration.fields)
        yield (
            name,
            {
                "fires": field.verdict is not None,
                "p_value": verdict.p_value,
                "message": field.verdict or verdict.message,
                "nuclei": {"found": int(field.nuclei_labels.max()), "true": int(real.nuclei.max())},
                "before": errors(field.nuclei_probability, real.nuclei, calibration),
                "after": after(field.nuclei_probability, real.nuclei),
            },
        )


def errors(
    probability: np.ndarray, truth: np.ndarray, calibration: Calibration
) -> dict[str, dict[str, float]]:
    """Error of each class at each significance."""
    maps = p_value_maps(probability, calibration)
    return {str(level): error_rates(maps, truth, level) for level in LEVELS}


def after(probability: np.ndarray, truth: np.ndarray) -> dict[str, dict[str, float]]:
    """Mean error on parts that did not calibrate, over random choices."""
    bands = [
        part
        for rows in zip(
            np.array_split(probability, PARTS), np.array_split(truth, PARTS), strict=True
        )
        for part in zip(
            np.array_split(rows[0], PARTS, 1), np.array_split(rows[1], PARTS, 1), strict=True
        )
    ]
    generator = np.random.default_rng(0)
    found = []
    for _ in range(SPLITS):
        order = generator.permutation(len(bands))
        table = calibrate(bands[i] for i in order[: len(bands) // 2])
        test = [bands[i] for i in order[len(bands) // 2 :]]
        flat = (np.concatenate([part[k].ravel() for part in test])[None] for k in (0, 1))
        found.append(errors(*flat, table))
    return {
        level: {name: float(np.nanmean([one[level][name] for one in found])) for name in own}
        for level, own in found[0].items()
    }
