import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_fluorgen.errors import InputError
from napari_fluorgen.io import find_fields, read_stack

SHAPE = (11, 13)


def save(folder, name, value, shape=SHAPE, dtype=np.uint16):
    data = np.full(shape, value, dtype)
    if name.endswith(".png"):
        Image.fromarray(data).save(folder / name)
    else:
        tifffile.imwrite(folder / name, data)


def order(stack):
    return np.asarray(stack.data)[:, 0, 0].tolist()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_natural_order(tmp_path, suffix):
    for value in (10, 9, 2, 1, 11):
        save(tmp_path, f"field{value}{suffix}", value)
    stack = read_stack(tmp_path)
    assert order(stack) == [1, 2, 9, 10, 11]
    assert stack.data.dtype == np.uint16
    assert stack.z_um is None
    assert stack.identity.name == tmp_path.name


def test_heights_give_the_order(tmp_path):
    for value, name in enumerate(["fine-Z1341.95.png", "init-Z1327.60.png", "a-Z1362.00.png"]):
        save(tmp_path, name, value)
    save(tmp_path, "fl.png", 99)
    stack = read_stack(tmp_path)
    assert order(stack) == [1, 0, 2]
    assert stack.z_um == (1327.60, 1341.95, 1362.00)
    assert any("fl.png" in note for note in stack.notes)


@pytest.mark.parametrize(
    ("names", "heights"),
    [
        (["z-2.5.tif", "z0.0.tif", "z2.5.tif"], (-2.5, 0, 2.5)),
        (["s_z-10um.tif", "s_z0um.tif", "s_z10um.tif"], (-10, 0, 10)),
        (["s_Z=1.5um_x.tif", "s_Z=2.5um_x.tif"], (1.5, 2.5)),
        (["s_z01.tif", "s_z02.tif"], None),
        (["s_z-01.tif", "s_z-02.tif"], None),
        (["gfz1.5.tif", "gfz2.5.tif"], None),
        (["z0.tif", "z0.5.tif", "z1.tif", "z1.5.tif"], (0, 0.5, 1, 1.5)),
        (["a_z-1.5.tif", "a_z-1.tif", "a_z0.tif", "a_z1.tif"], (-1.5, -1, 0, 1)),
        ([f"a_z{height}.tif" for height in range(-3, 4)], tuple(range(-3, 4))),
        (["d_Z1341.95.tif", "d_Z1347.tif", "d_Z1349.95.tif"], (1341.95, 1347, 1349.95)),
        (["b_z9.tif", "a_z10.tif"], None),
        ([f"a_z{height}.tif" for height in (-4, -2, -1, 0, 1, 2, 4)], (-4, -2, -1, 0, 1, 2, 4)),
    ],
)
def test_which_numbers_are_heights(tmp_path, names, heights):
    for value, name in enumerate(names):
        save(tmp_path, name, value)
    stack = read_stack(tmp_path)
    assert stack.z_um == heights
    assert order(stack) == list(range(len(names)))


def test_a_field_of_heights_beside_one_of_numbers(tmp_path):
    for value, name in enumerate(["a_z1.tif", "a_z2.tif", "b_z1.tif", "b_z1.5.tif"]):
        save(tmp_path, name, value)
    found = find_fields(tmp_path)
    assert [source.open().z_um for source in found.fields] == [None, (1, 1.5)]


def test_planes_whose_names_are_not_understood_are_a_problem(tmp_path):
    for value, name in enumerate(["a_z--1.tif", "a_z0.tif", "a_z1.tif"]):
        save(tmp_path, name, value)
    found = find_fields(tmp_path)
    assert order(found.fields[0].open()) == [1, 2]
    assert len(found.problems) == 1
    assert "a_z--1.tif" in found.problems[0]
    assert found.left_out == found.problems


def test_a_field_that_lacks_a_plane_is_left_out(tmp_path):
    for field in "ab":
        for plane in (1, 2, 3, 4):
            save(tmp_path, f"{field}_z{plane}.tif", plane)
    (tmp_path / "b_z3.tif").unlink()
    found = find_fields(tmp_path)
    assert [source.identity.name for source in found.fields] == ["a"]
    assert found.left_out == found.problems
    assert f"{tmp_path}: field b lacks plane 3, so it is skipped" in found.left_out[0]
    for path in tmp_path.glob("a_*"):
        path.unlink()
    with pytest.raises(InputError, match="folder of its own, numbered without a gap, to read it"):
        read_stack(tmp_path)


