import os
import pickle
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import tifffile

from napari_fluorgen.errors import InputError
from napari_fluorgen.io import find_fields, read_stack
from napari_fluorgen.io.own_files import list_files

STACK = np.random.default_rng(1).integers(0, 255, (5, 12, 14)).astype(np.uint8)


def save(path, data=STACK, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, data, photometric="minisblack", **options)
    return path


def test_folder_of_stacks(tmp_path):
    for name in ("b10.tif", "b2.tif"):
        save(tmp_path / name)
    save(tmp_path / "overview.tif", STACK[0])
    (tmp_path / "broken.tif").write_text("text")
    (tmp_path / "readme.txt").write_text("text")
    found = find_fields(tmp_path)
    assert [source.identity.name for source in found.fields] == ["b2", "b10"]
    assert len(found.problems) == 2
    assert any("broken.tif" in problem for problem in found.problems)
    assert found.unreadable == ()
    assert len(found.left_out) == 1
    assert "broken.tif" in found.left_out[0]
    assert any("overview.tif" in problem for problem in found.problems)
    with pytest.raises(InputError, match="2 fields"):
        read_stack(tmp_path)


def test_numbers_of_shared_names_are_free(tmp_path):
    for name in ("1/a.tif", "2/a.tif", "3/a_2.tif", "4/a.tif"):
        save(tmp_path / name)
    found = find_fields([*sorted(tmp_path.iterdir()), tmp_path / "1"])
    assert [source.identity.name for source in found.fields] == ["a", "a_3", "a_2", "a_4"]
    assert [source.open().identity.name for source in found.fields] == ["a", "a_3", "a_2", "a_4"]


def test_plates_beside_stacks_are_said_to_be_left_out(tmp_path):
    save(tmp_path / "a.tif")
    save(tmp_path / "plate" / "P_B02_T0001F001L01A04Z01C04.tif", STACK[0])
    save(tmp_path / "masks" / "a.tif", STACK[0])
    found = find_fields(tmp_path)
    assert [source.identity.name for source in found.fields] == ["a"]
    assert len(found.problems) == 1
    assert "left out, folders beside images: plate;" in found.problems[0]


def test_folder_with_one_stack(tmp_path):
    save(tmp_path / "only.tif")
    stack = read_stack(tmp_path)
    assert stack.identity.name == "only"
    np.testing.assert_array_equal(np.asarray(stack.data), STACK)


def test_subfolders_are_searched(tmp_path):
    save(tmp_path / "day 1" / "a.tif")
    save(tmp_path / "day 2" / "deep" / "a.tif")
    (tmp_path / "empty").mkdir()
    found = find_fields(tmp_path)
    assert [source.identity.name for source in found.fields] == ["a", "a_2"]
    assert found.fields[1].open().identity.name == "a_2"
    assert found.problems == ()


def test_results_below_the_input_are_no_input(tmp_path):
    save(tmp_path / "day 1" / "a.tif")
    save(tmp_path / "out" / "a_nuclei.tif")
    save(tmp_path / "day 1" / "out" / "P_B02_T0001F001L01A04Z01C04.tif", STACK[0])
    for folder in ("out", "day 1/out"):
        (tmp_path / folder / "run.json").write_text('{"fields": {}}')
    found = find_fields(tmp_path)
    assert [source.identity.name for source in found.fields] == ["a"]
    assert found.problems == ()
    assert [source.identity.name for source in find_fields(tmp_path / "out").fields] == ["a_nuclei"]


def test_what_was_made_for_cellprofiler_is_no_input(tmp_path):
    save(tmp_path / "day 1" / "a.tif")
    for name in ("cp/images/a_lipids.tif", "cp/masks/a_Cells.tiff", "tables/masks/a_Cells.tiff"):
        save(tmp_path / name, STACK[0])
    save(tmp_path / "simulated" / "P_B02_T0001F001L01A04Z01C04.tif", STACK[0])
    (tmp_path / "cp" / "load_data.csv").touch()
    for folder in ("cp", "tables/masks", "simulated"):
        list_files(tmp_path / folder)
    found = find_fields(tmp_path)
    names = [source.identity.name for source in found.fields]
    assert names == ["a", "P_B02_T0001F001L01"]
    assert found.problems == ()


def test_bad_paths_are_listed_and_the_rest_is_found(tmp_path):
    good = save(tmp_path / "good.tif")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.tif").touch()
    paths = [tmp_path / "none.tif", good, tmp_path / "empty", tmp_path / "empty.tif", good]
    found = find_fields(paths)
    assert [source.identity.name for source in found.fields] == ["good"]
    assert len(found.problems) == 3
    assert found.unreadable == found.problems
    assert found.left_out == ()
    assert all("\n" not in problem for problem in found.problems)


