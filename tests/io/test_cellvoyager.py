import builtins
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from napari_fluorgen.errors import InputError, OutputError
from napari_fluorgen.io import find_fields, is_plate_folder, read_plate, read_stack
from napari_fluorgen.io.cellvoyager import parse_name
from napari_fluorgen.io.cellvoyager_write import write_metadata
from napari_fluorgen.stack import STAINS

PLATE = "AssayPlate_Greiner_#655090 new"
SHAPE = (8, 9)


def image(well, site, plane, channel):
    seed = [ord(c) for c in well] + [site, plane, channel]
    return np.random.default_rng(seed).integers(0, 65536, SHAPE).astype(np.uint16)


def name_of(well, site, plane=1, channel=4, plate=PLATE, time=1):
    return f"{plate}_{well}_T{time:04d}F{site:03d}L01A{channel:02d}Z{plane:02d}C{channel:02d}.tif"


def write_plate(folder, wells=("B02", "D04"), sites=(1, 2), planes=7, stains=True, without=()):
    folder.mkdir(exist_ok=True)
    for well in wells:
        for site in sites:
            images = [(plane, 4) for plane in range(1, planes + 1)]
            images += [(1, channel) for channel in (1, 2, 3)] if stains else []
            for plane, channel in images:
                name = name_of(well, site, plane, channel)
                if name not in without:
                    tifffile.imwrite(folder / name, image(well, site, plane, channel))
    return folder


def bts(tag, attributes, text=""):
    inner = " ".join(f'bts:{key}="{value}"' for key, value in attributes.items())
    return f"<bts:{tag} {inner}>{text}</bts:{tag}>"


def document(*parts):
    return (
        '<bts:Root xmlns:bts="http://www.yokogawa.co.jp/BTS/BTSSchema/1.0">'
        + "".join(parts)
        + "</bts:Root>"
    )


@given(
    plate=st.text(
        st.characters(blacklist_characters="/\\\n\r\0", blacklist_categories=["Cs"]), min_size=1
    ).filter(lambda text: text == text.strip()),
    well=st.from_regex(r"[A-Z]{1,2}[0-9]{2}", fullmatch=True),
    site=st.integers(1, 999),
    plane=st.integers(1, 99),
    channel=st.integers(1, 99),
    time=st.integers(1, 9999),
)
def test_names_are_read_from_the_right(plate, well, site, plane, channel, time):
    found = parse_name(name_of(well, site, plane, channel, plate, time))
    assert found is not None
    assert (found.plate, found.well, found.site) == (plate, well, site)
    assert (found.plane, found.channel, found.timepoint) == (plane, channel, time)


def test_the_name_of_the_specification():
    found = parse_name("AssayPlate_Greiner_#655090_D04_T0001F001L01A04Z01C04.tif")
    assert found is not None
    assert found.plate == "AssayPlate_Greiner_#655090"
    assert (found.well, found.action, found.plane, found.channel) == ("D04", 4, 1, 4)
    assert found.stem == "AssayPlate_Greiner_#655090_D04_T0001F001L01"
    assert found.sibling(1, 1, 1) == "AssayPlate_Greiner_#655090_D04_T0001F001L01A01Z01C01.tif"
    for other in ("image.tif", "D04_T0001F001L01A04Z01C04.tif", "a_D04_T0001F001L01A04Z01C04.png"):
        assert parse_name(other) is None


def test_fields_are_grouped(tmp_path):
    plate = read_plate(write_plate(tmp_path))
    assert (plate.name, len(plate), plate.notes) == (PLATE, 4, ())
    assert plate.wells == ("B02", "D04")
    assert plate.sites("D04") == (1, 2)
    stack = plate.read("D04", 2)
    assert stack.shape == (7, *SHAPE)
    for plane in range(7):
        np.testing.assert_array_equal(stack.data[plane], image("D04", 2, plane + 1, 4))
    for number, stain in enumerate(STAINS, start=1):
        np.testing.assert_array_equal(stack.truth[stain], image("D04", 2, 1, number))
        assert stack.channel_files[stain] == name_of("D04", 2, 1, number)
    assert stack.identity.name == f"{PLATE}_D04_T0001F002L01"
    assert (stack.identity.plate, stack.identity.well, stack.identity.site) == (PLATE, "D04", 2)
    assert [s.identity.site for s in plate] == [1, 2, 1, 2]
    with pytest.raises(InputError, match="no well Z99"):
        plate.read("Z99", 1)


