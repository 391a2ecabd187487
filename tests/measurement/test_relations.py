from __future__ import annotations

import numpy as np

from napari_fluorgen.measurement.relations import (
    count_children,
    find_parents,
    mean_over_children,
)


def test_a_child_belongs_where_most_of_it_lies():
    parents = np.zeros((4, 10), int)
    parents[:, :5] = 1
    parents[:, 5:9] = 2
    children = np.zeros((4, 10), int)
    children[0, 3:9] = 1  # 2 pixels in 1, 4 in 2
    children[1, 0:2] = 2
    children[2, 9] = 3  # outside
    children[3, 4:6] = 4  # one pixel in each: the lower number wins
    found = find_parents(parents, children, 2, 5)
    np.testing.assert_array_equal(found, [2, 1, 0, 1, 0])
    np.testing.assert_array_equal(count_children(found, 2), [2, 1])


def test_means_skip_orphans_and_are_nan_without_children():
    table = {"Area": np.array([1.0, 3.0, 100.0]), "Parent_Cells": np.array([1, 1, 0])}
    means = mean_over_children(table, "Drops", table["Parent_Cells"], 2)
    assert list(means) == ["Mean_Drops_Area"]
    np.testing.assert_array_equal(means["Mean_Drops_Area"], [2, np.nan])


def test_no_objects_at_all():
    empty = np.zeros((3, 3), int)
    assert find_parents(empty, empty, 0, 0).shape == (0,)
    assert count_children(np.zeros(0, int), 0).shape == (0,)
