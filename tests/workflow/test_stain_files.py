from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_fluorgen.errors import InputError
from napari_fluorgen.workflow.evaluate import evaluate_folders
from napari_fluorgen.workflow.stain_files import find_stains

SETTINGS = """<?xml version="1.0"?>
<bts:MeasurementSetting xmlns:bts="http://www.yokogawa.co.jp/BTS/BTSSchema/1.0">
 <bts:LightSource bts:Name="lamp" bts:Type="Lamp"/>
 <bts:LightSource bts:Name="405nm" bts:Type="Laser"/>
 <bts:Channel bts:Ch="1"><bts:LightSourceName>lamp</bts:LightSourceName></bts:Channel>
 <bts:Channel bts:Ch="4"><bts:LightSourceName>405nm</bts:LightSourceName></bts:Channel>
</bts:MeasurementSetting>
"""


def add_planes(plate, field: int, channel: int) -> None:
    path = next(plate.folder.glob(f"*F{field:03d}*Z01C{channel:02d}.tif"))
    for plane in (2, 3):
        path.with_name(path.name.replace("Z01", f"Z{plane:02d}")).write_bytes(path.read_bytes())


def test_a_stain_of_several_planes_is_left_out_and_told(plate) -> None:
    add_planes(plate, 1, 1)
    add_planes(plate, 3, 1)
    notes: list[str] = []
    found = list(find_stains(plate.folder, notes).values())
    assert [set(field.images) for field in found] == [
        {"lipids", "cytoplasm"},
        {"nuclei", "lipids", "cytoplasm"},
        {"lipids", "cytoplasm"},
    ]
    assert notes == [
        f"C01 of {plate.folder} has 3 planes: no nuclei stain is read of 2 fields, the first is "
        "Assay_#1_D04_T0001F001L01."
    ]


@pytest.mark.parametrize("focus_series", [True, False])
def test_the_channel_that_the_lamp_lights_is_no_stain(plate, focus_series) -> None:
    (plate.folder / "assay.mes").write_text(SETTINGS)
    if focus_series:
        for field in (1, 2, 3):
            add_planes(plate, field, 1)
    notes: list[str] = []
    found = find_stains(plate.folder, notes)
    assert {stain for field in found.values() for stain in field.images} == {"lipids", "cytoplasm"}
    assert notes == [
        f"C01 of {plate.folder} is lit by the lamp: no nuclei stain is read of 3 fields, the "
        "first is Assay_#1_D04_T0001F001L01."
    ]


def test_only_labels_of_nuclei_are_those_of_nuclei(plate) -> None:
    (plate.folder / "labels").mkdir()
    first, second, third = find_stains(plate.folder)
    for name in (f"{first}_cytoplasm", f"{second}_nuclei", f"{second}_cytoplasm"):
        tifffile.imwrite(plate.folder / "labels" / f"{name}.tif", np.ones((96, 128), np.uint16))
    found = find_stains(plate.folder)
    assert found[first].labels is None
    assert found[second].labels == plate.folder / "labels" / f"{second}_nuclei.tif"
    assert found[third].labels is None


def test_a_folder_whose_stains_are_all_left_out_says_why(plate) -> None:
    for path in plate.folder.glob("*C0[23].tif"):
        path.unlink()
    (plate.folder / "assay.mes").write_text(SETTINGS)
    with pytest.raises(InputError, match=r"no stains: .* C01 of .* is lit by the lamp"):
        find_stains(plate.folder)


def test_what_is_left_out_on_either_side_reaches_the_scores(plate, tmp_path) -> None:
    predicted = tmp_path / "predicted"
    predicted.mkdir()
    for path in plate.folder.glob("*C0[123].tif"):
        (predicted / path.name).write_bytes(path.read_bytes())
    for field in (1, 2, 3):
        add_planes(plate, field, 1)
    lipids = next(predicted.glob("*F002*C02.tif"))
    lipids.with_name(lipids.name.replace("Z01", "Z02")).write_bytes(lipids.read_bytes())
    evaluation, _ = evaluate_folders(predicted, plate.folder, tmp_path / "scores")
    told = [note for note in evaluation.notes if "is read of" in note]
    assert [note.split(",")[0] for note in told] == [
        f"C01 of {plate.folder} has 3 planes: no nuclei stain is read of 3 fields",
        f"C02 of {predicted} has 2 planes: no lipids stain is read of 1 field",
    ]
    assert set(evaluation.stains.stains) == {"lipids", "cytoplasm"}
    assert evaluation.stains.stains["lipids"].fields == 2


def test_labels_are_never_inverted(tmp_path) -> None:
    labels = np.array([[0, 1], [2, 2]], np.uint16)
    (tmp_path / "labels").mkdir()
    for name in ("a_nuclei.tif", "labels/a_nuclei.tif"):
        tifffile.imwrite(tmp_path / name, labels, photometric="miniswhite")
    read = find_stains(tmp_path)["a"].read()
    np.testing.assert_array_equal(read.nuclei_labels, labels)
    np.testing.assert_array_equal(read.images["nuclei"], 65535 - labels)
