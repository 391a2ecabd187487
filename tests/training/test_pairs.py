import shutil

import numpy as np
import pytest
import tifffile

from napari_fluorgen.errors import InputError
from napari_fluorgen.io import read_plate
from napari_fluorgen.io.results import file_stem, read_tiff, write_tiff
from napari_fluorgen.models import BackgroundScaling, StainRange
from napari_fluorgen.training.data import load_pairs
from napari_fluorgen.training.pairs import find_pairs

OUTPUTS = {
    stain: StainRange(minimum=0, maximum=20000) for stain in ("nuclei", "lipids", "cytoplasm")
}


def _load(folder, **options):
    return load_pairs(folder, BackgroundScaling(), OUTPUTS, 0.325, **options)


def _write_stack(path, data, pixel=0.325):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(
        path, np.asarray(data), imagej=True, resolution=(1 / pixel, 1 / pixel),
        metadata={"axes": "ZYX", "unit": "um", "spacing": 2.0},
    )  # fmt: skip


@pytest.fixture
def beside(pairs_folder, tmp_path):
    """The plate's two fields as files side by side."""
    folder = tmp_path / "beside"
    for number, stack in enumerate(read_plate(pairs_folder), start=1):
        _write_stack(folder / f"field{number}_brightfield.tif", stack.data)
        for stain, image in stack.truth.items():
            write_tiff(folder / f"field{number}_{stain}.tif", np.asarray(image), (0.325, 0.325))
        labels = read_tiff(pairs_folder / "labels" / f"{file_stem(stack.identity)}_nuclei.tif")
        write_tiff(folder / f"field{number}_nuclei-labels.tif", labels, None)
    return folder


@pytest.mark.parametrize("imagej", [False, True])
def test_labels_are_never_inverted(beside, imagej):
    """ImageJ writes masks so, and other programs imitate it."""
    path = beside / "field1_nuclei-labels.tif"
    labels = tifffile.imread(path)
    tifffile.imwrite(path, labels, photometric="miniswhite", imagej=imagej)
    np.testing.assert_array_equal(find_pairs(beside)[0].open()[1], labels)


def test_notes_on_stains_are_those_of_the_pair(beside):
    path = beside / "field1_lipids.tif"
    stain = tifffile.imread(path)
    tifffile.imwrite(path, 65535 - stain, photometric="miniswhite")
    stack, _ = find_pairs(beside)[0].open()
    np.testing.assert_array_equal(stack.truth["lipids"], stain)
    assert any("field1_lipids.tif: The file counts" in note for note in stack.notes)


def _assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.planes, other.planes)
        np.testing.assert_array_equal(one.labels, other.labels)
        assert one.stains.keys() == other.stains.keys()
        for stain, image in one.stains.items():
            np.testing.assert_array_equal(image, other.stains[stain])


def test_files_side_by_side_are_the_pairs_of_the_plate(pairs_folder, beside):
    pairs = _load(beside)
    assert [pair.name for pair in pairs] == ["field1", "field2"]
    _assert_same(pairs, _load(pairs_folder))


@pytest.mark.parametrize("suffix", ["", "_nuclei"])
def test_subfolders_are_the_same_pairs(beside, tmp_path, suffix):
    folder = tmp_path / "sub"
    for path in beside.iterdir():
        name, role = path.stem.split("_")
        role = "labels" if role.endswith("labels") else role
        (folder / role).mkdir(parents=True, exist_ok=True)
        end = suffix if role == "labels" else ""
        shutil.copy(path, folder / role / f"{name}{end}.tif")
    _assert_same(_load(folder), _load(beside))


def test_brightfield_may_be_a_folder_of_planes(beside):
    wanted = _load(beside)
    for number in (1, 2):
        path = beside / f"field{number}_brightfield.tif"
        planes = tifffile.imread(path)
        path.unlink()
        for z, plane in enumerate(planes, start=1):
            inside = beside / f"field{number}_brightfield" / f"z{z:02d}.tif"
            inside.parent.mkdir(exist_ok=True)
            write_tiff(inside, plane, (0.325, 0.325))
    _assert_same(_load(beside), wanted)


