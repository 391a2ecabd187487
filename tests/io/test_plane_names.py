from pathlib import Path

import pytest

from napari_fluorgen.io.plane_names import plane_names, unknown_planes


def parse(*stems):
    """Place and kind of each name that tells a plane."""
    found = plane_names([Path(f"{stem}.tif") for stem in stems])
    return {name.path.stem: (name.place, name.is_height) for name in found}


@pytest.mark.parametrize(
    ("stem", "place", "is_height"),
    [
        ("a_z3", 3, False),
        ("a_Z=03", 3, False),
        ("plane7", 7, False),
        ("r02c03f01p04-ch1sk1fk1fl1", 4, False),
        ("a_z2.5", 2.5, True),
        ("a_z-2.5", -2.5, True),
        ("a_z10um", 10, True),
        ("a_z+1", 1, True),
    ],
)
def test_numbers_and_heights(stem, place, is_height):
    assert parse(stem) == {stem: (place, is_height)}


@pytest.mark.parametrize("stem", ["a_1", "gfz1", "gfz1.5", "A01_bf"])
def test_other_numbers(stem):
    assert parse(stem) == {}


def test_a_minus_is_told_from_a_hyphen():
    assert parse("a_z-1", "a_z0", "a_z1")["a_z-1"] == (-1, True)
    assert parse("a_z-2", "a_z-1", "a_z0")["a_z-2"] == (-2, True)
    assert parse("a_z-1", "a_z-2") == {"a_z-1": (1, False), "a_z-2": (2, False)}
    assert parse("a_z-1", "a_z-1.5") == {"a_z-1": (-1, True), "a_z-1.5": (-1.5, True)}


def test_fields_write_signs_each_in_their_way():
    found = parse("a-z-1", "a-z-2", "b_z-1", "b_z1")
    assert found["a-z-2"] == (2, False)
    assert found["b_z-1"] == (-1, True)


def test_fields_that_write_signs_in_one_way_are_judged_together():
    found = parse("a_z-2", "a_z-1", "b_z-1", "b_z0")
    assert found["a_z-2"] == (-2, True)
    assert parse("a_z-2", "a_z-1", "b_z-2", "b_z-1")["a_z-2"] == (2, False)


def test_a_stray_copy_is_no_height():
    numbers = [f"a_z{number}" for number in range(1, 5)]
    assert parse(*numbers, "a_z4.1") == parse(*numbers)


@pytest.mark.parametrize(
    "heights",
    [
        ("0", "0.5", "1", "1.5", "2", "2.5", "3"),
        ("0", "0.5", "1", "2", "2.5", "3", "3.5", "4"),
        ("1", "1.5", "4", "4.2"),
        ("-1.5", "-1", "0", "1"),
    ],
)
def test_whole_heights_among_decimals(heights):
    found = parse(*(f"a_z{height}" for height in heights))
    assert [place for place, _ in found.values()] == [float(height) for height in heights]


def test_words_that_differ_within_a_series():
    assert parse("near_z-1", "mid_z0", "far_z1")["near_z-1"] == (-1, True)
    assert parse("near_z-1", "far_z-2")["near_z-1"] == (1, False)


def test_names_without_the_plane():
    names = ["a_z1", "a_z1.5", "a_z=2um", "r02c03f01p04-ch1sk2fk1fl1"]
    fields = [name.field for name in plane_names([Path(f"{name}.tif") for name in names])]
    assert fields == ["a", "a", "a", "r02c03f01-sk2"]


def test_planes_that_are_not_understood():
    files = [Path(name) for name in ("a_z1.tif", "a_z--2.tif", "a_z 3.tif", "size9.tif", "bf.tif")]
    known = {name.path for name in plane_names(files)}
    assert unknown_planes(files, known) == ["a_z--2.tif", "a_z 3.tif"]
