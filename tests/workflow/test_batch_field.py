"""A field beside other programs, and which field counts as finished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_fluorgen.io import find_fields, results
from napari_fluorgen.io.run_record import LOCK_FILE, read_record, update_run
from napari_fluorgen.staining import TileDone
from napari_fluorgen.workflow import StainRequest, drain, stain_batch

SETTINGS = {"model": "tiny", "device": "cpu", "precision": "float32"}
REQUEST = StainRequest.build(**SETTINGS)


@pytest.fixture
def begin(model):
    def begin(source: Path, folder: Path, request=REQUEST, **options: Any):
        return stain_batch(find_fields(source), request, folder, model=model, **options)

    return begin


def write(path: Path, planes: np.ndarray, size_um: float = 0.325, spacing_um: float = 2.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(
        path,
        planes,
        imagej=True,
        resolution=(1 / size_um, 1 / size_um),
        metadata={"axes": "ZYX", "unit": "um", "spacing": spacing_um},
    )
    return path


@pytest.mark.parametrize("format", results.FORMATS)
@pytest.mark.parametrize("options", [{}, {"resume": True}, {"overwrite": True}])
def test_two_programs_do_not_stain_fields_of_one_name_at_once(
    begin, field_of, tmp_path, format, options
) -> None:
    first = write(tmp_path / "a" / "f.tif", field_of(1))
    other = write(tmp_path / "b" / "f.tif", field_of(2))
    out = tmp_path / "out"
    under_way = begin(first, out, format=format, **options)
    while not isinstance(next(under_way), TileDone):
        pass
    late = drain(begin(other, out, format=format, **options))
    assert late.failed == ("f",)
    assert f"'f' is being stained into {out} by another program" in late.reasons["f"]
    assert drain(under_way).done == ("f",)
    assert [path.name for path in out.glob(".*")] == [LOCK_FILE]
    drain(begin(first, tmp_path / "alone", format=format))
    found, alone = (results.read_field(folder, "f") for folder in (out, tmp_path / "alone"))
    np.testing.assert_array_equal(found.images["lipids"], alone.images["lipids"])
    assert found.provenance["input"]["source"] == str(first)


@pytest.mark.parametrize("options", [{}, {"resume": True}])
def test_a_stopped_run_leaves_the_field_to_others(begin, stack_file, tmp_path, options) -> None:
    under_way = begin(stack_file, tmp_path / "out", **options)
    while not isinstance(next(under_way), TileDone):
        pass
    under_way.close()
    assert not (tmp_path / "out").exists()
    assert drain(begin(stack_file, tmp_path / "out", **options)).done == ("field",)


def test_resume_keeps_fields_whose_record_says_less_of_the_model(
    begin, stack_file, tmp_path
) -> None:
    out = tmp_path / "out"
    drain(begin(stack_file, out))
    record = read_record(out, "field")
    del record["model"]["nuclei"]
    update_run(out, {"field": record})
    assert drain(begin(stack_file, out, resume=True)).skipped == ("field",)


@pytest.mark.parametrize("changed", [{"size_um": 0.4}, {"spacing_um": 1.0}])
def test_resume_does_fields_again_whose_scale_was_corrected(
    begin, field_of, tmp_path, changed
) -> None:
    source, out = tmp_path / "f.tif", tmp_path / "out"
    drain(begin(write(source, field_of(1)), out))
    write(source, field_of(1), **changed)
    assert drain(begin(source, out, resume=True)).done == ("f",)
    assert drain(begin(source, out, resume=True)).skipped == ("f",)
    scale = results.read_field(out, "f").provenance["input"]
    now = find_fields(source).fields[0].open()
    assert scale["pixel_size_um"] == pytest.approx(now.pixel_size_um)
    assert scale["z_um"] == pytest.approx(now.z_um)


def test_resume_counts_no_noise_and_no_pixel_size_that_is_not_used(
    begin, field_of, tmp_path
) -> None:
    source, out = tmp_path / "f.tif", tmp_path / "out"
    drain(begin(write(source, field_of(1)), out))
    write(source, field_of(1), size_um=0.325 * (1 + 1e-6), spacing_um=2 + 1e-6)
    assert drain(begin(source, out, resume=True)).skipped == ("f",)
    given = StainRequest.build(**SETTINGS, pixel_size_um=0.325)
    assert drain(begin(source, out, given, resume=True)).done == ("f",)
    write(source, field_of(1), size_um=0.65)
    assert drain(begin(source, out, given, resume=True)).skipped == ("f",)
