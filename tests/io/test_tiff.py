import contextlib
import struct

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_fluorgen.errors import InputError
from napari_fluorgen.io import read_stack

RNG = np.random.default_rng(5)
STACK = RNG.integers(0, 65536, (7, 33, 47)).astype(np.uint16)


def save(path, data=STACK, **options):
    tifffile.imwrite(path, data, photometric=options.pop("photometric", "minisblack"), **options)
    return path


KINDS = {
    "plain.tif": {},
    "pages.tif": {"metadata": None, "contiguous": False},
    "deflate.tif": {"compression": "zlib"},
    "predictor.tif": {"compression": "zlib", "predictor": True},
    "lzw.tif": {"compression": "lzw"},
    "zstd.tif": {"compression": "zstd"},
    "tiled.tif": {"tile": (16, 16), "compression": "zlib"},
    "big.tif": {"bigtiff": True},
    "motorola.tif": {"byteorder": ">"},
    "motorola-lzw.tif": {"byteorder": ">", "compression": "lzw"},
    "ome.ome.tif": {"metadata": {"axes": "ZYX"}},
    "ome-lzw.ome.tif": {"metadata": {"axes": "ZYX"}, "compression": "lzw"},
    "imagej.tif": {"imagej": True, "metadata": {"axes": "ZYX"}},
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind(tmp_path, name):
    path = save(tmp_path / name, **KINDS[name])
    stack = read_stack(path)
    assert stack.shape == STACK.shape
    assert stack.data.dtype == STACK.dtype
    assert stack.data.dtype.isnative
    np.testing.assert_array_equal(stack.data[2:5, 3:9, ::2], STACK[2:5, 3:9, ::2])
    np.testing.assert_array_equal(np.asarray(stack.data), STACK)
    assert stack.identity.name == name.split(".")[0]
    assert stack.notes == ()


@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "f4", "f8"])
def test_every_depth(tmp_path, dtype):
    data = (STACK // 512).astype(dtype)
    stack = read_stack(save(tmp_path / "a.tif", data))
    assert stack.data.dtype == dtype
    np.testing.assert_array_equal(np.asarray(stack.data), data)


def test_calibration_of_imagej(tmp_path):
    metadata = {"axes": "ZYX", "unit": "micron", "spacing": 2.0}
    path = save(tmp_path / "a.tif", imagej=True, resolution=(4, 1 / 0.325), metadata=metadata)
    stack = read_stack(path)
    assert stack.pixel_size_um == pytest.approx((0.325, 0.25), rel=1e-5)
    assert stack.z_um == (0, 2, 4, 6, 8, 10, 12)


def test_calibration_of_ome(tmp_path):
    metadata = {
        "axes": "ZYX",
        "PhysicalSizeX": 250,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.325,
        "PhysicalSizeZ": 1.5,
    }
    stack = read_stack(save(tmp_path / "a.ome.tif", metadata=metadata))
    assert stack.pixel_size_um == pytest.approx((0.325, 0.25))
    assert stack.z_um == tuple(1.5 * i for i in range(7))


def test_heights_of_ome_planes(tmp_path):
    heights = [3.0, 1.0, 2.0, 0.5, 9.0, 7.5, -4.0]
    metadata = {
        "axes": "ZYX",
        "PhysicalSizeX": 0.2,
        "PhysicalSizeY": 0.2,
        "PhysicalSizeZ": 1.0,
        "Plane": {"PositionZ": heights, "PositionZUnit": ["µm"] * 7},
    }
    assert read_stack(save(tmp_path / "a.ome.tif", metadata=metadata)).z_um == tuple(heights)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"resolution": (30769.2307, 30769.2307), "resolutionunit": "CENTIMETER"}, 0.325),
        ({"resolution": (127000, 127000), "resolutionunit": "INCH"}, 0.2),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),
        ({"resolution": (300, 300), "resolutionunit": "INCH"}, None),
        ({"resolution": (1, 1)}, None),
        ({"resolution": (4, 4), "metadata": {"axes": "ZYX", "unit": "um"}}, 0.25),
        ({}, None),
    ],
)
def test_calibration_of_tags(tmp_path, options, expected):
    size = read_stack(save(tmp_path / "a.tif", **options)).pixel_size_um
    assert size is None if expected is None else size == pytest.approx((expected,) * 2, rel=1e-5)


