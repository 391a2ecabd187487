from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fluorgen.measurement import ties


def introsort(values: list[int]) -> list[int]:
    """NumPy's scalar argsort, pixel by pixel (without its heapsort for hopeless cases)."""
    order = list(range(len(values)))
    stack = [(0, len(values) - 1)]
    while stack:
        left, right = stack.pop()
        while right - left > 15:
            middle = left + (right - left) // 2
            for one, other in ((middle, left), (right, middle), (middle, left)):
                if values[order[one]] < values[order[other]]:
                    order[one], order[other] = order[other], order[one]
            pivot = values[order[middle]]
            i, j = left, right - 1
            order[middle], order[j] = order[j], order[middle]
            while True:
                i += 1
                while values[order[i]] < pivot:
                    i += 1
                j -= 1
                while pivot < values[order[j]]:
                    j -= 1
                if i >= j:
                    break
                order[i], order[j] = order[j], order[i]
            order[i], order[right - 1] = order[right - 1], order[i]
            if i - left < right - i:
                stack.append((i + 1, right))
                right = i - 1
            else:
                stack.append((left, i - 1))
                left = i + 1
        for place in range(left + 1, right + 1):
            moved, at = order[place], place
            while at > left and values[moved] < values[order[at - 1]]:
                order[at] = order[at - 1]
                at -= 1
            order[at] = moved
    return order


def expected(values: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    highest = np.array([values[owner == number].max() for number in range(count)])
    result = np.full(count, -1)
    for index in introsort(values.tolist()):
        if values[index] == highest[owner[index]]:
            result[owner[index]] = index
    return result


def case(seed: int, size: int, levels: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    owner = rng.integers(0, count, size)
    owner[:count] = np.arange(count)
    return rng.integers(0, levels, size) / 65535, owner


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(3, 400), st.integers(1, 60), st.integers(1, 3))
def test_small_pieces_follow_the_scalar_introsort(seed, size, levels, count):
    values, owner = case(seed, size, levels, count)
    assert ties.scalar_argsort(values).tolist() == introsort(values.tolist())
    highest = np.array([values[owner == number].max() for number in range(count)])
    found = ties.last_of_ties(values, owner, highest)
    np.testing.assert_array_equal(found, expected(values, owner, count))


@pytest.mark.parametrize("levels", [1, 3, 40, 3000])
def test_pieces_that_are_divided_first(levels, monkeypatch):
    monkeypatch.setattr(ties, "_LEAF", 100)
    values, owner = case(levels, 20_000, levels, 5)
    values = values.astype(np.float32)
    highest = np.array([values[owner == number].max() for number in range(5)])
    found = ties.last_of_ties(values, owner, highest)
    np.testing.assert_array_equal(found, expected(values, owner, 5))


def test_an_object_without_pixels():
    found = ties.last_of_ties(np.array([1.0, 1.0]), np.array([1, 1]), np.array([np.nan, 1.0]))
    assert found.tolist() == [-1, 1]
