from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import napari_fluorgen as fluorgen
from napari_fluorgen.errors import Cancelled, ConfigError, InputError, ModelError
from napari_fluorgen.workflow import FieldDone, Stage, StainRequest, drain, stain_field


@pytest.fixture
def stack(stack_file):
    return fluorgen.read_stack(stack_file)


def test_a_stack_becomes_stains_nuclei_and_confidence(stack, model) -> None:
    field = fluorgen.stain(stack, model, device="cpu")
    assert set(field.images) == {"nuclei", "lipids", "cytoplasm"}
    for image in field.images.values():
        assert image.shape == (96, 128)
        assert image.dtype == np.uint16
    assert field.nuclei_probability.dtype == np.float32
    assert field.nuclei_labels.dtype == np.uint32
    labels = np.unique(field.nuclei_labels)
    assert labels.size > 3
    assert np.array_equal(labels, np.arange(labels.size))
    for name in ("nucleus", "background"):
        assert field.p_values[name].shape == (96, 128)
        assert field.p_values[name].dtype == np.float32


@pytest.mark.parametrize("known", [None, (0.2, 0.2)])
def test_a_pixel_size_given_by_hand_stays_with_the_result(stack, model, known) -> None:
    stack = replace(stack, pixel_size_um=known)
    assert fluorgen.stain(stack, model, device="cpu").pixel_size_um == known
    field = fluorgen.stain(stack, model, device="cpu", pixel_size_um=0.325)
    assert field.pixel_size_um == (0.325, 0.325)


def test_events_come_in_order_and_end_with_the_field(stack, model) -> None:
    from napari_fluorgen.staining import Planned, TileDone

    events = []
    request = StainRequest.build(model="tiny", device="cpu", precision="float32")
    field = drain(stain_field(stack, request, model=model), events.append)
    kinds = [type(event) for event in events]
    assert kinds[0] is Planned
    tiles = kinds.count(TileDone)
    assert tiles == len(events[0].plan.tiles)
    assert kinds[1 : 1 + tiles] == [TileDone] * tiles
    assert events[1 + tiles :] == [Stage("confidence"), Stage("segmentation"), FieldDone(field)]


def test_provenance_says_what_made_it(stack, model, stack_file) -> None:
    field = fluorgen.stain(stack, model, device="cpu", precision="float32")
    record = json.loads(json.dumps(field.provenance))
    assert record["request"]["precision"] == "float32"
    assert record["model"]["name"] == "tiny"
    assert record["model"]["digest"] == model.digest
    assert record["model"]["simulated"] is True
    assert record["model"]["nuclei"] == model.spec.nuclei.model_dump()
    assert record["input"]["source"] == str(stack_file)
    assert record["device"] == "cpu"
    assert record["precision"] == "float32"
    assert record["versions"]["napari-fluorgen"] == fluorgen.__version__
    assert any("simulated" in message for message in record["messages"])
    assert record["started"] <= record["finished"]


def test_same_request_gives_the_same_numbers(stack, model) -> None:
    first, second = (fluorgen.stain(stack, model, device="cpu") for _ in range(2))
    for stain in first.images:
        assert np.array_equal(first.images[stain], second.images[stain])
    assert np.array_equal(first.nuclei_labels, second.nuclei_labels)


def test_model_by_name_and_by_path_are_the_same(stack, installed) -> None:
    by_name = fluorgen.stain(stack, "tiny", device="cpu")
    by_path = fluorgen.stain(stack, installed / "tiny", device="cpu")
    assert np.array_equal(by_name.nuclei_labels, by_path.nuclei_labels)


def test_model_without_calibration_gives_no_p_values(stack, tiny_models, tmp_path) -> None:
    import shutil

    folder = shutil.copytree(tiny_models / "tiny", tmp_path / "bare")
    (folder / "calibration.npz").unlink()
    field = fluorgen.stain(stack, folder, device="cpu")
    assert field.p_values == {}
    assert field.nuclei_labels.max() > 0


@pytest.mark.parametrize("after", [0, 1, 2])
def test_stop_ends_the_run(stack, model, after) -> None:
    asked = iter([False] * after)
    with pytest.raises(Cancelled):
        fluorgen.stain(stack, model, device="cpu", should_stop=lambda: next(asked, True))


def test_single_plane_is_stained_with_a_warning(stack, model) -> None:
    flat = replace(stack, data=np.asarray(stack.data)[:1], z_um=None)
    field = fluorgen.stain(flat, model, device="cpu")
    assert field.shape == stack.shape[1:]
    assert any("single plane stands in" in line for line in field.provenance["messages"])


def test_nan_is_refused(stack, model) -> None:
    data = np.array(stack.data, dtype=np.float32)
    data[3, 10, 10] = np.nan
    with pytest.raises(InputError, match="NaN"):
        fluorgen.stain(replace(stack, data=data), model, device="cpu")


def test_two_dimensions_are_refused(stack, model) -> None:
    with pytest.raises(InputError):
        fluorgen.stain(replace(stack, data=np.asarray(stack.data)[0]), model, device="cpu")


def test_unknown_model_names_what_is_installed(stack, installed) -> None:
    with pytest.raises(ModelError, match="tiny"):
        fluorgen.stain(stack, "adipocyte-99x")


def test_impossible_setting_is_refused(stack, model) -> None:
    with pytest.raises(ConfigError, match="'device' is 'tpu'"):
        fluorgen.stain(stack, model, device="tpu")