def test_the_user_knows_better(tmp_path):
    path = save(tmp_path / "a.tif")
    assert read_stack(path, pixel_size_um=0.2).pixel_size_um == (0.2, 0.2)
    assert read_stack(path, pixel_size_um=(0.2, 0.3)).pixel_size_um == (0.2, 0.3)
    for nonsense in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="pixel size"):
            read_stack(path, pixel_size_um=nonsense)


def test_one_plane_is_read_with_a_note(tmp_path):
    stack = read_stack(save(tmp_path / "a.tif", STACK[0]))
    assert stack.shape == (1, 33, 47)
    assert "only one plane" in stack.notes[0]


@pytest.mark.parametrize(
    ("axes", "shape", "word"),
    [("TYX", (7, 33, 47), "time points"), ("CYX", (7, 33, 47), "channels")],
)
def test_unmarked_planes_are_read_with_a_note(tmp_path, axes, shape, word):
    path = save(tmp_path / "a.tif", STACK.reshape(shape), imagej=True, metadata={"axes": axes})
    stack = read_stack(path)
    assert stack.shape == (7, 33, 47)
    assert f"7 {word} were read as focus planes" in stack.notes[0]


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("name", ["pages.tif", "deflate.tif", "motorola.tif", "ome.ome.tif"])
def test_what_counts_from_white_is_inverted(tmp_path, name, dtype):
    data = STACK.astype(dtype)
    white = np.iinfo(dtype).max
    path = save(tmp_path / name, white - data, photometric="miniswhite", **KINDS[name])
    stack = read_stack(path)
    assert stack.data.dtype == dtype
    np.testing.assert_array_equal(np.asarray(stack.data), data)
    np.testing.assert_array_equal(stack.data[2, 3:9, ::2], data[2, 3:9, ::2])
    assert len(stack.notes) == 1
    assert "inverted" in stack.notes[0]


def test_white_of_fewer_bits_than_the_type(tmp_path):
    data = STACK % 4096
    options = {"photometric": "miniswhite", "bitspersample": 12}
    stack = read_stack(save(tmp_path / "a.tif", 4095 - data, **options))
    np.testing.assert_array_equal(np.asarray(stack.data), data)