def test_names_of_stains_are_made_up_where_there_is_no_truth(tmp_path):
    stack = next(iter(read_plate(write_plate(tmp_path, stains=False))))
    assert stack.truth == {}
    assert stack.channel_files["lipids"] == name_of("B02", 1, 1, 2)


def test_holes_are_skipped_and_listed(tmp_path):
    without = [name_of("B02", 1, 3), name_of("B02", 1, 7)]
    without += [name_of("D04", 2, plane, 4) for plane in range(1, 8)]
    without += [name_of("D04", 2, 1, channel) for channel in (1, 2, 3)]
    plate = read_plate(write_plate(tmp_path, without=without))
    assert [(s.identity.well, s.identity.site) for s in plate] == [("B02", 2), ("D04", 1)]
    assert any("F001L01" in note and "Z03, Z07" in note for note in plate.notes)
    assert "Well D04 lacks the sites 2." in plate.notes
    with pytest.raises(InputError, match="Z03, Z07"):
        plate.read("B02", 1)
    assert plate.read("B02", 1, allow_missing=True).shape == (5, *SHAPE)
    found = find_fields(tmp_path)
    assert len(found.fields) == 2
    assert found.problems == plate.notes


def test_a_gap_in_the_only_field(tmp_path):
    write_plate(tmp_path, wells=("B02",), sites=(1,), without=[name_of("B02", 1, 3)])
    with pytest.raises(InputError, match="Z03 are missing"):
        read_stack(tmp_path)
    assert read_plate(tmp_path).read("B02", 1, allow_missing=True).shape == (6, *SHAPE)


def test_a_plane_that_no_field_has(tmp_path):
    without = [name_of(well, site, 1) for well in ("B02", "D04") for site in (1, 2)]
    plate = read_plate(write_plate(tmp_path, without=without))
    assert [stack.shape[0] for stack in plate] == [6] * 4
    assert plate.notes == ("No field has Z01.",)


def test_written_metadata_is_read_back(tmp_path):
    write_plate(tmp_path, wells=("B02",), sites=(1, 2))
    heights = (-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0)
    write_metadata(tmp_path, pixel_size_um=(0.325, 0.25), z_um=heights)
    with pytest.raises(OutputError, match="exists already"):
        write_metadata(tmp_path, pixel_size_um=(1, 1), z_um=heights)
    for stack in read_plate(tmp_path):
        assert stack.pixel_size_um == (0.325, 0.25)
        assert stack.z_um == heights
        assert stack.notes == ()


def test_a_field_with_stains_only_is_listed(tmp_path):
    write_plate(tmp_path, without=[name_of("B02", 1, plane, 4) for plane in range(1, 8)])
    plate = read_plate(tmp_path)
    assert len(plate) == 3
    with pytest.raises(InputError, match="Z01"):
        plate.read("B02", 1)


def test_a_damaged_file_costs_one_field(tmp_path):
    write_plate(tmp_path)
    (tmp_path / name_of("B02", 1, 3)).write_bytes(b"")
    tifffile.imwrite(tmp_path / name_of("B02", 2, 3), np.zeros((4, 4), np.uint16))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert len(list(read_plate(tmp_path))) == 2
    assert len(caught) == 2
    found = find_fields(tmp_path)
    with pytest.raises(InputError, match=r"Z03C04\.tif is empty"):
        found.fields[0].open()
    with pytest.raises(InputError, match="one shape"):
        found.fields[1].open()
    assert found.fields[2].open().identity == found.fields[2].identity


def test_a_damaged_truth_costs_that_stain(tmp_path):
    write_plate(tmp_path)
    (tmp_path / name_of("B02", 1, 1, 2)).write_bytes(b"nonsense")
    stack = read_plate(tmp_path).read("B02", 1)
    assert set(stack.truth) == {"nuclei", "cytoplasm"}
    assert "lipids" in stack.notes[0]