def test_folder_without_images(tmp_path):
    with pytest.raises(InputError, match="holds no images"):
        read_stack(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="holds no images"):
        read_stack(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        read_stack(tmp_path / "none")


def test_locked_folders(tmp_path):
    locked = tmp_path / "locked"
    inside = save(locked / "a.tif")
    locked.chmod(0)
    try:
        if os.access(locked, os.R_OK):
            pytest.skip("this user may read anything")
        for path in (locked, inside):
            with pytest.raises(InputError, match="cannot be"):
                read_stack(path)
        assert len(find_fields([locked, inside]).problems) == 2
    finally:
        locked.chmod(0o700)


def test_sources_travel_to_other_processes(tmp_path):
    save(tmp_path / "a.tif", compression="lzw")
    found = pickle.loads(pickle.dumps(find_fields(tmp_path)))
    stack = pickle.loads(pickle.dumps(found.fields[0].open()))
    np.testing.assert_array_equal(np.asarray(stack.data), STACK)


def test_reading_works_without_the_optional_packages(tmp_path):
    """A training node has neither dask nor zarr, torch is not needed to read."""
    save(tmp_path / "a.tif", compression="zlib")
    code = (
        "import sys\n"
        "for name in ('dask', 'zarr', 'torch', 'openvino', 'napari', 'qtpy', 'bioimageio'):\n"
        "    sys.modules[name] = None\n"
        "import numpy as np\n"
        "from napari_fluorgen.io import find_fields, read_stack\n"
        f"assert np.asarray(read_stack({str(tmp_path / 'a.tif')!r}).data).sum() == {STACK.sum()}\n"
        f"assert len(find_fields({str(tmp_path)!r}).fields) == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))


def test_a_folder_of_microscope_files_says_what_to_do(tmp_path):
    for name in ("b.nd2", "a.CZI"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=r"Nikon ND2 and Zeiss CZI \(a\.CZI, b\.nd2\).*OME-TIFF"):
        read_stack(tmp_path)


def test_the_advice_on_several_fields_works(tmp_path):
    for name in ("a.tif", "b.tif"):
        save(tmp_path / name)
    with pytest.raises(InputError, match="2 fields") as caught:
        read_stack(tmp_path)
    assert "read_plate" not in str(caught.value)
    assert "napari_fluorgen.io.find_fields" in str(caught.value)
    assert str(tmp_path / "a.tif") in str(caught.value)
    assert read_stack(tmp_path / "a.tif").shape == STACK.shape


@pytest.mark.parametrize("size", [np.float32(0.25), np.int64(1), Fraction(1, 4)])
def test_any_real_number_is_a_pixel_size(tmp_path, size):
    stack = read_stack(save(tmp_path / "a.tif"), pixel_size_um=size)
    assert stack.pixel_size_um == (float(size), float(size))


@pytest.mark.real_data
def test_real_tiffs(shared):
    folder = shared / "data/formats_neubias"
    stack = read_stack(folder / "xyz_8bit__mitotic_plate_calibrated.tif")
    assert stack.shape == (6, 263, 263)
    assert stack.pixel_size_um == pytest.approx((0.085196, 0.085196), rel=1e-4)
    assert stack.z_um == pytest.approx((0, 3, 6, 9, 12, 15))
    np.testing.assert_array_equal(np.asarray(stack.data), tifffile.imread(stack.source))
    for name, words in {
        "xyc_16bit__cell_dna_mts_actin.tif": "3 channels",
        "xyzc_16bit__spots.tif": "17 planes × 2 channels",
        "xyz__multiple_images.czi": "Zeiss CZI.*OME-TIFF",
    }.items():
        with pytest.raises(InputError, match=words):
            read_stack(folder / name)


@pytest.mark.real_data
def test_real_lzw(shared):
    path = shared / "data/cellpainting_brightfield/r03c03f03p01-ch1sk1fk1fl1.tiff"
    stack = read_stack(path)
    assert stack.shape == (1, 1080, 1080)
    assert stack.pixel_size_um is None  # the tags say 64 µm, which no microscope has
    np.testing.assert_array_equal(stack.data[0], tifffile.imread(path))
    with pytest.raises(InputError, match="RGB"):
        read_stack(path.with_name("NucleiOutlines_BR00143976_C03_3.tiff"))
    with pytest.raises(InputError, match="several channels"):
        read_stack(path.parent)