@pytest.mark.parametrize("dtype", ["i2", "f4"])
def test_what_cannot_count_from_white_is_left(tmp_path, dtype):
    data = (STACK // 4).astype(dtype)
    stack = read_stack(save(tmp_path / "a.tif", data, photometric="miniswhite"))
    np.testing.assert_array_equal(np.asarray(stack.data), data)
    assert "left as they are" in stack.notes[0]


def test_a_table_of_colours_of_imagej_changes_no_values(tmp_path):
    options = {"imagej": True, "photometric": "miniswhite", "metadata": {"axes": "ZYX"}}
    stack = read_stack(save(tmp_path / "a.tif", **options))
    np.testing.assert_array_equal(np.asarray(stack.data), STACK)
    assert len(stack.notes) == 1
    assert "ImageJ shows the file inverted" in stack.notes[0]


def test_notes_on_the_files_of_a_series(tmp_path):
    for plane in range(3):
        save(tmp_path / f"a_z{plane}.tif", 65535 - STACK[plane], photometric="miniswhite")
    stack = read_stack(tmp_path)
    np.testing.assert_array_equal(np.asarray(stack.data), STACK[:3])
    assert len(stack.notes) == 1


def test_axes_of_length_one_are_dropped(tmp_path):
    path = save(tmp_path / "a.ome.tif", STACK[None, :, None], metadata={"axes": "TZCYX"})
    np.testing.assert_array_equal(np.asarray(read_stack(path).data), STACK)


BAD = {
    "rgb": (np.zeros((33, 47, 3), np.uint8), {"photometric": "rgb"}, "RGB"),
    "rgb stack": (np.zeros((7, 33, 47, 3), np.uint8), {"photometric": "rgb"}, "RGB"),
    "channels": (STACK[:2], {"imagej": True, "metadata": {"axes": "CYX"}}, "2 channels"),
    "hyperstack": (
        STACK[:6].reshape(3, 2, 33, 47),
        {"imagej": True, "metadata": {"axes": "ZCYX"}},
        "3 planes × 2 channels",
    ),
    "4D": (STACK[:6].reshape(3, 2, 33, 47), {}, "3 images × 2 images"),
    "complex": (np.zeros((7, 8, 8), np.complex64), {}, "complex64"),
    "binary": (np.zeros((7, 8, 8), bool), {}, "bool"),
}


@pytest.mark.parametrize("name", BAD)
def test_unfit_content(tmp_path, name):
    data, options, words = BAD[name]
    path = save(tmp_path / "a.tif", data, **options)
    with pytest.raises(InputError, match=words) as caught:
        read_stack(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_planes_of_different_shapes(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(STACK[0], metadata=None)
        tif.write(STACK[0, :20], metadata=None)
    with pytest.raises(InputError, match="different shapes"):
        read_stack(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"not a tiff at all", "cannot be read"), (b"II*\0", "cannot be read")],
)
def test_no_tiff_at_all(tmp_path, content, words):
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_stack(path)


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_stack(tmp_path / "none.tif")
    for name, words in [("a.czi", "OME-TIFF"), ("a.nd2", "Nikon"), ("a.xlsx", r"\.xlsx")]:
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(InputError, match=words):
            read_stack(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["plain.tif", "pages.tif", "lzw.tif", "ome.ome.tif", "imagej.tif", "big.tif"]
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(part=st.floats(0, 1, exclude_max=True))
def test_truncated_files_are_refused_or_whole(tmp_path, name, part):
    whole = save(tmp_path / name, STACK[:, :9, :8], **KINDS[name]).read_bytes()
    path = tmp_path / f"cut-{name}"
    path.write_bytes(whole[: int(part * len(whole))])
    with contextlib.suppress(InputError):
        data = np.asarray(read_stack(path).data)
        np.testing.assert_array_equal(data, STACK[:, :9, :8])


def test_damaged_pixels_are_found_when_read(tmp_path):
    path = save(tmp_path / "a.tif", compression="zlib", metadata=None)
    with tifffile.TiffFile(path) as tif:
        start, length = tif.pages[3].dataoffsets[0], tif.pages[3].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[start : start + length] = bytes(length)
    path.write_bytes(content)
    stack = read_stack(path)
    np.testing.assert_array_equal(stack.data[2], STACK[2])
    with pytest.raises(InputError, match="cannot be read"):
        stack.data[3]


def test_opening_reads_no_pixels(tmp_path):
    """A sparse file of 4 GB opens at once, and a window of it is read."""
    path = tmp_path / "large.tif"
    shape = (7, 16384, 16384)
    tifffile.memmap(path, shape=shape, dtype=np.uint16, bigtiff=True, photometric="minisblack")
    stack = read_stack(path)
    assert stack.shape == shape
    assert stack.data[6, -2:, -2:].tolist() == [[0, 0], [0, 0]]


def test_a_page_list_that_ends_early(tmp_path):
    """Planes that the list still promises are not silently dropped."""
    path = save(tmp_path / "a.tif", metadata=None)
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[6]
        end = page.offset + 2 + len(page.tags) * 12
    content = bytearray(path.read_bytes())
    content[end : end + 4] = struct.pack("<I", len(content) + 1000)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"truncated|cannot be read"):
        read_stack(path)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_stack_saved_plane_by_plane_is_one_stack(tmp_path, compression):
    planes = np.random.default_rng(4).integers(0, 65536, (7, 20, 30)).astype(np.uint16)
    path = tmp_path / "loop.tif"
    with tifffile.TiffWriter(path) as writer:
        for plane in planes:
            writer.write(plane, compression=compression, contiguous=False)
    stack = read_stack(path)
    np.testing.assert_array_equal(np.asarray(stack.data), planes)
    np.testing.assert_array_equal(stack.data[3, 5:9, 2:7], planes[3, 5:9, 2:7])
    assert stack.notes == ()
