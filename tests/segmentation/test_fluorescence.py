import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_fluorgen.errors import InputError
from napari_fluorgen.segmentation import match_instances, segment_fluorescence

PIXEL = 0.5


def _discs(centres, radius, shape=(200, 220)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.uint32)
    for number, (row, column) in enumerate(centres, start=1):
        labels[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = number
    return labels


def _dapi(labels, seed=0, shading=400.0):
    """Blurred, noisy counts on a slanting background."""
    rng = np.random.default_rng(seed)
    y = np.linspace(0, 1, labels.shape[0])[:, None]
    bright = (labels > 0) * (1 + 0.3 * np.sin(labels))
    counts = 200 + shading * y + 2000 * gaussian_filter(bright, 1.0)
    return np.clip(counts + rng.normal(0, 30, labels.shape), 0, 65535).astype(np.uint16)


def test_apart_and_touching_nuclei_are_found():
    truth = _discs([(40, 40), (40, 63), (120, 50), (120, 150), (160, 150), (60, 180)], 12)
    found = segment_fluorescence(_dapi(truth), pixel_size_um=PIXEL)
    scores = match_instances(truth, found, 0.7)
    assert scores.f1 == 1
    assert found.dtype == np.uint32


def test_size_limits_leave_nuclei_out():
    truth = _discs([(50, 50), (120, 120)], 12)
    area = np.pi * 12**2 * PIXEL**2
    image = _dapi(truth)
    assert segment_fluorescence(image, pixel_size_um=PIXEL, min_area_um2=2 * area).max() == 0
    assert segment_fluorescence(image, pixel_size_um=PIXEL, max_area_um2=area / 2).max() == 0


def test_scale_and_offset_of_the_counts_do_not_matter():
    image = _dapi(_discs([(50, 50), (120, 120)], 12))
    first = segment_fluorescence(image, pixel_size_um=PIXEL)
    second = segment_fluorescence(image / 7000.0 - 2, pixel_size_um=PIXEL)
    assert (first != second).mean() < 1e-3


def test_a_mitotic_cell_takes_nothing_from_dim_nuclei():
    truth = _discs([(40, 40), (40, 66), (120, 50), (120, 150), (160, 150), (60, 180)], 12)
    image = _dapi(truth, shading=0).astype(np.float64)
    image += 10_000 * gaussian_filter((truth == 2).astype(np.float64), 1.5)
    found = segment_fluorescence(image, pixel_size_um=PIXEL)
    assert match_instances(truth, found, 0.7).f1 == 1


def test_a_dim_band_divides_no_nucleus():
    truth = _discs([(50, 60), (140, 150)], 24)
    band = 1 - 0.5 * np.exp(-(((np.arange(truth.shape[1]) - 60) / 8) ** 2))
    found = segment_fluorescence(_dapi(truth, shading=0) * band, pixel_size_um=0.25)
    assert match_instances(truth, found, 0.7).f1 == 1


@pytest.mark.parametrize("n_nuclei", [1, 3])
def test_few_nuclei_in_a_large_field_are_found(n_nuclei):
    truth = _discs([(300, 300), (700, 200), (500, 800)][:n_nuclei], 12, (1000, 1000))
    found = segment_fluorescence(_dapi(truth, shading=0), pixel_size_um=PIXEL)
    assert match_instances(truth, found, 0.7).f1 == 1


@pytest.mark.parametrize("image", [np.full((80, 80), 7), "noise"])
def test_an_image_without_nuclei_has_none(image):
    if isinstance(image, str):
        image = np.random.default_rng(3).normal(100, 5, (150, 150))
    assert segment_fluorescence(image, pixel_size_um=PIXEL).max() == 0


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.zeros((3, 8, 8)), "shape"),
        (np.array([[np.nan, 1], [1, 1]]), "NaN"),
        (np.array([["a"]]), "type"),
    ],
)
def test_what_is_no_image_is_refused(image, sentence):
    with pytest.raises(InputError, match=sentence):
        segment_fluorescence(image, pixel_size_um=PIXEL)
