"""The calibration table: counting, thinning, saving."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_fluorgen.confidence import Calibration, calibrate, nonconformity, p_values
from napari_fluorgen.confidence.calibration import compress
from napari_fluorgen.confidence.fields import FieldCalibration
from napari_fluorgen.confidence.intervals import IntervalCalibration
from napari_fluorgen.confidence.selection import ObjectCalibration
from napari_fluorgen.confidence.spread import fit_spread
from napari_fluorgen.errors import ConfigError, InputError, ModelError, OutputError


def fields(n=3, shape=(20, 30), seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(n):
        p = rng.random(shape).astype(np.float32)
        yield p, rng.random(shape) < p


def test_all_pixels_of_all_fields_count_once():
    calibration = calibrate(fields())
    for name, wanted in (("nucleus", True), ("background", False)):
        expected = [nonconformity(p[t == wanted], name) for p, t in fields()]
        np.testing.assert_array_equal(calibration.scores(name), np.sort(np.concatenate(expected)))
    assert calibration.meta["n_fields"] == 3
    assert sum(calibration.meta["n_pixels"].values()) == 3 * 600


def test_truth_may_be_labels():
    p, truth = next(fields())
    labels = truth * np.arange(1, 601, dtype=np.uint32).reshape(truth.shape)
    np.testing.assert_array_equal(calibrate([(p, labels)]).nucleus, calibrate([(p, truth)]).nucleus)


def test_one_field_without_nuclei_excludes_nothing_for_nuclei():
    calibration = calibrate([(np.full((4, 4), 0.25), np.zeros((4, 4), bool))])
    assert calibration.nucleus.size == 0
    assert p_values([0.0, 1.0], calibration.nucleus).tolist() == [1, 1]
    assert calibration.background.size == 16


@settings(deadline=None)
@given(
    hnp.arrays(np.int64, st.integers(1, 12), elements=st.integers(0, 200)),
    st.integers(1, 50),
    st.integers(0, 2**32 - 1),
)
def test_thinning_never_lowers_a_p_value_and_hardly_raises_it(counts, max_scores, seed):
    histogram = np.zeros(65536, np.int64)
    places = np.random.default_rng(seed).choice(65536, len(counts), replace=False)
    histogram[places] = counts
    full = np.repeat(np.arange(65536) / 65535, histogram).astype(np.float32)
    kept = compress(histogram, max_scores)
    assert kept.size == min(full.size, max_scores)
    assert np.all(np.diff(kept) >= 0)
    scores = np.append((places / 65535).astype(np.float32), [0, 1]).astype(np.float32)
    excess = p_values(scores, kept) - p_values(scores, full)
    assert excess.min() >= -1e-12
    assert excess.max() <= (0 if full.size <= max_scores else 2 / (max_scores + 1)) + 1e-12


def test_drawing_pixels_is_deterministic_and_bounded():
    first, again = (calibrate(fields(), pixels_per_field=100, seed=5) for _ in range(2))
    other = calibrate(fields(), pixels_per_field=100, seed=6)
    np.testing.assert_array_equal(first.nucleus, again.nucleus)
    assert not np.array_equal(first.nucleus, other.nucleus)
    assert first.nucleus.size + first.background.size == 300
    assert first.meta["pixels_per_field"] == 100
    assert first.meta["seed"] == 5


def test_saved_and_read_back(tmp_path):
    calibration = calibrate(fields(n=8, shape=(300, 300)))
    path = calibration.to_npz(tmp_path / "calibration.npz")
    assert path.stat().st_size <= 1_000_000
    back = Calibration.from_npz(path)
    np.testing.assert_array_equal(back.nucleus, calibration.nucleus)
    np.testing.assert_array_equal(back.background, calibration.background)
    assert back.meta == calibration.meta
    assert [entry.name for entry in tmp_path.iterdir()] == ["calibration.npz"]
    with pytest.raises(OutputError, match="exists"):
        calibration.to_npz(path)
    (tmp_path / "results").mkdir()
    with pytest.raises(OutputError, match="results is a folder"):
        calibration.to_npz(tmp_path / "results", overwrite=True)
    assert (tmp_path / "results").is_dir()


def test_largest_table_stays_under_a_megabyte(tmp_path):
    rng = np.random.default_rng(0)
    scores = np.sort(rng.random(65536)).astype(np.float32)
    by_field = FieldCalibration(np.sort(rng.random((200, 257))), rng.random((200, 64)))
    nuclei = ObjectCalibration(
        rng.random(10_000), rng.random(10_000) < 0.5, np.arange(10_000), 10_000
    )
    table = fit_spread([(rng.random((90, 90)), rng.random((90, 90)))])
    intervals = {name: IntervalCalibration(1, 1, 0.9, "pixel", 1, table) for name in ("a", "b")}
    whole = Calibration(scores, scores, {}, by_field, nuclei, intervals)
    assert whole.to_npz(tmp_path / "c.npz").stat().st_size <= 1_000_000


def blobs(n=4, seed=0):
    """Fields with nuclei as labels, a probability and nuclei found, of which one is made up."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((60, 60))
    for _ in range(n):
        truth = np.zeros((60, 60), np.uint32)
        for label, y in ((3, 12), (8, 45)):
            truth[np.hypot(rows - y, columns - rng.integers(10, 30)) < 6] = label
        p = np.where(truth > 0, 0.9, 0.05) * rng.uniform(0.9, 1, truth.shape)
        found = truth.copy()
        found[20:30, 45:55] = 9
        yield p.astype(np.float32), truth, found


