"""OME-TIFF over several files, as bfconvert and microscopes write it; the XML is made by hand."""

import numpy as np
import pytest
import tifffile

from napari_fluorgen.errors import InputError
from napari_fluorgen.io import find_fields, read_stack

SHAPE = (9, 14)
STACK = np.random.default_rng(3).integers(0, 65536, (4, *SHAPE)).astype(np.uint16)
OME = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'


def uuid(name):
    return f"urn:uuid:{name.encode().hex():0>32}"


def entry(name, page=0, **first):
    """Where a plane lies."""
    places = "".join(f' First{axis}="{value}"' for axis, value in first.items())
    inner = f'<UUID FileName="{name}">{uuid(name)}</UUID>'
    return f'<TiffData IFD="{page}" PlaneCount="1"{places}>{inner}</TiffData>'


def pixels(entries, planes=1, channels=1, size=0.5, number=0):
    attributes = (
        f'ID="Pixels:{number}" DimensionOrder="XYZCT" Type="uint16" SizeX="14" SizeY="9" '
        f'SizeZ="{planes}" SizeC="{channels}" SizeT="1" PhysicalSizeX="{size}" '
        f'PhysicalSizeY="{size}" PhysicalSizeZ="2.0"'
    )
    return f'<Image ID="Image:{number}"><Pixels {attributes}>{"".join(entries)}</Pixels></Image>'


def save(path, planes, images, binary_only=None, byteorder=None, **options):
    inner = images
    if binary_only:
        inner = f'<BinaryOnly MetadataFile="{binary_only}" UUID="{uuid(binary_only)}"/>'
    xml = f'<?xml version="1.0"?><OME {OME} UUID="{uuid(path.name)}">{inner}</OME>'
    with tifffile.TiffWriter(path, byteorder=byteorder) as tif:
        for number, plane in enumerate(planes):
            text = xml if number == 0 else None
            tif.write(plane, metadata=None, description=text, contiguous=False, **options)
    return path


def save_positions(folder, count=2, planes=4):
    """A file for each position, every one with the description of all."""
    names = [f"out_{number}.ome.tif" for number in range(count)]
    images = "".join(
        pixels([entry(name, z, Z=z) for z in range(planes)], planes, 1, 0.25 + number, number)
        for number, name in enumerate(names)
    )
    return [save(folder / n, STACK[:planes] + i, images) for i, n in enumerate(names)]


def save_heights(folder, names=("s_z0.ome.tif", "s_z1.ome.tif", "s_z2.ome.tif"), **options):
    """A file for each plane of one image, highest name first in the focus."""
    order = list(reversed(names))
    image = pixels([entry(name, 0, Z=z) for z, name in enumerate(order)], len(names))
    return [save(folder / n, STACK[i : i + 1], image, **options) for i, n in enumerate(order)]


def test_each_position_has_its_own_pixels_and_calibration(tmp_path):
    for number, path in enumerate(save_positions(tmp_path)):
        stack = read_stack(path)
        np.testing.assert_array_equal(np.asarray(stack.data), STACK + number)
        assert stack.pixel_size_um == (0.25 + number,) * 2
        assert stack.z_um == (0, 2, 4, 6)
        assert stack.identity.name == f"out_{number}"
        assert stack.notes == ()


def test_positions_of_one_plane_are_no_focus_series(tmp_path):
    save_positions(tmp_path, planes=1)
    found = find_fields(tmp_path)
    assert [source.identity.name for source in found.fields] == ["out_0", "out_1"]
    np.testing.assert_array_equal(found.fields[1].open().data[0], STACK[0] + 1)


def test_a_renamed_position_and_a_missing_one(tmp_path):
    first, second = save_positions(tmp_path)
    second = second.rename(tmp_path / "mine.tif")
    first.unlink()
    np.testing.assert_array_equal(np.asarray(read_stack(second).data), STACK + 1)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"byteorder": ">"}])
def test_planes_in_several_files_are_one_field(tmp_path, options):
    paths = save_heights(tmp_path, **options)
    for opened in (*paths, tmp_path):
        stack = read_stack(opened)
        np.testing.assert_array_equal(np.asarray(stack.data), STACK[:3])
        np.testing.assert_array_equal(stack.data[1, 2:5, ::3], STACK[1, 2:5, ::3])
        assert stack.z_um == (0, 2, 4)
        assert stack.pixel_size_um == (0.5, 0.5)
        assert stack.identity.name == "s"
    assert len(find_fields(paths).fields) == 1
    assert find_fields(tmp_path).problems == ()


