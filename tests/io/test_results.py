import json
import os
import stat
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_fluorgen.errors import InputError, OutputError
from napari_fluorgen.io import results, run_record
from napari_fluorgen.stack import STAINS, FieldIdentity, StainedField

STEM = "Assay Plate_#65_D04_T0001F002L01"
CV_FILES = {s: f"{STEM}A{i:02d}Z01C{i:02d}.tif" for i, s in enumerate(STAINS, start=1)}


def make_field(name="stack", shape=(30, 41), objects=3, **changes):
    rng = np.random.default_rng(3)
    labels = np.zeros(shape, np.uint32)
    labels.flat[:objects] = np.arange(1, objects + 1)
    values = {
        "identity": FieldIdentity(name),
        "pixel_size_um": (0.325, 0.25),
        "images": {s: rng.integers(0, 65536, shape).astype(np.uint16) for s in STAINS},
        "nuclei_probability": rng.random(shape, np.float32),
        "nuclei_labels": labels,
        "p_values": {h: rng.random(shape, np.float32) for h in ("nucleus", "background")},
        "provenance": {"model": {"name": "m"}, "messages": ["µm"]},
    }
    return StainedField(**(values | changes))


def make_table(objects=3):
    rng = np.random.default_rng(4)
    return {
        "label": np.arange(1, objects + 1, dtype=np.uint32),
        "probability_mean": rng.random(objects),
        "p_value": np.full(objects, np.nan),
        "confidence": rng.random(objects),
        "decision": np.array((["accept", "review", "reject"] * objects)[:objects], "<U6"),
        "reviewed": np.full(objects, "", "<U6"),
    }


def names(folder):
    found = (str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    return sorted(name for name in found if name != run_record.LOCK_FILE)


def assert_equal(a, b):
    assert (a.identity, a.pixel_size_um, a.provenance) == (
        b.identity,
        b.pixel_size_um,
        b.provenance,
    )
    assert dict(a.channel_files) == dict(b.channel_files)
    assert list(a.images) == list(b.images)
    assert a.p_values.keys() == b.p_values.keys()
    assert a.verdict == b.verdict
    assert a.nuclei.keys() == b.nuclei.keys()
    assert a.widths.keys() == b.widths.keys()
    for name, column in a.nuclei.items():
        assert column.dtype.kind == b.nuclei[name].dtype.kind
        np.testing.assert_array_equal(column, b.nuclei[name])
    for one, other in [
        *((a.widths[s], b.widths[s]) for s in a.widths),
        *((a.images[s], b.images[s]) for s in a.images),
        *((a.p_values[h], b.p_values[h]) for h in a.p_values),
        (a.nuclei_labels, b.nuclei_labels),
        (a.nuclei_probability, b.nuclei_probability),
    ]:
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("format", results.FORMATS)
def test_round_trip(tmp_path, format):
    fields = [make_field(), make_field("other", p_values={}, pixel_size_um=None)]
    for field in fields:
        results.write_field(field, tmp_path, format=format)
    assert results.list_fields(tmp_path) == ["other", "stack"]
    for field in fields:
        assert_equal(results.read_field(tmp_path, field.identity.name), field)


@pytest.mark.parametrize("format", results.FORMATS)
@pytest.mark.parametrize("objects", [0, 3])
def test_confidence_of_a_field_round_trips(tmp_path, format, objects):
    width = np.random.default_rng(5).integers(0, 65536, (30, 41)).astype(np.uint16)
    field = make_field(
        objects=objects,
        nuclei=make_table(objects),
        verdict="This stack does not look like it.",
        widths={"lipids": width, "cytoplasm": width[::-1]},
    )
    written = results.write_field(field, tmp_path, format=format)
    assert_equal(results.read_field(tmp_path, "stack"), field)
    table = tmp_path / "confidence/stack_nuclei.csv"
    assert table in written
    lines = table.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "label,probability_mean,p_value,confidence,decision,reviewed"
    assert len(lines) == 1 + objects
    results.write_field(make_field(), tmp_path, format=format, overwrite=True)
    assert not table.exists()
    assert results.read_field(tmp_path, "stack").widths == {}


def test_a_record_does_not_grow_with_the_nuclei(tmp_path):
    field = make_field(nuclei=make_table(), provenance={"messages": ["a [b],\n c", "d"], "x": []})
    results.write_field(field, tmp_path)
    assert "probability_mean" not in (tmp_path / "run.json").read_text(encoding="utf-8")
    assert results.read_field(tmp_path, "stack").provenance == field.provenance


def test_a_table_of_other_nuclei_is_refused(tmp_path):
    results.write_field(make_field(nuclei=make_table(4)), tmp_path)
    with pytest.raises(InputError, match=r"nuclei\.csv lists 4 nuclei, its outlines are of 3"):
        results.read_field(tmp_path, "stack")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda text: text.replace(",", ";"), "its first column is 'label;probability_mean"),
        (lambda text: text + "4,0.5\n", "line 5 has 2 columns, the first 6"),
        (lambda text: text.replace("\n1,", "\none,"), "'one'"),
        (lambda text: "", "its first column is ''"),
        (None, "No such file"),
    ],
)
def test_a_table_that_another_program_changed_is_told(tmp_path, change, found):
    results.write_field(make_field(nuclei=make_table()), tmp_path)
    table = tmp_path / "confidence/stack_nuclei.csv"
    text = table.read_text(encoding="utf-8")
    table.unlink()
    if change is not None:
        table.write_text(change(text), encoding="utf-8")
    with pytest.raises(InputError, match=rf"stack_nuclei\.csv cannot be read .*{found}.*: restore"):
        results.read_field(tmp_path, "stack")


