"""A result judged again by another calibration of the same networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_fluorgen.confidence import calibrate, calibrate_intervals
from napari_fluorgen.errors import ModelError
from napari_fluorgen.models import load_model
from napari_fluorgen.models.saving import save_recalibrated
from napari_fluorgen.widgets.presenters.recalibrating import judge_again

STRANGE = "This stack does not look like what the model was calibrated on; no promise."


@pytest.fixture
def recalibrated(install_folder, result):
    """The name of a model whose calibration knows intervals of lipids, not of cytoplasm."""
    model = load_model("tiny-20x")
    field = (result.nuclei_probability, result.nuclei_labels, result.nuclei_labels)
    scale = model.spec.outputs["lipids"]
    predicted = scale.from_counts(result.images["lipids"])
    rng = np.random.default_rng(0)
    pairs = [(predicted, predicted + rng.normal(0, 0.05, predicted.shape)) for _ in range(4)]
    calibration = calibrate([field] * 2).with_intervals(calibrate_intervals({"lipids": pairs}))
    save_recalibrated(
        install_folder / "again", model, calibration=calibration.to_arrays(), card="", name="again"
    )
    return "again"


def of_model(result, digest, **changes):
    provenance = result.provenance | {
        "model": {"name": "tiny-20x", "digest": digest},
        "messages": ["Your pixels are resampled.", STRANGE, "tiny-20x carries no intervals of x."],
        "confidence": {"exchangeability": {"message": STRANGE, "holds": False}},
    }
    return replace(result, provenance=provenance, verdict=STRANGE, **changes)


def test_what_the_older_calibration_said_is_gone(recalibrated, result):
    digest = load_model(recalibrated).digest
    assert digest == load_model("tiny-20x").digest
    widths = {stain: np.full(result.shape, 9, np.uint16) for stain in ("lipids", "cytoplasm")}
    judged = judge_again(of_model(result, digest, widths=widths), recalibrated)
    assert judged.verdict is None
    kept, too_few, missing = judged.provenance["messages"]
    assert kept == "Your pixels are resampled."
    assert "calibrated on 2 fields, too few to tell" in too_few
    assert "again carries no intervals of cytoplasm" in missing
    assert list(judged.widths) == ["lipids"]
    span = load_model(recalibrated).spec.outputs["lipids"]
    width = 2 * 1.645 * 0.05 * (span.maximum - span.minimum)
    assert np.median(judged.widths["lipids"]) == pytest.approx(width, rel=0.3)
    assert judge_again(of_model(result, digest), recalibrated).widths == {}


def test_networks_that_are_others_are_refused(recalibrated, result):
    with pytest.raises(ModelError, match="was stained by networks with the digest 0000") as caught:
        judge_again(of_model(result, "0" * 64), recalibrated)
    assert "\n" not in str(caught.value)