def test_a_missing_plane_is_named(tmp_path):
    paths = save_heights(tmp_path)
    paths[1].unlink()
    for opened in (paths[0], tmp_path):
        with pytest.raises(InputError, match=r"s_z1\.ome\.tif is missing"):
            read_stack(opened)


def test_a_foreign_file_in_place_of_a_plane(tmp_path):
    paths = save_heights(tmp_path)
    tifffile.imwrite(paths[1], STACK[0, :4], ome=False)
    with pytest.raises(InputError, match=r"s_z1\.ome\.tif has 4 × 14 pixels"):
        read_stack(paths[0])


def test_files_that_changed_names_are_refused(tmp_path):
    """A file whose identifier says otherwise than its name must not lend its pixels."""
    paths = save_heights(tmp_path)
    paths[0].rename(tmp_path / "x")
    paths[1].rename(paths[0])
    (tmp_path / "x").rename(paths[1])
    for path in paths:
        with pytest.raises(InputError, match="names"):
            read_stack(path)


def test_positions_that_changed_names_are_known_by_their_identifiers(tmp_path):
    first, second = save_positions(tmp_path)
    first.rename(tmp_path / "x")
    second.rename(first)
    (tmp_path / "x").rename(second)
    np.testing.assert_array_equal(np.asarray(read_stack(first).data), STACK + 1)
    assert read_stack(second).pixel_size_um == (0.25, 0.25)


def test_a_file_that_its_description_does_not_list(tmp_path):
    images = pixels([entry("a.ome.tif"), entry("b.ome.tif", Z=1)], 2)
    path = save(tmp_path / "c.ome.tif", STACK[:1], images)
    with pytest.raises(InputError, match="not among those"):
        read_stack(path)


@pytest.mark.parametrize("number", ["", "one", "1.5"])
def test_a_place_that_is_no_number(tmp_path, number):
    image = pixels([entry("a.ome.tif"), entry("b.ome.tif").replace('IFD="0"', f'IFD="{number}"')])
    path = save(tmp_path / "a.ome.tif", STACK[:1], image)
    with pytest.raises(InputError, match=r"a\.ome\.tif is one of several.*export it again"):
        read_stack(path)


def test_a_file_for_each_channel(tmp_path):
    names = ["x_c0.ome.tif", "x_c1.ome.tif"]
    entries = [entry(n, z, Z=z, C=c) for c, n in enumerate(names) for z in range(4)]
    for channel, name in enumerate(names):
        path = save(tmp_path / name, STACK + channel, pixels(entries, 4, 2))
    stack = read_stack(path)
    np.testing.assert_array_equal(np.asarray(stack.data), STACK + 1)
    assert stack.notes == ("x_c1.ome.tif: channel 2 of 2 was read.",)


def test_several_channels_in_a_file_of_several(tmp_path):
    names = ["x_0.ome.tif", "x_1.ome.tif"]
    images = "".join(
        pixels([entry(n, c, C=c) for c in range(2)], 1, 2, number=number)
        for number, n in enumerate(names)
    )
    path = save(tmp_path / names[1], STACK[:2], images)
    with pytest.raises(InputError, match="2 channels"):
        read_stack(path)


def test_the_description_may_lie_in_another_file(tmp_path):
    names = ["m_0.ome.tif", "m_1.ome.tif"]
    images = "".join(
        pixels([entry(n, z, Z=z) for z in range(4)], 4, 1, 0.25 + number, number)
        for number, n in enumerate(names)
    )
    save(tmp_path / names[0], STACK, images)
    path = save(tmp_path / names[1], STACK + 1, "", binary_only=names[0])
    stack = read_stack(path)
    np.testing.assert_array_equal(np.asarray(stack.data), STACK + 1)
    assert stack.pixel_size_um == (1.25, 1.25)
    (tmp_path / names[0]).unlink()
    np.testing.assert_array_equal(np.asarray(read_stack(path).data), STACK + 1)


def save_images(path, count=3, planes=4):
    """Several images in one file, as positions are exported."""
    with tifffile.TiffWriter(path, ome=True) as tif:
        for number in range(count):
            size = {"PhysicalSizeX": 0.25 + number, "PhysicalSizeY": 0.25 + number}
            tif.write(STACK[:planes] + number, metadata={"axes": "ZYX", **size})
    return path


