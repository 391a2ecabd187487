"""What a fine-tuning run makes of the pairs before it trains."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fluorgen.models import NucleiSettings
from napari_fluorgen.stack import BrightfieldStack, FieldIdentity
from napari_fluorgen.workflow.fine_tuning_request import FineTuneRequest

pytest.importorskip("lightning", reason="training needs the extra 'train'")

from napari_fluorgen.workflow.fine_tuning_material import prepare

AREAS_UM2 = (12, 830)


def field(name: str, field_of) -> BrightfieldStack:
    """A small and a large nucleus in the true stain, no labels."""
    rows, columns = np.indices((128, 192))
    stain = np.full((128, 192), 100, np.uint16)
    for area, x in zip(AREAS_UM2, (30, 128), strict=True):
        stain[(rows - 64) ** 2 + (columns - x) ** 2 < area / np.pi / 0.325**2] = 2100
    planes = field_of(1, (128, 192))
    return BrightfieldStack(planes, FieldIdentity(name), (0.325, 0.325), None, {"nuclei": stain})


def test_nuclei_of_other_sizes_than_the_start_allows_are_learned(model, field_of, tmp_path):
    known = NucleiSettings(min_area_um2=20, max_area_um2=300)
    model.spec = model.spec.model_copy(update={"nuclei": known})
    request = FineTuneRequest.build(
        init="tiny", name="own", output=tmp_path / "own", steps=1, registration="off"
    )
    stacks = [field(str(number), field_of) for number in range(4)]
    material = prepare(request, model, "own", stacks, "cpu", [])
    labels = material.parts["training"][0].labels
    found = np.sort(np.bincount(labels.ravel())[1:]) * 0.325**2
    assert found == pytest.approx(AREAS_UM2, rel=0.3)
    assert material.spec.nuclei == known  # too few to learn sizes from