def test_layout_of_tiff(tmp_path):
    written = results.write_field(make_field(), tmp_path)
    assert names(tmp_path) == [
        "confidence/stack_p-background.tif",
        "confidence/stack_p-nucleus.tif",
        "confidence/stack_probability.tif",
        "labels/stack_nuclei.tif",
        "run.json",
        "stack_cytoplasm.tif",
        "stack_lipids.tif",
        "stack_nuclei.tif",
    ]
    assert sorted(str(p.relative_to(tmp_path)) for p in written) == [
        n for n in names(tmp_path) if n != "run.json"
    ]
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert record["fields"]["stack"]["model"] == {"name": "m"}


def test_cellvoyager_naming_is_kept(tmp_path):
    identity = FieldIdentity(STEM, "Assay Plate_#65", "D04", 2)
    results.write_field(make_field(identity=identity, channel_files=CV_FILES), tmp_path)
    assert set(CV_FILES.values()) < set(names(tmp_path))
    assert f"labels/{STEM}_nuclei.tif" in names(tmp_path)


@pytest.mark.parametrize(("objects", "dtype"), [(65_535, np.uint16), (65_536, np.uint32)])
def test_masks_grow_with_their_objects(tmp_path, objects, dtype):
    field = make_field(shape=(300, 300), objects=objects)
    results.write_field(field, tmp_path)
    with tifffile.TiffFile(tmp_path / "labels/stack_nuclei.tif") as tif:
        page = tif.pages[0]
        assert page.dtype == dtype
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
    np.testing.assert_array_equal(
        results.read_field(tmp_path, "stack").nuclei_labels, field.nuclei_labels
    )
    from napari_fluorgen.io import read_stack

    assert read_stack(tmp_path / "labels/stack_nuclei.tif").pixel_size_um == pytest.approx(
        (0.325, 0.25), rel=1e-4
    )


def test_pixel_size_reaches_imagej(tmp_path):
    results.write_field(make_field(), tmp_path)
    with tifffile.TiffFile(tmp_path / "stack_nuclei.tif") as tif:
        assert tif.imagej_metadata["unit"] == "um"
        resolution = [tif.pages[0].tags[f"{a}Resolution"].value for a in "YX"]
    assert [b / a for a, b in resolution] == pytest.approx([0.325, 0.25], rel=1e-5)


@pytest.mark.parametrize("format", results.FORMATS)
def test_existing_results_are_kept(tmp_path, format):
    first, second = make_field(), make_field(provenance={"run": 2}, p_values={})
    results.write_field(first, tmp_path, format=format)
    with pytest.raises(OutputError, match="exists already"):
        results.write_field(second, tmp_path, format=format)
    assert_equal(results.read_field(tmp_path, "stack"), first)
    results.write_field(second, tmp_path, format=format, overwrite=True)
    assert_equal(results.read_field(tmp_path, "stack"), second)
    assert not [n for n in names(tmp_path) if "_p-" in n or "unfinished" in n]


