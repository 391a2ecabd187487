from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Image

from napari_fluorgen.widgets.presenters.layers import DERIVED, KEY, result_layers, stack_layers
from napari_fluorgen.widgets.presenters.spatial import Spatial
from napari_fluorgen.widgets.presenters.truth import candidates, suggested

from ..conftest import layer_of  # noqa: TID252 - the layers of all docks


def test_true_stains_of_the_same_file_are_suggested(loaded):
    brightfield, lipids, nuclei = loaded
    assert suggested(loaded, brightfield) == {"lipids": lipids, "nuclei": nuclei}


def test_foreign_stains_are_suggested_by_name_and_size(foreign):
    found = suggested(foreign.values(), foreign["planes"])
    assert found == {"nuclei": foreign["stain"]}
    smaller = Image(np.zeros((40, 64)), name="dapi")
    assert suggested([foreign["planes"], smaller], foreign["planes"]) == {}


def test_stains_of_several_fields_go_to_the_one_that_their_name_begins_like():
    def field(name):
        return Image(np.zeros((3, 48, 64)), name=f"{name} brightfield")

    one, other = field("A"), field("B")
    stains = [Image(np.ones((48, 64)), name=f"{name} DAPI") for name in "AB"]
    assert suggested([one, other, *stains], one) == {"nuclei": stains[0]}
    assert suggested([one, other, *stains], other) == {"nuclei": stains[1]}
    assert suggested([one, other, stains[0]], other) == {}
    unnamed = Image(np.ones((48, 64)), name="DAPI")
    assert suggested([one, other, unnamed], one) == {"nuclei": unnamed}, "its name does not tell"


def test_predictions_are_no_truth_but_corrected_outlines_may_be(stack, result, loaded):
    predicted = [
        layer_of(spec) for spec in result_layers(result, Spatial.of_stack(stack).plane(), run="r")
    ]
    layers = [*loaded, *predicted]
    assert candidates(layers, "nuclei") == loaded[1:]
    assert candidates(layers, "labels") == [predicted[-1]]
    assert "labels" not in suggested(layers, loaded[0])


def test_true_outlines_of_the_same_file_are_suggested(outlined, result):
    layers = [layer_of(spec) for spec in stack_layers(outlined)]
    assert suggested(layers, layers[0])["labels"] is layers[-1]
    assert candidates(layers, "brightfield") == layers[:1]
    assert layers[-1] not in candidates(layers, "nuclei")
    other = replace(result, identity=replace(outlined.identity, site=2))
    predicted = layer_of(result_layers(other, Spatial.of_stack(outlined).plane(), run="r")[-1])
    assert "labels" not in suggested([*layers, predicted], predicted), "they are of site 1"


@pytest.mark.parametrize("link", DERIVED)
def test_what_was_made_of_a_result_is_no_truth(link):
    made = Image(np.zeros((96, 128)), name="nuclei", metadata={KEY: {link: "run"}})
    assert candidates([made], "nuclei") == []
