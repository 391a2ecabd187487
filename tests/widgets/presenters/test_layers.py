from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fluorgen.errors import InputError
from napari_fluorgen.stack import FieldIdentity
from napari_fluorgen.widgets.presenters.layers import (
    KEY,
    OUTLINES,
    percentile_limits,
    record_of,
    result_layers,
    short_name,
    stack_layers,
)
from napari_fluorgen.widgets.presenters.results import (
    corrections,
    field_of_run,
    file_stem,
    find_runs,
    layers_of_field,
    layers_of_run,
    sequential,
    stack_of_layer,
)
from napari_fluorgen.widgets.presenters.spatial import Spatial

from ..conftest import layer_of  # noqa: TID252 - the layers of all docks


def as_layers(specs):
    return [layer_of(spec) for spec in specs]


def test_stack_is_one_layer_with_truth_hidden_above(stack):
    brightfield, *truth = stack_layers(stack)
    assert brightfield.data is stack.data
    assert brightfield.kwargs["scale"] == (2.0, 0.3, 0.35)
    assert brightfield.kwargs["units"] == ("micrometer",) * 3
    assert brightfield.kwargs["axis_labels"] == ("z", "y", "x")
    assert [spec.kwargs["name"] for spec in truth] == [
        "B03 s1 true lipids",
        "B03 s1 true nuclei",
    ]
    assert not any(spec.kwargs["visible"] for spec in truth)
    assert truth[0].kwargs["scale"] == (0.3, 0.35)


def test_true_outlines_lie_on_top_and_are_of_no_run(outlined, result):
    layers = stack_layers(outlined)
    spec = layers[-1]
    assert (spec.kind, spec.attributes) == ("labels", {"contour": 2})
    assert spec.data is outlined.truth["labels"]
    assert spec.kwargs["name"] == "B03 s1 true nuclei outlines"
    assert not spec.kwargs["visible"]
    assert spec.kwargs["colormap"] != list(OUTLINES)
    assert {name: spec.kwargs[name] for name in ("scale", "units", "translate")} == {
        name: layers[-2].kwargs[name] for name in ("scale", "units", "translate")
    }
    spatial = Spatial.of_stack(outlined).plane()
    predicted = as_layers(result_layers(result, spatial, run="r"))
    (run,) = find_runs([*as_layers(layers), *predicted])
    assert run.layers["nuclei labels"] is predicted[-1]


def test_unknown_sizes_stay_pixels(stack):
    from dataclasses import replace

    bare = replace(stack, pixel_size_um=None, z_um=None)
    kwargs = stack_layers(bare)[0].kwargs
    assert kwargs["scale"] == (1.0, 1.0, 1.0)
    assert kwargs["units"] == ("pixel",) * 3


def test_uneven_planes_get_no_length(stack):
    from dataclasses import replace

    uneven = replace(stack, z_um=(0.0, 1.0, 2.0, 5.0, 6.0, 7.0, 8.0))
    assert stack_layers(uneven)[0].kwargs["units"] == ("pixel", "micrometer", "micrometer")


def test_result_layers_are_ordered_and_coloured(result, stack):
    spatial = Spatial.of_stack(stack).plane()
    specs = result_layers(result, spatial, run="r", source_id="s")
    shown = [s for s in specs if s.kwargs.get("visible", True)]
    assert [(s.kwargs["metadata"][KEY]["role"], s.kwargs.get("colormap")) for s in shown] == [
        ("cytoplasm", "red"),
        ("lipids", "green"),
        ("nuclei", "blue"),
        ("nuclei labels", list(OUTLINES)),
    ]
    assert shown[-1].attributes == {"contour": 2}
    hidden = {s.kwargs["metadata"][KEY]["role"] for s in specs} - {
        s.kwargs["metadata"][KEY]["role"] for s in shown
    }
    assert hidden == {"nuclei probability", "p-value nucleus", "p-value background"}
    assert all(s.kwargs["scale"] == (0.3, 0.35) for s in specs)
    assert all(s.kwargs["units"] == ("micrometer", "micrometer") for s in specs)