@pytest.mark.parametrize("formats", [("tiff", "ome-zarr"), ("ome-zarr", "tiff")])
def test_another_format_replaces_the_first_only_when_asked(tmp_path, formats):
    first, second = make_field(), make_field(provenance={"run": 2})
    other = make_field("other")
    for field in (first, other):
        results.write_field(field, tmp_path, format=formats[0])
    (tmp_path / "notes.txt").write_text("mine")
    before = names(tmp_path)
    with pytest.raises(OutputError, match="exists already"):
        results.write_field(second, tmp_path, format=formats[1])
    assert names(tmp_path) == before
    assert_equal(results.read_field(tmp_path, "stack"), first)
    results.write_field(second, tmp_path, format=formats[1], overwrite=True)
    assert_equal(results.read_field(tmp_path, "stack"), second)
    assert_equal(results.read_field(tmp_path, "other"), other)
    alone = tmp_path.parent / f"{tmp_path.name}-alone"
    results.write_field(second, alone, format=formats[1])
    mine = [n for n in before if "other" in n or n in ("notes.txt", "run.json")]
    assert names(tmp_path) == sorted({*mine, *names(alone)})


def test_what_others_added_to_an_old_result_stays(tmp_path):
    (folder,) = results.write_field(make_field(), tmp_path, format="ome-zarr")
    (folder / "labels" / "by-hand").mkdir()
    results.write_field(make_field(), tmp_path, overwrite=True)
    assert (folder / "labels" / "by-hand").is_dir()
    assert (folder / "zarr.json").is_file()


@pytest.mark.parametrize("listed", ["../outside.ome.zarr", ".", "link.ome.zarr"])
def test_nothing_elsewhere_is_removed_whatever_the_record_says(tmp_path, listed):
    folder = tmp_path / "results"
    results.write_field(make_field(), folder)
    (outside,) = results.write_field(make_field("outside"), tmp_path, format="ome-zarr")
    (folder / "link.ome.zarr").symlink_to(outside, target_is_directory=True)
    record = run_record.read_run(folder)["stack"]
    record["result"]["files"]["field"] = listed
    run_record.update_run(folder, {"stack": record})
    kept = {*names(tmp_path)}
    results.write_field(make_field(), folder, overwrite=True)
    assert {*names(tmp_path)} == kept


def test_failure_half_way_leaves_nothing(tmp_path, monkeypatch):
    write = results.write_tiff
    done = []

    def full_disk(path, image, size):
        if len(done) == 2:
            raise OSError(28, "No space left on device")
        done.append(path)
        write(path, image, size)

    monkeypatch.setattr(results, "write_tiff", full_disk)
    with pytest.raises(OutputError, match="disk is full"):
        results.write_field(make_field(), tmp_path)
    assert names(tmp_path) == []
    assert results.list_fields(tmp_path) == []