def test_metadata(tmp_path):
    write_plate(tmp_path, wells=("B02",), sites=(1,))
    pixel = {"VerticalPixelDimension": 0.4, "HorizontalPixelDimension": 0.3}
    detail = document(
        bts("MeasurementChannel", {"Ch": 1} | pixel | {"VerticalPixelDimension": 9}),
        bts("MeasurementChannel", {"Ch": 4} | pixel),
    )
    (tmp_path / "MeasurementDetail.mrf").write_text(detail, encoding="utf-8-sig")
    records = [
        bts("MeasurementRecord", {"Type": "IMG", "Z": -6 + 2 * z, "Ch": 4}, name_of("B02", 1, z))
        for z in range(1, 8)
    ]
    (tmp_path / "MeasurementData.mlf").write_text(document(*records))
    stack = read_stack(tmp_path)
    assert stack.pixel_size_um == (0.4, 0.3)
    assert stack.z_um == (-4, -2, 0, 2, 4, 6, 8)
    (tmp_path / "MeasurementData.mlf").write_text(document(*records)[:-40])
    plate = read_plate(tmp_path)
    assert any("MeasurementData.mlf could not be read" in note for note in plate.notes)
    assert plate.read("B02", 1).z_um is None


def test_the_lamp_tells_the_brightfield_channel(tmp_path):
    for plane in (1, 2, 3):
        tifffile.imwrite(tmp_path / name_of("B02", 1, plane, 5), image("B02", 1, plane, 5))
        tifffile.imwrite(tmp_path / name_of("B02", 1, plane, 4), image("B02", 1, plane, 4))
    settings = document(
        bts("LightSource", {"Name": "Lamp", "Type": "Lamp"}),
        bts("LightSource", {"Name": "405nm", "Type": "Laser"}),
        bts("Channel", {"Ch": 4}, bts("LightSourceName", {}, "405nm")),
        bts("Channel", {"Ch": 5}, bts("LightSourceName", {}, "Lamp")),
    )
    assert read_plate(tmp_path).read("B02", 1).data[0, 0, 0] == image("B02", 1, 1, 4)[0, 0]
    (tmp_path / "settings.mes").write_text(settings)
    plate = read_plate(tmp_path)
    assert any("C05 was read as brightfield" in note for note in plate.notes)
    np.testing.assert_array_equal(plate.read("B02", 1).data[2], image("B02", 1, 3, 5))
    assert read_plate(tmp_path, brightfield_channel=4).read("B02", 1).data.shape == (3, *SHAPE)


def test_no_brightfield(tmp_path):
    tifffile.imwrite(tmp_path / name_of("B02", 1, 1, 1), image("B02", 1, 1, 1))
    with pytest.raises(InputError, match="expected planes of C04, found C01"):
        read_plate(tmp_path)


def test_other_files_are_listed(tmp_path):
    write_plate(tmp_path, wells=("B02",), sites=(1,))
    tifffile.imwrite(tmp_path / "overview.tif", np.zeros((4, 4), np.uint8))
    tifffile.imwrite(tmp_path / "SC_BP445-45_20x_M01_CH01.tif", np.zeros((4, 4), np.uint8))
    (tmp_path / "._hidden_D04_T0001F001L01A04Z01C04.tif").write_bytes(b"")
    plate = read_plate(tmp_path)
    assert plate.notes == ("Left out, not named as images of the plate: overview.tif.",)


def test_time_points(tmp_path):
    for time in (1, 2):
        tifffile.imwrite(tmp_path / name_of("B02", 1, time=time), image("B02", 1, time, 4))
    plate = read_plate(tmp_path)
    assert [s.identity.timepoint for s in plate] == [1, 2]
    stack = plate.read("B02", 1, timepoint=2)
    np.testing.assert_array_equal(stack.data[0], image("B02", 1, 2, 4))
    with pytest.raises(InputError, match="site 1 at time point 3"):
        plate.read("B02", 1, timepoint=3)


def test_a_time_point_with_missing_planes_does_not_close_its_site(tmp_path):
    for time, plane in ((1, 1), (2, 1), (2, 2)):
        name = name_of("B02", 1, plane, time=time)
        tifffile.imwrite(tmp_path / name, image("B02", 1, plane, time))
    plate = read_plate(tmp_path)
    assert plate.sites("B02") == (1,)
    assert [entry.identity.timepoint for entry in plate.entries("B02")] == [2]
    assert plate.read("B02", 1).identity.timepoint == 2
    assert plate.read("B02", 1, allow_missing=True).identity.timepoint == 1
    with pytest.raises(InputError, match="Z02 are missing"):
        plate.read("B02", 1, timepoint=1)


def test_a_plane_opens_its_field(tmp_path):
    write_plate(tmp_path)
    stack = read_stack(tmp_path / name_of("D04", 1, 5))
    assert stack.shape == (7, *SHAPE)
    assert stack.identity.well == "D04"
    found = find_fields(sorted(tmp_path.glob("*D04*F001*.tif")))
    assert [source.identity for source in found.fields] == [stack.identity]