def test_fields_and_nuclei_are_kept_and_read_back(tmp_path):
    calibration = calibrate(blobs())
    plain = calibrate((p, truth) for p, truth, _ in blobs())
    np.testing.assert_array_equal(calibration.nucleus, plain.nucleus)
    assert plain.objects is None
    assert calibration.fields.n_fields == plain.fields.n_fields == 4
    nuclei = calibration.objects
    assert nuclei.correct.tolist() == [True, True, False] * 4
    assert nuclei.field.tolist() == np.repeat(range(4), 3).tolist()
    assert nuclei.scores[nuclei.correct].min() > nuclei.scores[~nuclei.correct].max()
    assert calibration.meta["n_nuclei"] == {"found": 12, "wrong": 4}

    interval = IntervalCalibration(2.0, 0.01, 0.9, "field", 4)
    whole = replace(calibration, intervals={"lipids": interval})
    back = Calibration.from_npz(whole.to_npz(tmp_path / "c.npz"))
    np.testing.assert_array_equal(back.fields.missed, calibration.fields.missed)
    np.testing.assert_array_equal(back.fields.histogram, calibration.fields.histogram)
    for name in ("scores", "correct", "field"):
        np.testing.assert_array_equal(getattr(back.objects, name), getattr(nuclei, name))
    assert back.objects.n_fields == 4
    assert back.intervals["lipids"].scale == 2
    assert back.intervals["lipids"].unit == "field"


def test_calibration_of_format_1_reads_as_before():
    old = {"nucleus": np.array([0.1, 0.2]), "background": np.array([0.3]), "meta": '{"format": 1}'}
    calibration = Calibration.from_arrays(old)
    assert calibration.fields is None
    assert calibration.objects is None
    assert calibration.intervals == {}
    assert set(calibration.to_arrays()) == set(old)


def test_many_fields_and_nuclei_are_drawn(monkeypatch):
    monkeypatch.setattr("napari_fluorgen.confidence.calibration._MAX_FIELDS", 3)
    monkeypatch.setattr("napari_fluorgen.confidence.calibration._MAX_OBJECTS", 7)
    calibration = calibrate(blobs(6))
    assert calibration.fields.n_fields == 3
    assert calibration.objects.n_fields == 2
    assert calibration.objects.scores.size == 6
    assert calibration.meta["n_fields"] == 6


def test_nuclei_need_true_labels():
    p, truth, found = next(blobs(1))
    with pytest.raises(InputError, match="from labels only"):
        calibrate([(p, truth > 0, found)])


def test_damaged_files_are_named(tmp_path):
    with pytest.raises(ModelError, match="no calibration at"):
        Calibration.from_npz(tmp_path / "none.npz")
    text = tmp_path / "text.npz"
    text.write_text("not an archive")
    with pytest.raises(ModelError, match=r"text\.npz is not a calibration"):
        Calibration.from_npz(text)
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, nucleus=np.array([object()]), background=np.zeros(1))
    with pytest.raises(ModelError, match="is not a calibration"):
        Calibration.from_npz(pickled)


@pytest.mark.parametrize(
    "scores", [[0.5, 0.1], [0.1, np.nan], [np.nan], [-1.0, 0.5], [0.5, 2.0], [[0.1]]]
)
def test_damaged_tables_are_refused(scores):
    with pytest.raises(ModelError, match="calibration of nucleus"):
        Calibration.from_arrays({"nucleus": scores, "background": [0.1]})


@pytest.mark.parametrize(
    "changes",
    [
        {"meta": "[1, 2]"},
        {"meta": "3"},
        {"object_n_fields": np.array([1, 2])},
        {"object_n_fields": np.array(np.nan)},
        {"object_scores": np.array(["a"])},
        {"field_missed": np.array(["a"]), "field_histogram": np.array(["b"])},
        {"interval_lipids_numbers": np.array(["a"] * 5)},
    ],
)
def test_tables_of_another_kind_are_refused_in_one_sentence(tmp_path, changes):
    arrays = {
        "nucleus": np.array([0.1]),
        "background": np.array([0.1]),
        "object_scores": np.array([0.5]),
        "object_correct": np.ones(1, bool),
        "object_field": np.zeros(1, int),
        "object_n_fields": np.array(1),
        **changes,
    }
    with pytest.raises(ModelError, match="calibrate the model again") as caught:
        Calibration.from_arrays(arrays)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["stream", "encrypted"])
def test_archives_that_cannot_be_unpacked_are_named(tmp_path, damage):
    path = tmp_path / "calibration.npz"
    np.savez_compressed(path, nucleus=np.linspace(0, 1, 999), background=np.zeros(9))
    content = bytearray(path.read_bytes())
    if damage == "stream":  # the length of a name is at byte 26, the data follow the name
        start = 30 + int.from_bytes(content[26:28], "little")
        start += int.from_bytes(content[28:30], "little")
        content[start : start + 60] = b"\xff" * 60
    else:
        content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"calibration\.npz is not a calibration"):
        Calibration.from_npz(path)


def test_from_arrays_is_lenient_about_the_record_alone():
    tables = {"nucleus": [0.1], "background": []}
    assert Calibration.from_arrays(tables).meta == {}
    assert Calibration.from_arrays({**tables, "meta": {"n_fields": 1}}).meta == {"n_fields": 1}
    with pytest.raises(ModelError, match="not JSON"):
        Calibration.from_arrays({**tables, "meta": "{"})
    with pytest.raises(ModelError, match="lacks the table of background"):
        Calibration.from_arrays({"nucleus": [0.1]})


def test_bad_input_is_named():
    with pytest.raises(InputError, match="no field"):
        calibrate([])
    with pytest.raises(InputError, match=r"Calibration field 1 has .*must be equal"):
        calibrate([(np.zeros((4, 4)), np.zeros((4, 5)))])
    with pytest.raises(ConfigError, match="max_scores is 0"):
        calibrate(fields(), max_scores=0)