@pytest.mark.parametrize("failing", ["write_tiff", "write_csv"])
def test_an_older_result_stays_whole_when_overwriting_fails(tmp_path, monkeypatch, failing):
    old = make_field(nuclei=make_table())
    results.write_field(old, tmp_path)
    before = names(tmp_path)

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results, failing, full_disk)
    new = replace(old, images={name: image // 2 for name, image in old.images.items()})
    with pytest.raises(OutputError, match="disk is full"):
        results.write_field(new, tmp_path, overwrite=True)
    assert names(tmp_path) == before
    assert_equal(results.read_field(tmp_path, "stack"), old)


def test_a_field_that_is_being_replaced_is_not_listed(tmp_path, monkeypatch):
    results.write_field(make_field(), tmp_path)
    update = run_record.update_run

    def killed(folder, records):
        if None not in records.values():
            raise KeyboardInterrupt
        update(folder, records)

    monkeypatch.setattr(results, "update_run", killed)
    with pytest.raises(KeyboardInterrupt):
        results.write_field(make_field(), tmp_path, overwrite=True)
    assert results.list_fields(tmp_path) == []


@pytest.mark.parametrize("mode", [stat.S_IREAD | stat.S_IEXEC, 0])
def test_locked_folder(tmp_path, mode):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(mode)
    try:
        if os.access(folder, os.W_OK):
            pytest.skip("this user may write anywhere")
        with pytest.raises(OutputError, match="not writable"):
            results.write_field(make_field(), folder)
    finally:
        folder.chmod(stat.S_IRWXU)


def test_damaged_results_say_so(tmp_path):
    results.write_field(make_field(), tmp_path)
    with pytest.raises(InputError, match="no result named 'x'"):
        results.read_field(tmp_path, "x")
    (tmp_path / "stack_lipids.tif").write_bytes(b"II*\0")
    with pytest.raises(InputError, match=r"stack_lipids\.tif"):
        results.read_field(tmp_path, "stack")
    (tmp_path / "stack_lipids.tif").unlink()
    with pytest.raises(InputError, match="does not exist"):
        results.read_field(tmp_path, "stack")
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"run\.json"):
        results.list_fields(tmp_path)


def test_names_are_made_safe(tmp_path):
    field = make_field("../up/a:b")
    for path in results.write_field(field, tmp_path / "out"):
        assert path.resolve().is_relative_to(tmp_path / "out")
    assert results.read_field(tmp_path / "out", "../up/a:b").identity == field.identity


def test_unknown_format(tmp_path):
    with pytest.raises(OutputError, match="ome-zarr"):
        results.write_field(make_field(), tmp_path, format="jpeg")


@pytest.mark.parametrize("shape", [(600, 601), (2100, 1301), (1024, 2049)])
def test_lower_levels_are_mean_and_nearest(tmp_path, shape):
    zarr = pytest.importorskip("zarr")
    rng = np.random.default_rng(4)
    image = rng.integers(0, 60000, shape, dtype=np.uint16)
    labels = rng.integers(0, 2000, shape, dtype=np.uint32)
    field = replace(
        make_field(shape=shape),
        images=dict.fromkeys(("nuclei", "lipids", "cytoplasm"), image),
        nuclei_labels=labels,
    )
    path = results.write_field(field, tmp_path, format="ome-zarr")[0]
    root = zarr.open_group(path, mode="r")
    level, index = image, 0
    while min(level.shape) > 256:
        even = np.pad(level, [(0, n % 2) for n in level.shape], mode="edge").astype(np.float64)
        rows, columns = even.shape
        level = np.rint(even.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3)))
        index += 1
        np.testing.assert_array_equal(root[str(index)][1], level)
        step = 2**index
        np.testing.assert_array_equal(root[f"labels/nuclei/{index}"][...], labels[::step, ::step])
    assert str(index + 1) not in root


def test_ome_zarr_metadata(tmp_path):
    zarr = pytest.importorskip("zarr")
    field = make_field(shape=(300, 520))
    (path,) = results.write_field(field, tmp_path, format="ome-zarr")
    root = zarr.open_group(path, mode="r")
    ome = root.attrs["ome"]
    assert root.metadata.zarr_format == 3
    assert ome["version"] == "0.5"
    (image,) = ome["multiscales"]
    assert [axis["name"] for axis in image["axes"]] == ["c", "y", "x"]
    assert [axis.get("unit") for axis in image["axes"]] == [None, "micrometer", "micrometer"]
    for index, dataset in enumerate(image["datasets"]):
        scale, shift = dataset["coordinateTransformations"]
        factor = 2**index
        assert scale["scale"] == pytest.approx([1, 0.325 * factor, 0.25 * factor])
        # Centres of the first pixels of all levels agree with the block that they average.
        centre = (np.arange(factor).mean()) * np.array(field.pixel_size_um)
        assert shift["translation"] == pytest.approx([0, *centre])
        assert root[dataset["path"]].metadata.dimension_names == ("c", "y", "x")
    assert root["labels"].attrs["ome"]["labels"] == ["nuclei"]
    assert "image-label" in root["labels/nuclei"].attrs["ome"]
    assert root["labels/nuclei/0"].dtype == np.uint16
