from __future__ import annotations

import json

import pytest

from napari_fluorgen.staining import rates
from napari_fluorgen.staining.devices import Device

CPU = Device("cpu", "CPU, 2 cores", 10**9, ("float32",))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of its own, and a way to forget as a new process does."""
    path = tmp_path / "cache" / "pace.json"
    monkeypatch.setattr(rates, "_path", lambda: path)

    def forget():
        monkeypatch.setattr(rates, "_measured", {})
        monkeypatch.setattr(rates, "_opened", set())
        monkeypatch.setattr(rates, "_read_from", [])

    forget()
    return path, forget


def test_what_was_measured_is_known_to_the_next_process(model, cache):
    path, forget = cache
    rates.record_rate(model, CPU, "float32", 1_000_000, 3.0)
    rates.record_setup(model, CPU, "float32", (64, 64), 1.5)
    rates.record_around(model, 2_000_000, 4.0, held=True)
    rates.record_around(model, 2_000_000, 6.0, held=False)
    assert rates.setup_seconds(model, CPU, "float32", (64, 64)) == 0
    forget()
    assert rates.seconds_per_pixel(model, CPU, "float32") == 3e-6
    assert rates.setup_seconds(model, CPU, "float32", (64, 64)) == 1.5
    assert rates.around_seconds_per_pixel(model, held=True) == 2e-6
    assert rates.around_seconds_per_pixel(model, held=False) == 3e-6
    assert path.is_file()


def test_a_warm_model_does_not_change_what_opening_takes(model, cache):
    _, forget = cache
    rates.record_setup(model, CPU, "float32", (64, 64), 1.5)
    rates.record_setup(model, CPU, "float32", (64, 64), 0.01)
    forget()
    assert rates.setup_seconds(model, CPU, "float32", (64, 64)) == 1.5


def test_networks_compiled_for_some_tiles_are_compiled_anew_for_others(model, cache, monkeypatch):
    _, forget = cache
    monkeypatch.setenv("FLUORGEN_BACKEND", "openvino")
    for seconds in (9.0, 0.5):  # the second program finds them on disk
        rates.record_setup(model, CPU, "float32", (64, 64), seconds)
        forget()
    assert rates.setup_seconds(model, CPU, "float32", (64, 64)) == 0.5
    assert rates.setup_seconds(model, CPU, "float32", (96, 64)) == 9.0


def test_native_kernels_are_the_same_for_all_tiles(model, cache, monkeypatch):
    monkeypatch.setenv("FLUORGEN_BACKEND", "native")
    small, large = (rates.setup_seconds(model, CPU, "float32", (side, side)) for side in (64, 2048))
    assert 0 < small < large, "memory has to be got"
    rates.record_setup(model, CPU, "float32", (64, 64), 9.0)
    assert rates.setup_seconds(model, CPU, "float32", (96, 64)) == 0


def test_what_one_backend_took_says_nothing_of_another(model, monkeypatch):
    monkeypatch.setenv("FLUORGEN_BACKEND", "native")
    rates.record_rate(model, CPU, "float32", 1_000_000, 3.0)
    monkeypatch.setenv("FLUORGEN_BACKEND", "openvino")
    assert rates.seconds_per_pixel(model, CPU, "float32") != 3e-6


def test_other_machines_and_precisions_are_not_mixed_up(model):
    rates.record_rate(model, CPU, "float32", 1_000_000, 3.0)
    other = Device("cpu", "CPU, 64 cores", 10**9, ("float32",))
    assert rates.seconds_per_pixel(model, other, "float32") != 3e-6


@pytest.mark.parametrize("text", ["{", "[1]", '{"a": "b"}', '{"a": -1}', "", '{"a": null}'])
def test_a_damaged_file_is_replaced(model, cache, text):
    path, _ = cache
    path.parent.mkdir()
    path.write_text(text)
    assert rates.around_seconds_per_pixel(model, held=True) > 0
    rates.record_around(model, 1_000_000, 1.0, held=True)
    assert 1e-6 in json.loads(path.read_text()).values()


def test_a_cache_that_cannot_be_written_does_not_stop_a_run(model, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(rates, "_path", lambda: tmp_path / "file" / "pace.json")
    rates.record_rate(model, CPU, "float32", 1_000_000, 3.0)
    assert rates.seconds_per_pixel(model, CPU, "float32") == 3e-6


def test_short_runs_tell_nothing(model):
    rates.record_rate(model, CPU, "float32", 100, 3.0)
    rates.record_around(model, 100, 3.0, held=True)
    assert rates._measured == {}


def test_the_file_stays_small(model, cache):
    path, _ = cache
    for number in range(rates._MOST_ENTRIES + 50):
        rates._record(f"entry {number}", 1.0)
    kept = json.loads(path.read_text())
    assert len(kept) == rates._MOST_ENTRIES
    assert list(kept)[-1] == f"entry {rates._MOST_ENTRIES + 49}"
