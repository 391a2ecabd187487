from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from napari_fluorgen.staining.backends.warm import Warm


@given(st.lists(st.integers(0, 6), max_size=40), st.integers(1, 5))
def test_what_was_used_last_is_kept(keys, most):
    warm, made, last = Warm(most), [], []
    for key in keys:
        assert warm.take(key, lambda key=key: made.append(key) or [key]) == [key]
        if key not in last:
            assert made[-1] == key
        last = [*(k for k in last if k != key), key][-most:]
        assert [k for k, _ in warm.items()] == last
    assert len(warm) == len(last)
    warm.clear()
    assert warm.items() == []


def test_a_thing_is_made_once_for_all_threads():
    warm, made = Warm(2), []
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda _: warm.take("a", lambda: made.append(1) or object()), range(64))
        )
    assert len(made) == 1
    assert all(thing is found[0] for thing in found)
