from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from napari_fluorgen.models import Architecture, ModelSpec, RangeScaling, StainRange

from .conftest import make_spec


def test_round_trip_through_json():
    spec = make_spec()
    assert ModelSpec.model_validate_json(spec.model_dump_json()) == spec
    assert spec.stains == ("nuclei", "lipids", "cytoplasm")
    assert spec.output_names == ("nuclei", "lipids", "cytoplasm", "nuclei_probability")


def test_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        make_spec().name = "other"


def dense(**settings):
    return Architecture(kind="dense-unet", **settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../evil"}, "name"),
        ({"name": ""}, "name"),
        ({"pixel_size_um": 0}, "greater than 0"),
        ({"pixel_size_um": float("inf")}, "finite number"),
        ({"z_um": (-6, -4, -2, 0, 2, 4, float("inf"))}, "finite number"),
        ({"input": {"kind": "background", "gain": float("nan")}}, "finite number"),
        ({"z_um": (0, 1, 2)}, "needs 7 positions"),
        ({"z_um": (6, 4, 2, 0, -2, -4, -6)}, "must ascend"),
        ({"z_um": (0, 0, 1, 2, 3, 4, 5)}, "must ascend"),
        ({"nuclei": {"min_area_um2": 700}}, "min_area_um2 700 must not exceed"),
        ({"divisor": 12}, "no multiple of 8"),
        ({"input": {"kind": "range", "minimum": (0,), "maximum": (1,)}}, "needs 7 planes"),
        ({"input": {"kind": "other"}}, "other"),
        ({"architectures": {}}, "architectures"),
        ({"architectures": {"lipids": dense()}}, "same stains"),
        (
            {
                "architectures": {"lipids": dense(in_channels=3)},
                "outputs": {"lipids": {"minimum": 0, "maximum": 1}},
            },
            "takes 3 planes",
        ),
        (
            {
                "architectures": {"nuclei": dense()},
                "outputs": {"nuclei": {"minimum": 0, "maximum": 1}},
            },
            "no network for nuclei",
        ),
        ({"unknown": 1}, "Extra inputs"),
    ],
)
def test_refuses_what_does_not_fit(changes, message):
    with pytest.raises(ValidationError, match=message):
        make_spec(**changes)


def test_model_of_one_stain():
    spec = make_spec(
        architectures={"lipids": dense()}, outputs={"lipids": {"minimum": 0, "maximum": 9}}
    )
    assert spec.output_names == ("lipids",)


def test_counts_beyond_the_range_are_cut_off_or_kept():
    scale = StainRange(minimum=100, maximum=300)
    assert scale.from_counts([0, 100, 200, 400]).tolist() == [0, 0, 0.5, 1]
    assert scale.unclipped([0, 100, 200, 400]).tolist() == [-0.5, 0, 0.5, 1.5]
    assert scale.unclipped([0]).dtype == np.float32


def test_counts_are_clipped_and_rounded():
    counts = StainRange(minimum=100, maximum=70000).to_counts([-1, 0, 0.5, 1, 2])
    assert counts.dtype == np.uint16
    assert counts.tolist() == [0, 100, 35050, 65535, 65535]


@given(
    low=st.integers(0, 30000),
    width=st.integers(1, 30000),
    share=st.floats(0, 1, width=32),
)
def test_counts_round_trip(low, width, share):
    scale = StainRange(minimum=low, maximum=low + width)
    count = np.round(low + share * width).astype(np.uint16)
    assert scale.to_counts(scale.from_counts(count)) == count


def test_ranges_must_rise():
    with pytest.raises(ValidationError, match="must exceed"):
        StainRange(minimum=5, maximum=5)
    with pytest.raises(ValidationError, match="rising pair"):
        RangeScaling(minimum=(0, 1), maximum=(1, 1))
