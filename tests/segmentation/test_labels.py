"""Tools on label images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.segmentation import relabel_sequential as skimage_relabel

from napari_fluorgen.errors import InputError
from napari_fluorgen.segmentation import object_probability, relabel_sequential

label_images = hnp.arrays(np.int64, (5, 6), elements=st.integers(0, 40))


@settings(deadline=None)
@given(label_images)
def test_relabel_equals_scikit_image(labels):
    result = relabel_sequential(labels)
    assert result.dtype == np.uint32
    np.testing.assert_array_equal(result, skimage_relabel(labels)[0])


@settings(deadline=None)
@given(label_images, hnp.arrays(np.float32, (5, 6), elements=st.floats(0, 1, width=32)))
def test_object_probability_is_the_mean(labels, probability):
    expected = [probability[labels == n].mean() for n in np.unique(labels[labels > 0])]
    np.testing.assert_allclose(object_probability(labels, probability), expected, atol=1e-6)


def test_bad_input_is_named():
    with pytest.raises(InputError, match="negative"):
        relabel_sequential(np.array([[-1]]))
    with pytest.raises(InputError, match="must be equal"):
        object_probability(np.zeros((2, 2), int), np.zeros((2, 3)))
