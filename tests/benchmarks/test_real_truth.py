"""CellProfiler's own segmentation of a DNA stain, which virtual nuclei are weighed against."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage


@pytest.fixture
def real_truth(benchmark_module):
    return benchmark_module("real_truth")


@pytest.mark.cellprofiler
@pytest.mark.parametrize("method", ["Minimum Cross-Entropy", "Otsu"])
def test_cellprofiler_finds_and_parts_the_nuclei_of_a_dna_stain(real_truth, cellprofiler, method):
    y, x = np.mgrid[:120, :160]
    inside = [np.hypot(y - cy, x - cx) < 12 for cy, cx in ((40, 40), (40, 61), (85, 110))]
    dna = 100 + 20000 * ndimage.gaussian_filter(np.any(inside, axis=0).astype(float), 1)
    case = real_truth.Case("disks", dna, np.zeros(dna.shape, np.uint32), (12, 40))
    labels = real_truth.found_by_cellprofiler(tuple(cellprofiler), case, method)
    assert labels.max() == 3
    assert len({labels[40, 40], labels[40, 61], labels[85, 110]} - {0}) == 3