def test_one_stain_is_enough(beside):
    for path in [*beside.glob("*_lipids.tif"), *beside.glob("*_cytoplasm.tif")]:
        path.unlink()
    assert [set(pair.stains) for pair in _load(beside)] == [{"nuclei"}] * 2


def test_other_images_are_left_out_and_it_is_said(beside):
    write_tiff(beside / "overview.tif", np.zeros((8, 8), np.uint16), None)
    notes = []
    assert len(find_pairs(beside, notes.append)) == 2
    assert any("overview.tif" in note for note in notes)


def _without_stains(folder):
    for path in folder.glob("field2_*"):
        if not path.stem.endswith("brightfield"):
            path.unlink()


def _twice(folder):
    shutil.copy(folder / "field1_nuclei.tif", folder / "field1-nuclei.tif")


def _stack_as_stain(folder):
    shutil.copy(folder / "field1_brightfield.tif", folder / "field1_lipids.tif")


def _other_pixels(folder):
    data = tifffile.imread(folder / "field2_brightfield.tif")
    _write_stack(folder / "field2_brightfield.tif", data, 0.2)


def _fewer_planes(folder):
    data = tifffile.imread(folder / "field2_brightfield.tif")
    _write_stack(folder / "field2_brightfield.tif", data[:5])


def _smaller(folder):
    write_tiff(folder / "field1_lipids.tif", np.eye(90, dtype=np.uint16), (0.325, 0.325))


def _empty(folder):
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda folder: (folder / "field1_brightfield.tif").unlink(), "has no brightfield stack"),
        (lambda folder: (folder / "field2_lipids.tif").unlink(), "field2 has no true lipids image"),
        (_without_stains, "field2 has a brightfield stack but no true stain"),
        (_twice, "are both the nuclei of 'field1'"),
        (_stack_as_stain, "field1_lipids.tif holds 7 planes: expected one"),
        (_other_pixels, "pixels of 0.325 µm but field2_brightfield.tif of 0.2 µm"),
        (_fewer_planes, "field2 has 5 brightfield planes but field1 has 7"),
        (_smaller, "field1: the true lipids image has 90×90 pixels, brightfield 96×96"),
        (_empty, "holds no pairs: expected files <name>_brightfield.tif"),
        (lambda folder: shutil.rmtree(folder), "is not a folder"),
    ],
)
def test_what_is_wrong_with_a_folder_is_one_sentence(beside, harm, sentence):
    harm(beside)
    with pytest.raises(InputError, match=sentence) as caught:
        _load(beside)
    assert "\n" not in str(caught.value)


def test_fields_are_kept_in_a_cache_and_made_again_when_files_change(beside, tmp_path):
    cache = tmp_path / "cache"
    plain = _load(beside)
    _assert_same(_load(beside, cache=cache), plain)
    assert len(list(cache.glob("*.npy"))) == 2
    kept = _load(beside, cache=cache)
    _assert_same(kept, plain)
    assert isinstance(kept[0].planes, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        kept[0].labels[0, 0] = 1
    lipids = beside / "field1_lipids.tif"
    write_tiff(lipids, tifffile.imread(lipids) // 2, (0.325, 0.325))
    changed = _load(beside, cache=cache)
    assert changed[0].stains["lipids"].mean() < 0.6 * plain[0].stains["lipids"].mean()
    _assert_same(changed[1:], plain[1:])


def test_a_damaged_cache_is_made_again(beside, tmp_path):
    cache = tmp_path / "cache"
    plain = _load(beside, cache=cache)
    arrays, records = sorted(cache.glob("*.npy")), sorted(cache.glob("*.json"))
    arrays[0].write_bytes(arrays[0].read_bytes()[:500])
    records[1].write_text("{")
    _assert_same(_load(beside, cache=cache), plain)


def test_what_a_cached_field_had_to_say_is_said_again(beside, tmp_path):
    for path in beside.glob("*labels.tif"):
        path.unlink()
    for _ in range(2):
        notes = []
        _load(beside, cache=tmp_path / "cache", on_note=notes.append)
        assert sum("segmented" in note for note in notes) == 1
