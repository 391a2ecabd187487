from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_fluorgen.errors import InputError, OutputError
from napari_fluorgen.measurement import export_cellprofiler
from napari_fluorgen.stack import FieldIdentity


def _rows(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_every_file_of_the_table_exists_and_holds_the_field(drawn_field, tmp_path):
    fields = [drawn_field("a"), drawn_field("b", site=2, seed=1)]
    summary = export_cellprofiler(iter(fields), tmp_path / "export")
    assert (summary.n_fields, summary.n_nuclei) == (2, 10)
    assert "fluorgen.cppipe" in summary.how_to_open
    rows = _rows(summary.load_data)
    assert len(rows) == 2
    for row, field in zip(rows, fields, strict=True):
        for key, file in row.items():
            if "FileName" in key:
                path = summary.folder / row[key.replace("FileName", "PathName")] / file
                assert path.is_file()
        image = tifffile.imread(summary.folder / "images" / row["Image_FileName_Bodipy"])
        np.testing.assert_array_equal(image, field.images["lipids"])
        assert image.dtype == np.uint16
        mask = tifffile.imread(summary.folder / "masks" / row["Image_ObjectsFileName_Nuclei"])
        np.testing.assert_array_equal(mask, field.nuclei_labels)
        assert mask.dtype == np.uint16
        name = row["Image_FileName_Confidence"]
        confidence = tifffile.imread(summary.folder / "confidence" / name)
        assert confidence.dtype == np.float32
    assert rows[1]["Metadata_Site"] == "2"
    assert not summary.load_data.read_bytes().startswith(b"\xef\xbb\xbf")
    assert "Default Input Folder" in (summary.folder / "README.txt").read_text()


def test_cellvoyager_names_stay(drawn_field, tmp_path):
    field = drawn_field("a")
    summary = export_cellprofiler([field], tmp_path / "export")
    written = {path.name for path in (summary.folder / "images").iterdir()}
    assert written == set(field.channel_files.values())


def test_objects_are_listed_with_label_and_confidence(drawn_field, tmp_path):
    field = drawn_field("a")
    gapped = replace(field, nuclei_labels=field.nuclei_labels * 7)
    summary = export_cellprofiler([gapped], tmp_path / "export")
    rows = _rows(summary.folder / "nuclei_objects.csv")
    assert [row["ObjectNumber"] for row in rows] == list("12345")
    assert [row["Label"] for row in rows] == ["7", "14", "21", "28", "35"]
    assert {row["Confidence_Decision"] for row in rows} == {"accept"}
    mask = tifffile.imread(summary.folder / "masks" / "a_Nuclei.tif")
    np.testing.assert_array_equal(mask, field.nuclei_labels)


def test_pipelines_are_well_formed(drawn_field, tmp_path):
    summary = export_cellprofiler([drawn_field()], tmp_path / "export")
    for name, table in (
        ("fluorgen.cppipe", "load_data.csv"),
        ("fluorgen_masks.cppipe", "load_data_masks.csv"),
    ):
        lines = (summary.folder / name).read_text().splitlines()
        modules = [line for line in lines if "module_num:" in line]
        assert f"ModuleCount:{len(modules)}" in lines
        assert f"    Name of the file:{table}" in lines
        assert "    Select images to measure:Hoechst, Bodipy, CellTrackerRed, Confidence" in lines
        for number, line in enumerate(modules, 1):
            assert f"[module_num:{number}|" in line
    # droplets of 0.8 to 12 µm at 0.325 µm a pixel
    text = summary.pipeline.read_text()
    assert "    Typical diameter of objects, in pixel units (Min,Max):2,37\n" in text


def test_fields_of_other_pixel_sizes_are_told(drawn_field, tmp_path):
    fields = [drawn_field("a"), replace(drawn_field("b", site=2), pixel_size_um=(0.65, 0.65))]
    assert export_cellprofiler(fields[:1], tmp_path / "one").notes == ()
    summary = export_cellprofiler(fields, tmp_path / "two")
    assert ["0.325 to 0.65 µm" in note for note in summary.notes] == [True]
    # the diameters are those of the first field
    text = summary.pipeline.read_text()
    assert "    Typical diameter of objects, in pixel units (Min,Max):2,37\n" in text


def test_without_confidence_everywhere_the_column_is_left_out(drawn_field, tmp_path):
    fields = [drawn_field("a"), drawn_field("b", site=2, confidence=False)]
    summary = export_cellprofiler(fields, tmp_path / "export")
    assert "Image_FileName_Confidence" not in _rows(summary.load_data)[0]
    assert "Confidence" not in summary.pipeline.read_text()


def test_names_without_an_instrument(drawn_field, tmp_path):
    field = replace(drawn_field(), identity=FieldIdentity("0042"), channel_files={})
    row = _rows(export_cellprofiler([field], tmp_path / "export").load_data)[0]
    assert row["Image_FileName_Hoechst"] == "0042_nuclei.tif"
    assert row["Metadata_Field"] == "field_0042"


def test_names_that_are_no_file_names(drawn_field, tmp_path):
    field = replace(drawn_field(), identity=FieldIdentity("day 1/B02: a"), channel_files={})
    row = _rows(export_cellprofiler([field], tmp_path / "export").load_data)[0]
    assert row["Image_FileName_Hoechst"] == "day 1_B02_ a_nuclei.tif"
    assert (tmp_path / "export" / "masks" / "day 1_B02_ a_Nuclei.tif").is_file()
    assert row["Metadata_Field"] == "day 1/B02: a"


def test_an_existing_folder_is_kept_unless_asked(drawn_field, tmp_path):
    folder = tmp_path / "export"
    folder.mkdir()
    export_cellprofiler([drawn_field("a")], folder)
    with pytest.raises(OutputError, match="exists"):
        export_cellprofiler([drawn_field("b")], folder)
    assert (folder / "masks" / "a_Nuclei.tif").is_file()
    export_cellprofiler([drawn_field("b")], folder, overwrite=True)
    assert not (folder / "masks" / "a_Nuclei.tif").exists()


def test_the_readme_keeps_results_out_of_the_folder(drawn_field, tmp_path):
    export_cellprofiler([drawn_field("a")], tmp_path / "export")
    assert " -o ../results\n" in (tmp_path / "export" / "README.txt").read_text(encoding="utf-8")


def test_overwriting_never_deletes_other_files(drawn_field, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="other files"):
        export_cellprofiler([drawn_field()], tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("float", "camera counts"),
        ("twice", "different names"),
        ("none", "no stained field"),
    ],
)
def test_a_failure_leaves_nothing(drawn_field, tmp_path, change, words):
    field = drawn_field()
    fields = {
        "float": [
            replace(field, images={k: v.astype(np.float32) for k, v in field.images.items()})
        ],
        "twice": [field, field],
        "none": [],
    }[change]
    with pytest.raises(InputError, match=words):
        export_cellprofiler(fields, tmp_path / "export")
    assert not list(tmp_path.iterdir())


