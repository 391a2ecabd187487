"""The worker answers requests one by one; a bad one costs a sentence, not the worker."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from napari_fluorgen.errors import InputError, ModelError
from napari_fluorgen.io import read_stack
from napari_fluorgen.workflow import stain
from napari_fluorgen.workflow.worker import PROTOCOL, Worker, check_planes, check_stains

TINY = {"model": "tiny", "device": "cpu"}


@pytest.fixture
def worker(tmp_path: Path, installed) -> Worker:
    folder = tmp_path / "exchange"
    folder.mkdir()
    return Worker(folder)


def ask(worker: Worker, **request) -> dict:
    answers: list[str] = []
    worker.serve([json.dumps(request)], answers.append)
    (answer,) = answers
    assert "\n" not in answer

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(answer, parse_constant=refuse)


def read(worker: Worker, answer: dict) -> dict[str, np.ndarray]:
    names = {**answer["images"], "labels": answer["labels"]}
    return {name: np.load(worker.folder / file) for name, file in names.items()}


def test_hello_says_what_a_client_needs(worker):
    answer = ask(worker, command="hello", id=7)
    assert answer["ok"]
    assert answer["id"] == 7
    assert answer["protocol"] == PROTOCOL
    assert Path(answer["folder"]) == worker.folder


def test_a_file_is_stained_as_by_stain(worker, stack_file):
    answer = ask(worker, command="stain", path=str(stack_file), settings=TINY | {"fdr": 0.2})
    assert answer["ok"], answer
    field = stain(read_stack(stack_file), "tiny", device="cpu", fdr=0.2)
    found = read(worker, answer)
    np.testing.assert_array_equal(found["labels"], field.nuclei_labels)
    for name, image in field.images.items():
        np.testing.assert_array_equal(found[name], image)
        assert found[name].dtype == np.uint16
    count = int(field.nuclei_labels.max())
    assert count > 0
    assert {len(column) for column in answer["objects"].values()} == {count}
    assert answer["objects"]["decision"] == field.nuclei["decision"].tolist()
    # tiny knows no nuclei, so that their p-values are unknown: null, as JSON has no NaN
    assert answer["objects"]["p_value"] == [None] * count
    assert answer["verdict"] == field.verdict


def test_an_array_gives_what_the_same_file_gives(worker, stack_file):
    by_file = read(worker, ask(worker, command="stain", path=str(stack_file), settings=TINY))
    planes = np.asarray(read_stack(stack_file).data[:], np.float32)
    np.save(worker.folder / "planes.npy", planes)
    answer = ask(
        worker,
        command="stain",
        array="planes.npy",
        z_step_um=2.0,
        settings=TINY | {"pixel_size_um": 0.325},
    )
    by_array = read(worker, answer)
    for name, image in by_file.items():
        np.testing.assert_array_equal(by_array[name], image)


def test_a_plane_of_a_cellvoyager_field_stands_for_the_field(worker, plate):
    third = plate.files("D04", 2)[2]
    answer = ask(worker, command="stain", path=str(third), settings=TINY)
    assert answer["ok"], answer
    field = stain(read_stack(third), "tiny", device="cpu")
    np.testing.assert_array_equal(read(worker, answer)["labels"], field.nuclei_labels)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({}, "no 'command' of hello, check, stain"),
        ({"command": "explode"}, "no 'command' of hello, check, stain"),
        ({"command": "stain", "settings": TINY}, "no 'path' and no 'array'"),
        ({"command": "stain", "settings": TINY, "array": "none.npy"}, "no 'path' and no 'array'"),
        ({"command": "stain", "settings": TINY, "array": "text.npy"}, "no .npy file"),
        ({"command": "stain", "settings": TINY, "array": "flat.npy"}, "(4, 4)"),
        ({"command": "stain", "settings": TINY, "array": "three.npy"}, "3 brightfield planes"),
        ({"command": "stain", "settings": TINY, "path": "nowhere.tif"}, "does not exist"),
        ({"command": "check", "settings": {"model": "missing"}}, "installed are tiny"),
        ({"command": "check", "settings": {"fdr": 2}}, "'fdr' is 2"),
        ({"command": "check", "settings": {"colour": "red"}}, "'colour'"),
        ({"command": "check", "settings": [1]}, "settings are [1]"),
    ],
)
def test_a_bad_request_gives_one_sentence(worker, request_, words):
    (worker.folder / "text.npy").write_text("no numbers")
    np.save(worker.folder / "flat.npy", np.ones((4, 4)))
    np.save(worker.folder / "three.npy", np.ones((3, 32, 32)))
    answer = ask(worker, **request_)
    assert not answer["ok"]
    assert words in answer["error"]
    assert answer["error"].endswith(".")
    assert "\n" not in answer["error"]
    assert ask(worker, command="check", settings=TINY)["ok"]


def test_lines_that_are_no_requests_are_answered_too(worker):
    answers: list[str] = []
    worker.serve(["junk", "", "[1]\n", '"x"', "\ufffd"], answers.append)
    assert [json.loads(answer)["ok"] for answer in answers] == [False] * 4


def test_a_fault_does_not_end_the_worker(worker, monkeypatch):
    def fail(request):
        raise ZeroDivisionError("no luck")

    monkeypatch.setitem(worker._commands, "check", fail)
    answer = ask(worker, command="check", id="a")
    assert answer == {
        "id": "a",
        "ok": False,
        "error": "A fault in fluorgen, ZeroDivisionError: no luck; please report it.",
    }


@pytest.mark.parametrize(
    ("training", "least"),
    [({}, 7), ({"plane_range_um": [4, 30]}, 2), ({"plane_range_um": [0, 30]}, 1)],
)
def test_fewer_planes_than_a_model_knows_are_refused(training, least):
    spec = SimpleNamespace(name="m", planes=7, training=training)
    check_planes(least, spec)
    check_planes(20, spec)
    if least > 1:
        with pytest.raises(InputError, match=f"{least - 1} brightfield plane.* needs {least}"):
            check_planes(least - 1, spec)


def test_a_model_of_fewer_stains_is_refused():
    check_stains(SimpleNamespace(name="m", stains=("nuclei", "lipids", "cytoplasm")))
    with pytest.raises(ModelError, match="'m' stains nuclei, not lipids, cytoplasm: choose"):
        check_stains(SimpleNamespace(name="m", stains=("nuclei",)))