def test_no_plate(tmp_path):
    assert not is_plate_folder(tmp_path)
    assert not is_plate_folder(tmp_path / "none")
    with pytest.raises(InputError, match="no CellVoyager images"):
        read_plate(tmp_path)
    with pytest.raises(InputError, match="not a folder"):
        read_plate(tmp_path / "none")
    write_plate(tmp_path, wells=("B02",), sites=(1,))
    assert is_plate_folder(tmp_path)
    assert not is_plate_folder(tmp_path / name_of("B02", 1))


def test_indexing_opens_no_image(tmp_path, monkeypatch):
    """5,000 empty files are indexed by their names alone."""
    for site in range(1, 501):
        for channel, plane in [(4, z) for z in range(1, 8)] + [(c, 1) for c in (1, 2, 3)]:
            (tmp_path / name_of("B02", site, plane, channel)).touch()

    def forbidden(*args, **kwargs):
        raise AssertionError(f"opened {args[0]}")

    monkeypatch.setattr(builtins, "open", forbidden)
    monkeypatch.setattr(Path, "open", forbidden)
    monkeypatch.setattr(tifffile, "TiffFile", forbidden)
    assert len(read_plate(tmp_path)) == 500
    assert len(find_fields(tmp_path).fields) == 500


@pytest.mark.real_data
def test_a_real_plate(shared):
    folder = next((shared / "data/yokogawa_cv8000_metadata").glob("CV8000*"))
    assert is_plate_folder(folder)
    with pytest.raises(InputError, match="no brightfield channel"):
        read_plate(folder)  # all its channels are fluorescence
    plate = read_plate(folder, brightfield_channel=1)
    assert len(plate) == 12
    assert plate.wells == ("D08", "E03", "F08")
    assert plate.sites("E03") == (1, 2, 3, 4)
    assert plate.notes == ()
    stack = plate.read("E03", 2)
    assert stack.shape == (4, 2000, 2000)
    assert stack.pixel_size_um == (0.325, 0.325)
    assert stack.z_um == (0, 3, 6, 9)
    assert not np.asarray(stack.data[0]).any()  # its pixels are blank


def test_where_no_field_is_whole_the_missing_planes_are_the_reason(tmp_path):
    folder = write_plate(tmp_path / "plate", wells=("B02",), sites=(1,), stains=False)
    (folder / "MeasurementData.mlf").write_text("damaged")
    (folder / name_of("B02", 1, 4)).unlink()
    with pytest.raises(InputError, match="planes Z04 are missing"):
        read_stack(folder)


def test_a_surplus_plane_does_not_cost_the_other_fields(tmp_path):
    write_plate(tmp_path)
    tifffile.imwrite(tmp_path / name_of("D04", 1, 8), image("D04", 1, 8, 4))
    plate = read_plate(tmp_path)
    assert [stack.shape[0] for stack in plate] == [7] * 4
    assert plate.notes == ()
    assert "F001L01: Z08 left out" in plate.read("D04", 1).notes[0]
    assert plate.read("B02", 1).notes == ()


def test_fields_that_each_lost_another_plane_are_all_skipped(tmp_path):
    without = [name_of("B02", site, site) for site in (1, 2, 3)]
    plate = read_plate(write_plate(tmp_path, ("B02",), (1, 2, 3), without=without))
    assert [entry.missing for entry in plate.fields] == [(1,), (2,), (3,)]


def test_of_two_actions_the_one_with_most_planes_is_the_series(tmp_path):
    write_plate(tmp_path, wells=("B02",))
    for site in (1, 2):
        single = name_of("B02", site).replace("A04Z", "A03Z")
        tifffile.imwrite(tmp_path / single, np.zeros(SHAPE, np.uint16))
    for stack in read_plate(tmp_path):
        np.testing.assert_array_equal(stack.data[0], image("B02", stack.identity.site, 1, 4))
        assert stack.shape[0] == 7
        assert "A03Z01C04.tif" in stack.notes[0]


def test_the_same_plane_with_two_endings(tmp_path):
    write_plate(tmp_path, wells=("B02",), sites=(1,))
    again = (tmp_path / name_of("B02", 1, 3)).with_suffix(".tiff")
    tifffile.imwrite(again, np.zeros(SHAPE, np.uint16))
    stack = read_stack(tmp_path)
    np.testing.assert_array_equal(stack.data[2], image("B02", 1, 3, 4))
    assert again.name in stack.notes[0]
