"""Stained fields to tables by a program that stands in for CellProfiler."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from napari_fluorgen.errors import InputError, OutputError
from napari_fluorgen.measurement import export_cellprofiler
from napari_fluorgen.stack import FieldIdentity, StainedField
from napari_fluorgen.workflow.measuring_cellprofiler import PROJECT, measure_with_cellprofiler

PIPELINE = "fluorgen.cppipe"


@pytest.fixture
def field():
    labels = np.zeros((40, 48), np.uint32)
    labels[10:20, 10:20] = 1
    counts = np.full(labels.shape, 500, np.uint16)
    return StainedField(
        identity=FieldIdentity("a"),
        pixel_size_um=(0.325, 0.325),
        images=dict.fromkeys(("nuclei", "lipids", "cytoplasm"), counts),
        nuclei_probability=(labels > 0).astype(np.float32),
        nuclei_labels=labels,
        p_values={},
        channel_files={},
    )


def measure(field, output, **options):
    steps = measure_with_cellprofiler([field], output, processes=1, **options)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def edit(path):
    path.write_text(path.read_text() + "\n# tuned for hours\n")
    return path.read_text()


def test_a_project_of_ours_is_made_anew(stand_in, field, tmp_path):
    export_cellprofiler([field], tmp_path / "out" / PROJECT)  # as `fluorgen demo` leaves it
    assert measure(field, tmp_path / "out").fields == ("a",)
    assert measure(field, tmp_path / "out", overwrite=True).fields == ("a",)


@pytest.mark.parametrize("name", ["tuned.cppipe", PIPELINE])
@pytest.mark.parametrize("named", [True, False])
def test_a_pipeline_tuned_in_the_project_is_kept(stand_in, field, tmp_path, name, named):
    output = tmp_path / "out"
    project = export_cellprofiler([field], output / PROJECT).folder
    own = project / name
    if name != PIPELINE:
        shutil.copy(project / PIPELINE, own)
    text = edit(own)
    with pytest.raises(OutputError, match=f"the first is {name}: move them away"):
        measure(field, output, overwrite=True, pipeline=own if named else None)
    assert own.read_text() == text


def test_the_pipeline_of_the_project_itself_may_be_named(stand_in, field, tmp_path):
    own = export_cellprofiler([field], tmp_path / "out" / PROJECT).pipeline
    assert measure(field, tmp_path / "out", pipeline=own).masks == {}


def test_a_pipeline_that_cannot_be_used_is_told_before_the_export(stand_in, field, tmp_path):
    with pytest.raises(InputError, match=r"gone\.cppipe cannot be read"):
        measure(field, tmp_path / "out", pipeline=tmp_path / "gone.cppipe")
    (tmp_path / "other.cppipe").write_text("CellProfiler Pipeline: x\n\nImages:[module_num:1|]\n")
    with pytest.raises(InputError, match="does not begin with LoadData"):
        measure(field, tmp_path / "out", pipeline=tmp_path / "other.cppipe")
    assert not (tmp_path / "out").exists()
