import tracemalloc

import pytest

from napari_fluorgen.io import plane_gaps
from napari_fluorgen.io.plane_gaps import find_gaps

SEVEN = (1, 2, 3, 4, 5, 6, 7)


def gaps(*series, numbered=True):
    return find_gaps([frozenset(map(float, s)) for s in series], [numbered] * len(series))


def missing(*series, **options):
    return [found.missing for found in gaps(*series, **options)]


def without(*planes):
    return tuple(plane for plane in SEVEN if plane not in planes)


@pytest.mark.parametrize(
    ("series", "lacks"),
    [
        (SEVEN, ()),
        (without(4), (4,)),
        ((1, 2, 4), (3,)),
        ((0, 1, 3), (2,)),
        ((2, 4, 6), ()),
        ((2, 4, 8, 10), (6,)),
        ((5, 6), ()),
        ((1, 9), ()),
        ((3,), ()),
        ((-2, -1, 1, 2), (0,)),
    ],
)
def test_a_gap_in_an_even_count(series, lacks):
    assert missing(series) == [lacks]


@pytest.mark.parametrize(
    "series",
    [
        (1327, 1341, 1351, 1352, 1362),
        (100, 110, 125),
        (1, 2, 9, 10),
        (0, 2, 3, 5, 6, 8, 9),
    ],
)
def test_uneven_numbers_are_told_and_read(series):
    """They may be heights."""
    (found,) = gaps(series)
    assert found.missing == ()
    assert "numbered unevenly" in found.notes[0]


def test_a_number_far_away_takes_no_memory():
    tracemalloc.start()
    try:
        (found,) = gaps((1, 2, 3, 1_000_000))
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()
    assert "numbered unevenly" in found.notes[0]


def test_uneven_numbers_that_another_field_completes_are_no_heights():
    assert missing(SEVEN, without(3, 4, 5)) == [(), (3, 4, 5)]


def test_heights_may_be_uneven():
    assert missing((1, 2, 4), numbered=False) == [()]
    assert gaps((1, 2, 4), numbered=False)[0].notes == ()


def test_a_gap_that_the_field_beside_does_not_have():
    assert missing(SEVEN, without(4)) == [(), (4,)]


def test_every_field_may_lack_another_plane():
    assert missing(without(2), without(4), without(6)) == [(2,), (4,), (6,)]


def test_a_plane_that_no_field_has_is_told():
    found = gaps(without(4), without(4))
    assert [one.missing for one in found] == [(), ()]
    assert all(one.notes == ("No field of the folder has the planes 4.",) for one in found)


def test_planes_at_the_ends_that_most_fields_have():
    assert missing(SEVEN, SEVEN, without(6, 7), (1,)) == [(), (), (), ()]
    assert missing(SEVEN, SEVEN, SEVEN, without(6, 7), (1,)) == [
        *([()] * 3),
        (6, 7),
        (2, 3, 4, 5, 6, 7),
    ]


def test_fields_of_the_same_planes_are_another_experiment():
    short = without(6, 7)
    assert missing(*[SEVEN] * 5, *[short] * 3) == [()] * 8
    assert missing(*[SEVEN] * 5, short) == [*[()] * 5, (6, 7)]


def test_a_plane_at_the_end_of_another_field_was_not_looked_for_within():
    assert missing((1, 2, 4, 5), (1, 2, 4, 5), (1, 2, 3))[:2] == [(), ()]


def test_like_fields_are_compared_once(monkeypatch):
    calls = []
    holes = plane_gaps._holes
    monkeypatch.setattr(plane_gaps, "_holes", lambda places: calls.append(1) or holes(places))
    gaps(*[(0, 2, 3, 5, 6, 8, 9)] * 50)
    assert len(calls) == 1


@pytest.mark.parametrize("shorter", [(1, 2, 3), (3, 4, 5, 6, 7)])
def test_fields_of_many_lengths_are_read_with_a_note(shorter):
    whole, short = gaps(SEVEN, shorter)
    assert (whole.missing, whole.notes) == ((), ())
    assert short.missing == ()
    assert short.notes == (f"It has {len(shorter)} planes, another field of the folder 7.",)


def test_a_field_that_begins_elsewhere_lacks_nothing():
    later = tuple(plane + 1 for plane in SEVEN)
    assert missing(SEVEN, SEVEN, later) == [(), (), ()]


def test_heights_that_most_fields_have():
    whole, other = (0, 2.5, 5), (0.1, 2.6, 5.1)
    assert missing(whole, whole, (0, 5), numbered=False) == [(), (), (2.5,)]
    assert missing(whole, whole, other, numbered=False) == [(), (), ()]
    assert missing(whole, (0, 2.6, 5), numbered=False) == [(), ()]
