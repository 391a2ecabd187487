"""What the figures on real light are counted with."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fluorgen.stack import BrightfieldStack, FieldIdentity


@pytest.fixture
def real_light(benchmark_module):
    return benchmark_module("real_light")


def _labels(*boxes):
    labels = np.zeros((40, 60), np.uint32)
    for number, (y, x, side) in enumerate(boxes, start=1):
        labels[y : y + side, x : x + side] = number
    return labels


def test_a_nucleus_is_hit_by_the_centre_of_a_found_one(real_light):
    true = _labels((5, 5, 10), (5, 30, 10), (25, 5, 10))
    found = _labels((8, 8, 4), (9, 38, 8), (7, 7, 2))
    # The first is hit twice and counts once; the centre of the second lies beside its nucleus.
    assert real_light.hit(true, found) == pytest.approx(1 / 3)
    assert real_light.hit(true, np.zeros_like(true)) == 0
    assert real_light.hit(np.zeros_like(true), found) == 0


def test_outlines_are_filled_where_the_dna_is_bright(real_light):
    lit, dark = _labels((5, 5, 12)), _labels((20, 30, 12))
    outlines = real_light.edges(lit) | real_light.edges(dark)
    dna = np.where(lit > 0, 900.0, 100.0)
    labels = real_light.filled(outlines, dna)
    assert labels.max() == 1
    assert (labels[lit > 0] == 1).all()
    assert not labels[dark > 0].any()


def test_edges_are_the_outermost_pixels(real_light):
    box = _labels((10, 10, 5))
    edge = real_light.edges(box)
    assert edge.sum() == 16
    assert not edge[12, 12]


def test_each_true_nucleus_has_its_area_and_its_best_overlap(real_light):
    true = _labels((25, 5, 10), (5, 5, 10), (5, 30, 4))
    stack = BrightfieldStack(np.zeros((1, 40, 60)), FieldIdentity("real"), (0.5, 0.5))
    real = real_light.RealField(stack, np.zeros((40, 60)), true)
    rows = real_light.each_nucleus(real, _labels((5, 5, 10), (25, 10, 10), (5, 5, 2)))
    assert [row["um2"] for row in rows] == [4, 25, 25]
    assert sorted(row["iou"] for row in rows) == [0, 0.33, 0.96]
    assert real_light.each_nucleus(real, np.zeros_like(true))[0]["iou"] == 0