@pytest.mark.parametrize("as_folder", [False, True])
@pytest.mark.parametrize("name", ["a.ome.tif", "a.tif"])
def test_each_image_of_a_file_is_a_field(tmp_path, name, as_folder):
    path = save_images(tmp_path / name)
    found = find_fields(tmp_path if as_folder else path)
    assert [source.identity.name for source in found.fields] == ["a_0", "a_1", "a_2"]
    assert found.problems == ()
    for number, source in enumerate(found.fields):
        stack = source.open()
        np.testing.assert_array_equal(np.asarray(stack.data), STACK + number)
        np.testing.assert_array_equal(stack.data[1, 2:5, ::3], STACK[1, 2:5, ::3] + number)
        assert stack.pixel_size_um == (0.25 + number,) * 2
        assert stack.identity == source.identity
        assert stack.notes == ()


def test_the_first_image_of_a_file_opens_alone_with_a_note(tmp_path):
    path = save_images(tmp_path / "a.ome.tif")
    stack = read_stack(path)
    np.testing.assert_array_equal(np.asarray(stack.data), STACK)
    assert stack.identity.name == "a"
    assert stack.notes == ("a.ome.tif holds 3 images: the first was read.",)
    with pytest.raises(InputError, match=r"3 fields \(a_0, a_1, a_2\): open all with"):
        read_stack(tmp_path)


def test_images_that_are_given_twice_are_listed_once(tmp_path):
    path = save_images(tmp_path / "a.ome.tif")
    assert len(find_fields([path, tmp_path]).fields) == 3


def test_images_over_files_of_several_images(tmp_path):
    """A file that was full ends in the midst of an image, and the next one goes on."""
    names = ["m_0.ome.tif", "m_1.ome.tif"]
    places = [[(0, 0), (0, 1)], [(0, 2), (1, 0)], [(1, 1), (1, 2)]]
    images = "".join(
        pixels([entry(names[file], page, Z=z) for z, (file, page) in enumerate(held)], 2)
        for held in places
    )
    first = save(tmp_path / names[0], STACK[:3], images)
    second = save(tmp_path / names[1], STACK[:3] + 5, images)
    expected = [STACK[:2], np.stack([STACK[2], STACK[0] + 5]), STACK[1:3] + 5]
    for opened in (tmp_path, [first, second], [second, first]):
        found = find_fields(opened)
        assert found.problems == ()
        fields = {source.identity.name: source.open() for source in found.fields}
        assert sorted(fields) == ["m_0_0", "m_1", "m_1_2"]
        for name, data in zip(("m_0_0", "m_1", "m_1_2"), expected, strict=True):
            np.testing.assert_array_equal(np.asarray(fields[name].data), data)
            assert fields[name].notes == ()


def test_planes_that_are_first_of_several_images_are_told(tmp_path):
    for plane in range(3):
        save_images(tmp_path / f"s_z{plane}.ome.tif", count=2, planes=1)
    found = find_fields(tmp_path)
    assert [source.open().shape[0] for source in found.fields] == [3]
    assert len(found.left_out) == 3
    assert "s_z0.ome.tif holds 2 images: the first was read." in found.left_out


@pytest.mark.parametrize("as_series", [False, True])
def test_a_file_that_is_left_out_was_not_read_in_part(tmp_path, as_series):
    save_images(tmp_path / "dapi.ome.tif", count=2, planes=1)
    for plane in STACK if as_series else ():
        tifffile.imwrite(tmp_path / f"a_z{len(list(tmp_path.iterdir()))}.tif", plane)
    if not as_series:
        tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, metadata={"axes": "ZYX"})
    found = find_fields(tmp_path)
    assert [source.open().shape[0] for source in found.fields] == [4]
    assert found.left_out == ()
    assert not any("was read" in problem for problem in found.problems)


def test_positions_of_one_plane_in_one_file(tmp_path):
    path = save_images(tmp_path / "a.ome.tif", planes=1)
    for opened in (path, tmp_path):
        found = find_fields(opened)
        assert [source.identity.name for source in found.fields] == ["a_0", "a_1", "a_2"]
        np.testing.assert_array_equal(found.fields[2].open().data[0], STACK[0] + 2)
        assert found.problems == ()