def test_dropped_files_are_told_apart_by_their_names(drawn_field, tmp_path):
    stem = "AssayPlate_Greiner_#655090_B02_T0001F{site:03d}L01"
    fields = [drawn_field(stem.format(site=site), site=site) for site in (1, 2)]
    folder = export_cellprofiler(fields, tmp_path / "export").folder
    text = (folder / "fluorgen_window.cppipe").read_text()
    assert '(directory does endwith "images") (file does endwith "A02Z01C02.tif")' in text
    assert '(directory does endwith "masks") (file does endwith "_LipidDroplets.tif")' in text
    rows = _rows(folder / "metadata.csv")
    assert [(row["Field"], row["Site"]) for row in rows] == [
        (stem.format(site=1), "1"),
        (stem.format(site=2), "2"),
    ]


def test_without_telling_names_there_is_no_pipeline_for_dropped_files(drawn_field, tmp_path):
    folder = export_cellprofiler([drawn_field("other than its files")], tmp_path / "export").folder
    assert not (folder / "fluorgen_window.cppipe").exists()


@pytest.mark.parametrize("name", ["Nuclei.csv", "out/Image.csv", "masks/a_Nuclei_by_hand.tif"])
def test_what_cellprofiler_or_a_person_wrote_into_an_export_stays(drawn_field, tmp_path, name):
    folder = export_cellprofiler([drawn_field("a")], tmp_path / "export").folder
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("measured")
    with pytest.raises(OutputError, match=f"the first is {name}"):
        export_cellprofiler([drawn_field("b")], folder, overwrite=True)
    assert (folder / name).read_text() == "measured"
    assert (folder / "masks" / "a_Nuclei.tif").is_file()
    (folder / name).unlink()
    if name.startswith("out/"):
        (folder / "out").rmdir()
    export_cellprofiler([drawn_field("b")], folder, overwrite=True)
    assert not (folder / "masks" / "a_Nuclei.tif").exists()
