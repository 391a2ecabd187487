from __future__ import annotations

import hashlib
import json

import dask.array
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_fluorgen.errors import InputError
from napari_fluorgen.models import NucleiSettings
from napari_fluorgen.stack import BrightfieldStack, FieldIdentity
from napari_fluorgen.workflow import provenance


def test_digest_is_sha256_of_header_and_values() -> None:
    data = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    expected = hashlib.sha256(b"2x3x4 <u2" + data.astype("<u2").tobytes()).hexdigest()
    assert provenance.input_digest(data) == f"sha256:{expected}"


@settings(deadline=None)
@given(
    arrays(np.uint16, st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))),
    st.integers(1, 5),
)
def test_digest_does_not_depend_on_how_values_are_stored(data: np.ndarray, chunk: int) -> None:
    digest = provenance.input_digest(data)
    assert provenance.input_digest(np.asfortranarray(data)) == digest
    assert provenance.input_digest(data.astype(">u2")) == digest
    assert provenance.input_digest(dask.array.from_array(data, chunks=chunk)) == digest


def test_digest_changes_with_a_value_a_shape_and_a_type() -> None:
    data = np.zeros((2, 4, 4), np.uint16)
    other = data.copy()
    other[1, 3, 3] = 1
    digests = {
        provenance.input_digest(d)
        for d in (data, other, data.reshape(4, 2, 4), data.astype(np.uint8))
    }
    assert len(digests) == 4


def test_description_of_the_input_is_json() -> None:
    stack = BrightfieldStack(
        np.zeros((2, 4, 4), np.float32), FieldIdentity("a"), (0.3, 0.3), (0.0, 2.0), notes=("n",)
    )
    record = json.loads(json.dumps(provenance.describe_input(stack)))
    assert record["shape"] == [2, 4, 4]
    assert record["dtype"] == "float32"
    assert record["z_um"] == [0.0, 2.0]


def test_versions_name_the_package() -> None:
    assert {"napari-fluorgen", "python", "numpy", "torch"} <= set(provenance.versions())


def test_the_record_tells_how_the_model_cuts_nuclei() -> None:
    nuclei = NucleiSettings(threshold=0.4, min_area_um2=15, max_area_um2=300)
    record = {"model": {"name": "m", "nuclei": nuclei.model_dump()}}
    assert provenance.recorded_nuclei(record, "a") == nuclei
    record["model"]["nuclei"]["of a later version"] = 3
    assert provenance.recorded_nuclei(record, "a") == nuclei


@pytest.mark.parametrize("record", [{}, {"model": None}, {"model": {"name": "m"}}])
def test_a_record_that_does_not_tell_means_usual_nuclei(record) -> None:
    found = provenance.recorded_nuclei(record, "a")
    assert (found.min_area_um2, found.max_area_um2) == (20, 600)


@pytest.mark.parametrize("nuclei", [{"min_area_um2": "small"}, {"max_area_um2": 5}, 7])
def test_a_record_that_cannot_be_understood_is_one_sentence(nuclei) -> None:
    with pytest.raises(InputError, match=r"record of 'a' .*run\.json") as caught:
        provenance.recorded_nuclei({"model": {"nuclei": nuclei}}, "a")
    assert "\n" not in str(caught.value)
