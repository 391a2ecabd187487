"""What a fine-tuning run makes of the pairs before it trains."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fluorgen.models import NucleiSettings
from napari_fluorgen.stack import BrightfieldStack, FieldIdentity
from napari_fluorgen.workflow.fine_tuning_request import FineTuneRequest

pytest.importorskip("lightning", reason="training needs the extra 'train'")

from napari_fluorgen.workflow.fine_tuning_fields import with_labels
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


def labelled(name: str, field_of, count: int) -> BrightfieldStack:
    """A field with the labels of so many nuclei."""
    labels = np.zeros((128, 192), np.uint16)
    for number in range(count):
        y, x = divmod(number, 8)
        labels[20 * y : 20 * y + 12, 20 * x : 20 * x + 12] = number + 1
    return with_labels(field(name, field_of), labels)


@pytest.mark.parametrize(
    ("each", "said"),
    [
        (6, "few nuclei, 12 to learn from and 6 held out: F1 of nuclei may be off by 0.20 by"),
        (0, "few nuclei, 0 to learn from and 0 held out: F1 of nuclei says nothing"),
        (25, None),
    ],
)
def test_few_nuclei_are_said_to_make_their_figures_uncertain(model, field_of, tmp_path, each, said):
    request = FineTuneRequest.build(
        init="tiny", output=tmp_path / "own", steps=1, registration="off"
    )
    notes: list[str] = []
    stacks = [labelled(str(number), field_of, each) for number in range(4)]
    prepare(request, model, "own", stacks, "cpu", notes)
    found = [note for note in notes if "few nuclei" in note]
    assert len(found) == (said is not None)
    assert said is None or said in found[0]
