from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from napari_fluorgen.errors import OutputError
from napari_fluorgen.io import read_stack
from napari_fluorgen.stack import StainedField
from napari_fluorgen.workflow.picture import REGION_COLOURS, blend_stains, compose, save_picture


@pytest.fixture
def stack(plate):
    return read_stack(plate.files("D04", 1)[-1])


@pytest.fixture
def field(stack) -> StainedField:
    shape = stack.shape[1:]
    labels = np.zeros(shape, np.uint32)
    labels[20:40, 20:40] = 1
    certain = np.where(labels > 0, 0.9, 0.001).astype(np.float32)
    return StainedField(
        stack.identity,
        (0.325, 0.325),
        {name: np.asarray(image) for name, image in stack.truth.items()},
        certain,
        labels,
        {"nucleus": certain, "background": 0.901 - certain},
    )


def test_blend_gives_each_stain_its_light() -> None:
    images = {
        "cytoplasm": np.array([[100, 0]]),
        "lipids": np.array([[0, 100]]),
        "nuclei": np.array([[0, 0]]),
    }
    limits = dict.fromkeys(images, (0.0, 100.0))
    assert blend_stains(images, limits).tolist() == [[[255, 0, 0], [0, 255, 0]]]


def test_panels_stand_side_by_side(stack, field) -> None:
    four = compose(stack, field)
    three = compose(replace(stack, truth={}), field)
    two = compose(replace(stack, truth={}), replace(field, p_values={}))
    assert four.height == three.height == two.height > stack.shape[1]
    step = four.width - three.width
    assert three.width - two.width == step >= stack.shape[2]


def test_certain_nucleus_has_its_colour_in_the_last_panel(stack, field) -> None:
    pixels = np.asarray(compose(stack, field)).astype(int)
    panel = pixels[26:, -300:][:, : stack.shape[2]]
    blue = np.array(REGION_COLOURS[2][1])
    inside, outside = panel[25:38, 22:38].mean((0, 1)), panel[60:90, 60:90].mean((0, 1))
    assert np.abs(inside - blue).sum() < np.abs(outside - blue).sum()
    assert inside[2] > inside[0] + 40
    assert np.ptp(outside) < 1  # certain background stays grey


def test_large_fields_are_thinned(stack, field) -> None:
    def large(image):
        return np.kron(image, np.ones((20, 20), image.dtype))

    big = replace(
        field,
        images={k: large(v) for k, v in field.images.items()},
        nuclei_labels=large(field.nuclei_labels),
        p_values={},
    )
    planes = np.array([large(np.asarray(stack.data[3]))])
    picture = compose(replace(stack, data=planes, truth={}), big)
    assert picture.height < 1100
    small = np.asarray(compose(replace(stack, truth={}), replace(field, p_values={})))
    assert picture.width > small.shape[1]


def test_picture_is_written_once_unless_asked(stack, field, tmp_path) -> None:
    path = save_picture(stack, field, tmp_path / "picture.png")
    with Image.open(path) as image:
        assert image.format == "PNG"
    with pytest.raises(OutputError):
        save_picture(stack, field, path)
    save_picture(stack, field, path, overwrite=True)
    assert [p.name for p in tmp_path.glob("*.png")] == ["picture.png"]