def test_counts_are_never_touched(result, stack):
    for spec in result_layers(result, Spatial.of_stack(stack).plane(), run="r"):
        role = record_of(spec.kwargs["metadata"])["role"]
        if role in result.images:
            assert spec.data is result.images[role]


def test_a_run_is_put_together_from_its_layers(result, stack):
    spatial = Spatial.of_stack(stack).plane()
    layers = as_layers(result_layers(result, spatial, run="r", source_id="s"))
    (run,) = find_runs([*as_layers(stack_layers(stack)), *layers])
    assert (run.key, run.title, run.source_id) == ("r", "B03 s1", "s")
    assert run.has_confidence
    back = field_of_run(run)
    assert back.identity == result.identity
    assert back.provenance == result.provenance
    assert back.channel_files == dict(result.channel_files)
    assert back.pixel_size_um == result.pixel_size_um
    np.testing.assert_array_equal(back.nuclei_labels, result.nuclei_labels)
    for name, values in result.p_values.items():
        np.testing.assert_array_equal(back.p_values[name], values)


def test_an_erased_nucleus_is_gone_and_the_rest_renumbered(result, stack):
    layers = as_layers(result_layers(result, Spatial.of_stack(stack).plane(), run="r"))
    labels = next(x for x in layers if x.name.endswith("outlines"))
    labels.data = np.where(labels.data == 1, 0, labels.data)
    (run,) = find_runs(layers)
    edited = field_of_run(run).nuclei_labels
    assert edited.dtype == np.uint32
    assert set(np.unique(edited)) == {0, 1, 2}


def test_a_removed_stain_is_named(result, stack):
    layers = as_layers(result_layers(result, Spatial.of_stack(stack).plane(), run="r"))
    (run,) = find_runs([x for x in layers if "lipids" not in x.name])
    with pytest.raises(InputError, match="lipids"):
        field_of_run(run)


def test_newest_run_first(result, stack):
    spatial = Spatial.of_stack(stack).plane()
    old, new = (as_layers(result_layers(result, spatial, run=key)) for key in ("1", "2"))
    assert [run.key for run in find_runs(old + new)] == ["2", "1"]


def test_layers_with_more_axes_are_refused():
    layer = SimpleNamespace(data=np.zeros((2, 3, 4, 5)), name="film", metadata={})
    with pytest.raises(InputError, match="4 axes"):
        stack_of_layer(layer)


@pytest.mark.parametrize(
    "axes", [{"axis_labels": ("t", "y", "x")}, {"units": ("second", "um", "um")}]
)
def test_time_is_no_focus(stack, axes):
    with pytest.raises(InputError, match="7 time points where focus planes"):
        stack_of_layer(as_napari(stack, **axes))


@pytest.mark.parametrize(
    ("name", "stem"), [("a b/c", "a_b_c"), ("../x", "x"), ("", "stack"), ("Zelle_ä1", "Zelle_ä1")]
)
def test_names_become_file_stems(name, stem):
    assert file_stem(name) == stem


def as_napari(stack, **changes):
    """A stack in a napari layer, as the presenters look at it."""
    (spec, *_) = stack_layers(stack)
    plain = {"rotate": np.eye(3), "shear": np.zeros(3), "source": SimpleNamespace(path=None)}
    plain |= {"affine": SimpleNamespace(affine_matrix=np.eye(4)), "ndim": 3, "data": spec.data}
    return SimpleNamespace(**(plain | spec.kwargs | changes))


def test_planes_keep_the_heights_of_the_file(stack):
    assert stack_of_layer(as_napari(stack)).z_um == stack.z_um


def test_a_step_corrected_in_the_layer_controls_counts(stack):
    corrected = stack_of_layer(as_napari(stack, scale=(1.0, 0.5, 0.5)))
    assert corrected.pixel_size_um == (0.5, 0.5)
    np.testing.assert_allclose(np.diff(corrected.z_um), 1.0)