def test_a_field_that_ends_early_is_read_from_a_folder_of_its_own(tmp_path):
    (tmp_path / "own").mkdir()
    for field in "abc":
        for plane in (1, 2, 3, 4):
            save(tmp_path, f"{field}_z{plane}.tif", plane)
    (tmp_path / "c_z4.tif").unlink()
    (problem,) = find_fields(tmp_path).problems
    assert "move it into a folder of its own to read it" in problem
    for path in tmp_path.glob("c_*"):
        path.rename(tmp_path / "own" / path.name)
    assert read_stack(tmp_path / "own").shape[0] == 3


def test_a_stray_copy_is_told(tmp_path):
    for name in ("a_z1.tif", "a_z2.tif", "a_z3.tif", "a_z3.1.tif"):
        save(tmp_path, name, 1)
    found = find_fields(tmp_path)
    stack = found.fields[0].open()
    assert (stack.shape[0], stack.z_um) == (3, None)
    assert "a_z3.1.tif" in found.left_out[0]


def test_fluorescence_and_masks_are_left_out(tmp_path):
    for value in range(3):
        save(tmp_path, f"z{value:02d}_PHASE.png", value)
    for name in ("MAXPROJ_DAPI.png", "cell_mask.tif", "preview.tif"):
        save(tmp_path, name, 99, shape=(5, 5))
    stack = read_stack(tmp_path)
    assert order(stack) == [0, 1, 2]
    assert "cell_mask.tif, MAXPROJ_DAPI.png, preview.tif" in stack.notes[0]


def test_several_fields_by_prefix(tmp_path):
    for field in (1, 2):
        for plane in (1, 2, 3):
            save(tmp_path, f"A01_s{field}_z{plane}.tif", 10 * field + plane)
    found = find_fields(tmp_path)
    assert [source.identity.name for source in found.fields] == ["A01_s1", "A01_s2"]
    assert order(found.fields[1].open()) == [21, 22, 23]
    with pytest.raises(InputError, match="2 fields"):
        read_stack(tmp_path)


def test_sites_with_heights_are_not_interleaved(tmp_path):
    for site, shift in ((1, 0.0), (2, 0.0), (10, 0.1)):
        for plane in range(3):
            save(tmp_path, f"s{site}_z{2.5 * plane + shift:.1f}.tif", 10 * site + plane)
    found = find_fields(tmp_path)
    assert [source.identity.name for source in found.fields] == ["s1", "s2", "s10"]
    assert order(found.fields[1].open()) == [20, 21, 22]
    assert found.fields[2].open().z_um == pytest.approx((0.1, 2.6, 5.1))


def test_sites_of_unlike_heights(tmp_path):
    for site in (1, 2):
        for plane in range(3):
            save(tmp_path, f"s{site}_z{2.5 * plane + 0.1 * site:.1f}.tif", 10 * site + plane)
    found = find_fields(tmp_path)
    assert [order(source.open()) for source in found.fields] == [[10, 11, 12], [20, 21, 22]]


def test_opera_planes(tmp_path):
    for field in (1, 2):
        for plane in (1, 2, 10):
            name = f"r02c03f{field:02d}p{plane:02d}-ch1sk1fk1fl1.tiff"
            save(tmp_path, name, 20 * field + plane)
    found = find_fields(tmp_path)
    assert [source.identity.name for source in found.fields] == ["r02c03f01", "r02c03f02"]
    assert order(found.fields[1].open()) == [41, 42, 50]


def test_one_opera_field_and_its_times(tmp_path):
    for time in (1, 2):
        for plane in (1, 2):
            save(tmp_path, f"r02c03f01p0{plane}-ch3sk{time}fk1fl1.tiff", 10 * time + plane)
    found = find_fields(tmp_path)
    assert [order(source.open()) for source in found.fields] == [[11, 12], [21, 22]]
    assert [source.identity.name for source in found.fields] == ["r02c03f01", "r02c03f01-sk2"]


