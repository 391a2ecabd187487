"""TIFFs that hold a stack and other images beside it."""

import numpy as np
import pytest
import tifffile

from napari_fluorgen.errors import InputError
from napari_fluorgen.io import find_fields, read_stack

STACK = np.random.default_rng(6).integers(0, 65536, (7, 12, 14)).astype(np.uint16)
RGB = np.zeros((6, 6, 3), np.uint8)


def save(path, *images, ome=True):
    """Gray stacks, gray planes and colour images, as what they are."""
    with tifffile.TiffWriter(path, ome=ome) as tif:
        for image in images:
            axes = "YXS" if image.shape[-1] == 3 else "TZCYX"[-image.ndim :]
            axes = "ZYX" if axes == "CYX" else axes
            photometric = "rgb" if axes == "YXS" else "minisblack"
            tif.write(image, photometric=photometric, metadata={"axes": axes})
    return path


OTHERS = {
    "thumbnail": RGB,
    "projection": STACK.max(axis=0),
    "channels": np.stack([STACK] * 3, axis=1),
    "other kind": STACK.astype(np.float32),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_stack_beside_one_is_no_field(tmp_path, name):
    path = save(tmp_path / "a.ome.tif", STACK, OTHERS[name])
    for opened in (path, tmp_path):
        (source,) = find_fields(opened).fields
        assert source.identity.name == "a"
        for stack in (source.open(), read_stack(opened)):
            np.testing.assert_array_equal(np.asarray(stack.data), STACK)
            assert stack.identity.name == "a"
            assert stack.notes == ("a.ome.tif holds 2 images: the first was read.",)


def test_a_stack_behind_a_thumbnail(tmp_path):
    stack = read_stack(save(tmp_path / "a.ome.tif", RGB, STACK))
    np.testing.assert_array_equal(np.asarray(stack.data), STACK)
    assert stack.notes == ("a.ome.tif holds 2 images: number 2 was read.",)


def test_stacks_keep_their_numbers_beside_others(tmp_path):
    save(tmp_path / "a.ome.tif", STACK, RGB, STACK + 1)
    found = find_fields(tmp_path)
    assert [source.identity.name for source in found.fields] == ["a_0", "a_2"]
    assert found.problems == ()
    for source, more in zip(found.fields, (0, 1), strict=True):
        stack = source.open()
        np.testing.assert_array_equal(np.asarray(stack.data), STACK + more)
        assert stack.notes == ("a.ome.tif holds 3 images: 2 are stacks and were read.",)


def test_a_file_without_a_stack_says_what_it_holds(tmp_path):
    path = save(tmp_path / "a.ome.tif", RGB, RGB)
    with pytest.raises(InputError, match="RGB"):
        read_stack(path)


@pytest.mark.parametrize("change", [{"compression": "zlib"}, {"dtype": np.uint8}])
def test_pages_of_another_kind_make_no_field(tmp_path, change):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for number, plane in enumerate(STACK):
            options = change if number == 6 else {}
            plane = plane.astype(options.get("dtype", plane.dtype))
            tif.write(plane, compression=options.get("compression"), metadata=None)
    stack = read_stack(tmp_path)
    np.testing.assert_array_equal(np.asarray(stack.data), STACK[:6])
    assert stack.identity.name == "a"
    assert stack.notes == ("a.tif holds 2 images: the first was read.",)
