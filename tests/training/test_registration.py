import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_fluorgen.models import BackgroundScaling, StainRange
from napari_fluorgen.simulation.field import simulate_field
from napari_fluorgen.simulation.presets import get_preset
from napari_fluorgen.stack import BrightfieldStack, FieldIdentity
from napari_fluorgen.training.data import make_pair
from napari_fluorgen.training.registration import measure_shift, move_stains, register

OUTPUTS = {
    stain: StainRange(minimum=0, maximum=20000) for stain in ("nuclei", "lipids", "cytoplasm")
}
EDGE = 16


@pytest.fixture(scope="module")
def pairs():
    made = []
    for seed in (3, 4):
        field = simulate_field(get_preset("20x"), seed, (256, 256))
        stack = BrightfieldStack(
            field.brightfield, FieldIdentity(f"field{seed}"), (0.325, 0.325), truth=field.stains
        )
        made.append(make_pair(stack, field.nuclei_labels, BackgroundScaling(), OUTPUTS, 0.325))
    return made


def _shifted(pair, shift):
    """The pair as a microscope would take it whose stains lie beside brightfield."""
    inside = (..., slice(EDGE, -EDGE), slice(EDGE, -EDGE))
    stains = {
        stain: ndimage.shift(image, shift, order=3)[inside].astype(np.float32)
        for stain, image in pair.stains.items()
    }
    labels = ndimage.shift(pair.labels, np.rint(shift), order=0)[inside]
    return replace(pair, planes=pair.planes[inside], stains=stains, labels=labels)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (3.2, -1.1), (-9.6, 6.3)])
@pytest.mark.parametrize("stain", ["lipids", "cytoplasm"])
def test_a_known_shift_is_found_to_half_a_pixel(pairs, stain, shift):
    for pair in pairs:
        moved = _shifted(pair, shift)
        found = measure_shift(moved.planes, moved.stains[stain])
        assert found.certain
        assert (found.y, found.x) == pytest.approx(shift, abs=0.5)


def test_unrelated_and_empty_images_have_no_certain_shift(pairs):
    noise = np.random.default_rng(1).random((256, 256), dtype=np.float32)
    for stain in (noise, np.zeros_like(noise), pairs[1].stains["lipids"]):
        assert not measure_shift(pairs[0].planes, stain).certain


def test_pairs_that_lie_on_top_of_each_other_stay_as_they_are(pairs):
    notes = []
    assert register(pairs, 0.325, "correct", notes.append) is pairs
    assert notes == []


def test_a_shift_is_reported_and_corrected_if_asked(pairs):
    moved = [_shifted(pair, (3.2, -1.1)) for pair in pairs]
    notes = []
    assert register(moved, 0.325, "off", notes.append) is moved
    assert notes == []
    assert register(moved, 0.325, "report", notes.append) is moved
    said = (
        r"Brightfield and lipids are shifted by 3\.\d, -[01]\.\d px: correct that with --register"
    )
    assert any(re.match(said, note) for note in notes), notes
    corrected = register(moved, 0.325, "correct", notes.append)
    for pair, original in zip(corrected, pairs, strict=True):
        height, width = pair.labels.shape
        # Four pixels less at the bottom, two at the left
        assert (height, width) == (256 - 2 * EDGE - 4, 256 - 2 * EDGE - 2)
        assert pair.planes.shape[1:] == pair.stains["nuclei"].shape == pair.labels.shape
        window = slice(EDGE, EDGE + height), slice(EDGE + 2, EDGE + 2 + width)
        np.testing.assert_array_equal(pair.planes, original.planes[(..., *window)])
        for stain in ("lipids", "cytoplasm", "nuclei"):
            wanted = original.stains[stain][window]
            assert np.corrcoef(pair.stains[stain].ravel(), wanted.ravel())[0, 1] > 0.98
        assert pair.shift_px["lipids"] == pytest.approx((3.2, -1.1), abs=0.5)
        agree = (pair.labels > 0) == (original.labels[window] > 0)
        assert agree.mean() > 0.99


def test_stains_move_back_by_whole_pixels_exactly():
    rng = np.random.default_rng(0)
    planes = rng.random((2, 40, 40), dtype=np.float32)
    stain = np.roll(planes[0], (2, -3), axis=(0, 1))
    labels = (stain > 0.5).astype(np.uint32)
    from napari_fluorgen.training.data import Pair

    moved = move_stains(Pair(planes, {"nuclei": stain}, labels, "p"), {"nuclei": (2.0, -3.0)})
    assert moved.labels.shape == (38, 37)
    np.testing.assert_allclose(moved.stains["nuclei"], moved.planes[0], atol=1e-4)
    np.testing.assert_array_equal(moved.labels > 0, moved.planes[0] > 0.5)
