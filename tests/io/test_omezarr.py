import json

import numpy as np
import pytest

from napari_fluorgen.errors import InputError
from napari_fluorgen.io import find_fields, read_stack
from napari_fluorgen.io.results import write_field

zarr = pytest.importorskip("zarr")

STACK = np.random.default_rng(2).integers(0, 65536, (7, 30, 40)).astype(np.uint16)


def write_image(
    path, data=STACK, axes="zyx", version="0.5", unit="micrometer", size=(2.0, 0.3, 0.25)
):
    """An NGFF image made by hand, independent of the package's writer."""
    group = zarr.create_group(path, zarr_format=3 if version == "0.5" else 2)
    array = group.create_array(
        "s0", shape=data.shape, chunks=(1,) * (data.ndim - 2) + (16, 16), dtype=data.dtype
    )
    array[...] = data
    kinds = {"t": "time", "c": "channel"}
    described = [{"name": n, "type": kinds.get(n, "space")} for n in axes]
    for axis in described:
        if axis["type"] == "space" and unit:
            axis["unit"] = unit
    scale = [dict(zip("zyx", size, strict=True)).get(n, 1.0) for n in axes]
    multiscales = [
        {
            "axes": described,
            "datasets": [
                {"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
            ],
        }
    ]
    if version == "0.5":
        group.attrs["ome"] = {"version": version, "multiscales": multiscales}
    else:
        group.attrs["multiscales"] = [{"version": version, **multiscales[0]}]
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_image(tmp_path, version):
    path = write_image(tmp_path / "field.ome.zarr", version=version)
    stack = read_stack(path)
    assert stack.identity.name == "field"
    assert stack.pixel_size_um == (0.3, 0.25)
    assert stack.z_um == tuple(2.0 * i for i in range(7))
    np.testing.assert_array_equal(np.asarray(stack.data), STACK)
    np.testing.assert_array_equal(stack.data[3, 5:20, ::3], STACK[3, 5:20, ::3])
    np.testing.assert_array_equal(stack.data[:, 4], STACK[:, 4])


def test_axes_of_length_one_and_other_units(tmp_path):
    path = write_image(
        tmp_path / "a.zarr", STACK[None, None], "tczyx", unit="nanometer", size=(2000, 300, 250)
    )
    stack = read_stack(path)
    assert stack.pixel_size_um == pytest.approx((0.3, 0.25))
    assert stack.z_um[1] == pytest.approx(2)
    np.testing.assert_array_equal(np.asarray(stack.data), STACK)
    assert read_stack(write_image(tmp_path / "b.zarr", unit=None)).pixel_size_um is None


def test_one_plane(tmp_path):
    stack = read_stack(write_image(tmp_path / "a.zarr", STACK[0], "yx"))
    assert stack.shape == (1, 30, 40)
    assert "only one plane" in stack.notes[0]


def test_several_channels(tmp_path):
    path = write_image(tmp_path / "a.zarr", STACK[:2, None], "czyx")
    with pytest.raises(InputError, match="c = 2"):
        read_stack(path)


def test_bare_zarr_and_damage(tmp_path):
    zarr.create_group(tmp_path / "bare.zarr")
    with pytest.raises(InputError, match="without NGFF"):
        read_stack(tmp_path / "bare.zarr")
    path = write_image(tmp_path / "a.zarr")
    stack = read_stack(path)
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"] = "gone"
    (path / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(InputError, match="no OME-Zarr image") as caught:
        read_stack(path)
    assert "\n" not in str(caught.value)
    next((path / "s0" / "c").rglob("[0-9]")).rename(tmp_path / "lost")
    for file in (path / "s0" / "c").rglob("[0-9]"):
        if file.is_file():
            file.write_bytes(b"damage")
    with pytest.raises(InputError, match="cannot be read"):
        np.asarray(stack.data)


def test_plate(tmp_path):
    path = tmp_path / "plate.zarr"
    plate = zarr.create_group(path, zarr_format=3)
    wells = [
        {"path": "B/02", "rowIndex": 1, "columnIndex": 1},
        {"path": "D/4", "rowIndex": 3, "columnIndex": 3},
    ]
    plate.attrs["ome"] = {"version": "0.5", "plate": {"name": "P1", "wells": wells}}
    for well in ("B/02", "D/4"):
        group = plate.create_group(well)
        group.attrs["ome"] = {"version": "0.5", "well": {"images": [{"path": "0"}, {"path": "1"}]}}
        for site in "01":
            write_image(path / well / site)
    found = find_fields(path)
    assert [(s.identity.well, s.identity.site) for s in found.fields] == [
        ("B02", 1),
        ("B02", 2),
        ("D04", 1),
        ("D04", 2),
    ]
    stack = found.fields[3].open()
    assert stack.identity.name == "P1_D04_F002"
    np.testing.assert_array_equal(np.asarray(stack.data), STACK)
    with pytest.raises(InputError, match="4 fields"):
        read_stack(path)


def test_folder_of_zarrs(tmp_path):
    for name in ("b.zarr", "a.zarr"):
        write_image(tmp_path / name)
    assert [s.identity.name for s in find_fields(tmp_path).fields] == ["a", "b"]


def test_results_are_not_mistaken_for_stacks(tmp_path):
    from napari_fluorgen.stack import FieldIdentity, StainedField

    image = np.ones((9, 9), np.uint16)
    probability = np.ones((9, 9), np.float32)
    images = {"nuclei": image, "lipids": image, "cytoplasm": image}
    field = StainedField(FieldIdentity("x"), None, images, probability, image.astype(np.uint32))
    (path,) = write_field(field, tmp_path, format="ome-zarr")
    with pytest.raises(InputError, match="c = 3"):
        read_stack(path)


@pytest.mark.parametrize("wells", [[{}], "none", [{"path": 5}], [{"path": "A"}], 3])
def test_damaged_plate_metadata_is_one_problem(tmp_path, wells):
    group = zarr.create_group(tmp_path / "p.zarr", zarr_format=3)
    group.attrs["ome"] = {"version": "0.5", "plate": {"wells": wells}}
    found = find_fields(tmp_path / "p.zarr")
    assert not found.fields
    assert len(found.problems) == 1
    assert "p.zarr" in found.problems[0]


@pytest.mark.parametrize("transformations", ["scale", [{"type": "scale", "scale": "abc"}]])
def test_damaged_transformations_are_one_sentence(tmp_path, transformations):
    path = tmp_path / "a.zarr"
    write_image(path)
    group = zarr.open_group(path)
    metadata = group.attrs["ome"]
    metadata["multiscales"][0]["datasets"][0]["coordinateTransformations"] = transformations
    group.attrs["ome"] = metadata
    with pytest.raises(InputError, match=r"a\.zarr is no OME-Zarr image"):
        read_stack(path)


def write_raw(path, images):
    """The layout of bioformats2raw: numbered images and the OME-XML beside them."""
    root = zarr.create_group(path, zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    root.create_group("OME")
    for number in range(images):
        write_image(path / str(number), STACK + number, version="0.4")
    return path


def test_bioformats2raw_with_one_image(tmp_path):
    path = write_raw(tmp_path / "raw.zarr", 1)
    stack = read_stack(path)
    assert stack.identity.name == "raw"
    assert stack.pixel_size_um == (0.3, 0.25)
    np.testing.assert_array_equal(np.asarray(stack.data), STACK)


def test_bioformats2raw_with_several_images(tmp_path):
    path = write_raw(tmp_path / "raw.zarr", 11)
    found = find_fields(path)
    assert [s.identity.name for s in found.fields] == [f"raw_{number}" for number in range(11)]
    np.testing.assert_array_equal(np.asarray(found.fields[10].open().data), STACK + 10)
    with pytest.raises(InputError, match="11 fields") as caught:
        read_stack(path)
    assert str(path / "0") in str(caught.value)
    np.testing.assert_array_equal(np.asarray(read_stack(path / "1").data), STACK + 1)


def test_bioformats2raw_without_its_images(tmp_path):
    with pytest.raises(InputError, match="none of its images"):
        read_stack(write_raw(tmp_path / "raw.zarr", 0))


@pytest.mark.parametrize("damage", ["missing", "text", "metadata"])
def test_a_damaged_well_costs_no_other(tmp_path, damage):
    path = tmp_path / "plate.zarr"
    plate = zarr.create_group(path, zarr_format=3)
    wells = [{"path": "B/2"}, {"path": "B/3"}, {"path": "C/2"}]
    plate.attrs["ome"] = {"version": "0.5", "plate": {"name": "P1", "wells": wells}}
    for well in ("B/2", "B/3", "C/2"):
        broken = well == "B/3"
        if broken and damage == "missing":
            continue
        images = ["0"] if broken and damage == "metadata" else [{"path": "0"}]
        plate.create_group(well).attrs["ome"] = {"well": {"images": images}}
        write_image(path / well / "0")
        if broken and damage == "text":
            (path / well / "zarr.json").write_text("text")
    found = find_fields(path)
    assert [source.identity.well for source in found.fields] == ["B02", "C02"]
    assert len(found.problems) == 1
    assert "Well B03" in found.problems[0]
    np.testing.assert_array_equal(np.asarray(found.fields[1].open().data), STACK)
