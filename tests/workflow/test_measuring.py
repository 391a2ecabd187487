from __future__ import annotations

import csv
from pathlib import Path

import pytest

from napari_fluorgen.errors import Cancelled, InputError, OutputError
from napari_fluorgen.io import find_fields, results
from napari_fluorgen.workflow import FieldStarted, StainRequest, drain, stain_batch
from napari_fluorgen.workflow.measuring import export_folder, list_stained, measure_folder


@pytest.fixture
def stained(plate, model, tmp_path):
    request = StainRequest.build(model="tiny", device="cpu", precision="float32")
    drain(stain_batch(find_fields(plate.folder), request, tmp_path / "out", model=model))
    return tmp_path / "out"


def read_csv(path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def nuclei_of(folder) -> int:
    names = results.list_fields(folder)
    return sum(int(results.read_field(folder, name).nuclei_labels.max()) for name in names)


def test_tables_have_a_row_for_each_nucleus_and_field(stained, tmp_path) -> None:
    events: list[FieldStarted] = []
    summary = measure_folder(stained, tmp_path / "tables", progress=events.append)
    rows, images = (read_csv(tmp_path / "tables" / f"{name}.csv") for name in ("Nuclei", "Image"))
    assert len(rows) == summary.objects["Nuclei"] == nuclei_of(stained)
    assert len(images) == len(summary.fields) == len(events) == 3
    assert {row["ImageNumber"] for row in images} == {"1", "2", "3"}


def test_export_has_every_field(stained, tmp_path) -> None:
    summary = export_folder(stained, tmp_path / "project")
    assert summary.n_fields == 3
    assert summary.n_nuclei == nuclei_of(stained)
    assert summary.pipeline.is_file()
    assert len(read_csv(summary.load_data)) == 3


def test_existing_tables_are_kept_unless_asked(stained, tmp_path) -> None:
    measure_folder(stained, tmp_path / "tables")
    with pytest.raises(OutputError, match="exists"):
        measure_folder(stained, tmp_path / "tables")
    measure_folder(stained, tmp_path / "tables", overwrite=True)


def test_stop_writes_nothing(stained, tmp_path) -> None:
    asked = iter([False, True])
    with pytest.raises(Cancelled):
        measure_folder(stained, tmp_path / "tables", should_stop=lambda: next(asked))
    assert not list(tmp_path.glob("tables/*"))


def test_folder_without_results_is_one_sentence(tmp_path) -> None:
    with pytest.raises(InputError, match="no stained field"):
        list_stained(tmp_path)
    with pytest.raises(InputError, match="not a folder"):
        list_stained(tmp_path / "missing")


def test_features_and_a_database_may_be_asked_for(stained, tmp_path) -> None:
    summary = measure_folder(
        stained, tmp_path / "tables", features="granularity", certain_only=False, database=True
    )
    assert tmp_path / "tables" / "fluorgen.db" in summary.files
    [image, *_] = read_csv(tmp_path / "tables" / "Image.csv")
    assert "Granularity_16_Bodipy" in image
    assert (Path(image["PathName_Hoechst"]) / image["FileName_Hoechst"]).is_file()
    text = (tmp_path / "tables" / "fluorgen_Nuclei.properties").read_text()
    assert "image_names = Hoechst,Bodipy,CellTrackerRed\n" in text
    assert not summary.notes


def test_analyst_is_told_to_show_no_ome_zarr(stack_file, model, tmp_path) -> None:
    request = StainRequest.build(model="tiny", device="cpu", precision="float32")
    out = tmp_path / "out"
    drain(stain_batch(find_fields(stack_file), request, out, model=model, format="ome-zarr"))
    (note,) = measure_folder(out, tmp_path / "tables", database=True).notes
    assert "1 of 1 fields are OME-Zarr" in note
    assert not measure_folder(out, tmp_path / "more").notes
