from __future__ import annotations

import numpy as np
import pytest

from napari_fluorgen.errors import InputError
from napari_fluorgen.widgets.presenters import measuring as words


def test_index_is_the_object_number():
    table = {"ObjectNumber": np.array([1, 2, 3]), "AreaShape_Area": np.array([5, 6, 7])}
    features = words.layer_features(table)
    assert next(iter(features)) == "index"
    assert features["index"].tolist() == [1, 2, 3]
    assert words.layer_features({})["index"].size == 0


def test_nothing_is_ever_overwritten(tmp_path):
    first = words.target_folder(str(tmp_path), "f", "stains")
    assert first == tmp_path / "f-stains"
    first.mkdir()
    assert words.target_folder(str(tmp_path), "f", "stains") == tmp_path / "f-stains-2"


def test_folders_that_cannot_be(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(InputError, match="is a file"):
        words.target_folder(str(file), "f", "stains")
    with pytest.raises(InputError, match="No folder"):
        words.target_folder("  ", "f", "stains")


def test_words(tmp_path):
    said = words.counts_text({words.plain_name("LipidDroplets"): 3}, tmp_path)
    assert said.startswith("Measured 3 lipid droplets.")
    assert str(tmp_path) in said
    assert "4 files" in words.saved_text(4, tmp_path)