@pytest.mark.parametrize(
    "names",
    [
        ("A01_bf.tif", "A02_bf.tif", "B01_bf.tif"),
        ("plate_B02.tif", "plate_B03.tif"),
        ("control.tif", "treated.tif"),
        ("a_site1.tif", "a_site2.tif"),
        ("a_1.tif", "b_2.tif"),
    ],
)
def test_wells_and_sites_without_planes_are_no_stack(tmp_path, names):
    for value, name in enumerate(names):
        save(tmp_path, name, value)
    found = find_fields(tmp_path)
    assert [order(source.open()) for source in found.fields] == [[v] for v in range(len(names))]
    notes = found.fields[0].open().notes
    assert any("file names tell no planes" in note for note in notes)
    assert any("only one plane" in note for note in notes)


def test_a_plane_twice_is_refused(tmp_path):
    for name in ("a_z1.tif", "a_z01.tif", "a_z2.tif"):
        save(tmp_path, name, 1)
    with pytest.raises(InputError, match=r"a_z0?1\.tif and a_z0?1\.tif are both plane 1"):
        read_stack(tmp_path)


def test_the_folder_one_stands_in_has_a_name(tmp_path, monkeypatch):
    for value in range(2):
        save(tmp_path, f"z{value}.tif", value)
    monkeypatch.chdir(tmp_path)
    assert read_stack(".").identity.name == tmp_path.name
    assert find_fields(".").fields[0].identity.name == tmp_path.name


def test_mixed_channels_are_refused(tmp_path):
    for channel in (1, 2):
        save(tmp_path, f"r03c03f03p01-ch{channel}sk1fk1fl1.tiff", channel)
    with pytest.raises(InputError, match="several channels"):
        read_stack(tmp_path)


def test_fluorescence_only_is_refused(tmp_path):
    save(tmp_path, "dapi.tif", 1)
    with pytest.raises(InputError, match="no brightfield planes"):
        read_stack(tmp_path)


def test_planes_of_different_shapes(tmp_path):
    save(tmp_path, "z1.png", 1)
    save(tmp_path, "z2.png", 1, shape=(11, 14))
    with pytest.raises(InputError, match=r"z2\.png has 11 × 14 pixels but z1\.png has 11 × 13"):
        read_stack(tmp_path)


def test_a_damaged_plane_stops_the_field(tmp_path):
    for value in range(3):
        save(tmp_path, f"z{value}.tif", value)
    (tmp_path / "z1.tif").write_text("text")
    with pytest.raises(InputError, match=r"z1\.tif cannot be read"):
        read_stack(tmp_path)


def test_colour_and_truncated_png(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="RGB"):
        read_stack(tmp_path / "a.png")
    save(tmp_path, "b.png", 5)
    content = (tmp_path / "b.png").read_bytes()
    for cut in range(1, len(content) - 1, 7):
        (tmp_path / "b.png").write_bytes(content[:cut])
        with pytest.raises(InputError, match="cannot be read"):
            read_stack(tmp_path / "b.png")


@pytest.mark.real_data
def test_sephace(shared):
    folder = shared / "data/sephace_brightfield/set1"
    stack = read_stack(folder, pixel_size_um=0.2)
    assert stack.shape == (6, 1024, 1344)
    assert stack.data.dtype == np.uint8
    assert stack.z_um == (1327.60, 1341.95, 1351.60, 1352.25, 1362.00, 1376.80)
    assert stack.pixel_size_um == (0.2, 0.2)
    assert any("fl.png" in note for note in stack.notes)
    assert len(find_fields(folder).fields) == 1


@pytest.mark.real_data
def test_isl(shared):
    imagecodecs = pytest.importorskip("imagecodecs")
    folder = shared / "data/isl_neurons_13z_A4"
    stack = read_stack(folder)
    assert stack.shape == (13, 1024, 1024)
    assert "MAXPROJ_DAPI_CONFOCAL.png" in stack.notes[0]
    for plane in (0, 9, 12):
        content = (folder / f"z{plane:02d}_PHASE_CONTRAST.png").read_bytes()
        np.testing.assert_array_equal(stack.data[plane], imagecodecs.png_decode(content))