def test_what_was_corrected_in_the_layer_is_known(stack):
    assert corrections(as_napari(stack)) == {}
    assert corrections(as_napari(stack, scale=(2.0, 0.3, 0.2))) == {"pixel_size_um": (0.3, 0.2)}
    step = corrections(as_napari(stack, scale=(1.0, 0.3, 0.35)))
    assert step == {"z_um": tuple(range(7))}
    bare = as_napari(replace(stack, pixel_size_um=None), scale=(2.0, 1.0, 1.0))
    assert corrections(bare) == {}


def test_a_loaded_field_is_found_by_its_folder_and_identity(stack):
    projection = as_napari(stack, ndim=2, rgb=False)
    brightfield, copy = (as_napari(stack, rgb=False) for _ in range(2))
    truth = as_layers(stack_layers(stack)[1:])
    layers = [projection, *truth, brightfield, copy]
    found = layers_of_field(layers, stack.identity, stack.source)
    assert [id(x) for x in found] == [id(x) for x in (brightfield, *truth)]
    assert layers_of_field(layers, stack.identity, "/another/plate") == []
    later = replace(stack.identity, timepoint=2)
    assert layers_of_field(layers, later, stack.source) == []
    assert layers_of_field([projection, *truth], stack.identity, stack.source) == []


def test_a_layer_that_lost_planes_can_still_be_stained(stack):
    assert len(stack_of_layer(as_napari(stack, data=stack.data[:5])).z_um) == 5


def test_a_duplicated_layer_does_not_replace_the_result(result, stack):
    layers = as_layers(result_layers(result, Spatial.of_stack(stack).plane(), run="r"))
    copy = SimpleNamespace(metadata=layers[-1].metadata, name=layers[-1].name)
    (run,) = find_runs([*layers, copy])
    assert run.layers["nuclei labels"] is layers[-1]


def test_everything_that_belongs_to_a_run_is_found(result, stack):
    layers = as_layers(result_layers(result, Spatial.of_stack(stack).plane(), run="r"))
    more = [
        SimpleNamespace(metadata={KEY: {link: key}})
        for key in ("r", "other")
        for link in ("regions_of", "objects_of")
    ]
    foreign = SimpleNamespace(metadata={})
    assert layers_of_run([*layers, *more, foreign], "r") == [*layers, *more[:2]]


def test_labels_painted_with_a_huge_number_cost_no_huge_table():
    labels = np.array([[0, 4_000_000_000], [7, 0]], np.uint32)
    new, present = sequential(labels)
    np.testing.assert_array_equal(new, [[0, 2], [1, 0]])
    np.testing.assert_array_equal(present, [7, 4_000_000_000])
    assert new.dtype == np.uint32


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60))
def test_sequential_keeps_objects_apart(values):
    labels = np.array(values).reshape(1, -1)
    new, present = sequential(labels)
    assert list(present) == sorted(set(values) - {0})
    assert set(np.unique(new[new > 0])) == set(range(1, len(set(values) - {0}) + 1))
    pairs = {(int(a), int(b)) for a, b in zip(labels.ravel(), new.ravel(), strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


@pytest.mark.parametrize("plane", [np.zeros((8, 8)), np.full((8, 8), np.nan), np.full((4, 4), 7)])
def test_limits_of_flat_planes_rise(plane):
    low, high = percentile_limits(plane)
    assert high > low


def test_foreign_metadata_is_no_record():
    assert record_of({}) == {}
    assert record_of({"fluorgen": 3}) == {}
    assert record_of(None) == {}


@pytest.mark.parametrize(
    ("identity", "name"),
    [
        (FieldIdentity("P_B03_T0001F001L01", plate="P", well="B03", site=1), "B03 s1"),
        (FieldIdentity("x", well="B03"), "B03"),
        (FieldIdentity("x", well="B03", site=2, timepoint=3), "B03 s2 t3"),
        (FieldIdentity("my stack"), "my stack"),
        (FieldIdentity("a_rather_long_file_name_2026"), "a_rather…ame_2026"),
    ],
)
def test_short_names(identity, name):
    assert short_name(identity) == name
