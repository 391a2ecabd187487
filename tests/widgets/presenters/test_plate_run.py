from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_fluorgen.errors import InputError
from napari_fluorgen.stack import FieldIdentity
from napari_fluorgen.staining import Planned, TileDone
from napari_fluorgen.widgets.presenters import plate_run as words
from napari_fluorgen.widgets.presenters.plate_run import PlateRun, State
from napari_fluorgen.workflow import (
    FieldFailed,
    FieldSkipped,
    FieldStarted,
    FieldWritten,
    Stage,
    StainRequest,
)

FIELDS = tuple(FieldIdentity(f"P_B03_F{site:03d}", "P", "B03", site) for site in (1, 2, 3, 4))


def planned(tiles):
    device = SimpleNamespace(label="CPU")
    return Planned(None, SimpleNamespace(tiles=range(tiles)), device, "float32", ())


def written(index, nuclei=7, messages=()):
    return FieldWritten(FIELDS[index], (), nuclei, messages, 2.5)


def take(run, *events, now=0.0):
    return [run.take(event, now) for event in events]


def stain(run, index, tiles=4, now=0.0):
    take(run, FieldStarted(FIELDS[index], index, len(FIELDS)), planned(tiles))
    take(run, *(TileDone(done, tiles, None) for done in range(1, tiles + 1)), now=now)
    take(run, written(index), now=now)


def states(run):
    return [row.state for row in run.rows]


def test_a_row_follows_its_field():
    run = PlateRun(FIELDS)
    assert run.rows[1].cells == ("B03", "2", "waiting", "", "", "")
    assert take(run, FieldStarted(FIELDS[1], 1, 4)) == [1]
    assert run.rows[1].cells[2] == "reading"
    take(run, planned(9), TileDone(3, 9, None))
    assert run.rows[1].cells[2] == "staining 3 of 9 tiles"
    take(run, TileDone(0, 1, None))
    assert run.rows[1].cells[2] == "staining 0 of 1 tile"
    take(run, Stage("segmentation"))
    assert run.rows[1].cells[2] == "outlining nuclei …"
    take(run, written(1, nuclei=31, messages=("Simulated.", "Resampled.")))
    row = run.rows[1]
    assert row.cells == ("B03", "2", "done", "31", "2.5 s", "Simulated. Resampled.")
    assert row.tooltip.splitlines()[:2] == ["Simulated.", "Resampled."]
    assert row.has_result
    assert states(run).count(State.WAITING) == 3


def test_reasons_stand_in_the_row():
    run = PlateRun(FIELDS)
    take(run, FieldStarted(FIELDS[0], 0, 4), FieldSkipped(FIELDS[0], "already stained"))
    take(run, FieldStarted(FIELDS[1], 1, 4), planned(2), FieldFailed(FIELDS[1], "It is cut off."))
    assert [row.cells[2:] for row in run.rows[:2]] == [
        ("skipped", "", "", "already stained"),
        ("failed", "", "", "It is cut off."),
    ]
    assert [row.has_result for row in run.rows] == [True, False, False, False]
    assert "It is cut off." in run.rows[1].tooltip


def test_events_without_a_row_change_none():
    assert PlateRun(FIELDS).take("other", 0.0) is None


def test_time_points_and_fields_off_a_plate_can_be_told_apart():
    run = PlateRun([FieldIdentity("a", "P", "B03", 1, timepoint=2), FieldIdentity("stack")])
    assert [row.cells[:2] for row in run.rows] == [("B03", "1 t2"), ("stack", "")]


def test_share_grows_by_tiles_and_fields():
    run = PlateRun(FIELDS)
    assert run.share == 0
    take(run, FieldStarted(FIELDS[0], 0, 4), planned(4), TileDone(2, 4, None))
    assert run.share == pytest.approx(0.125)
    take(run, written(0))
    assert run.share == pytest.approx(0.25)
    take(run, FieldStarted(FIELDS[1], 1, 4), FieldFailed(FIELDS[1], "no"))
    assert run.share == pytest.approx(0.5)
    for index in (2, 3):
        stain(run, index)
    assert run.share == 1
    assert PlateRun(()).share == 0


def test_time_left_is_that_of_the_tiles_left():
    run = PlateRun(FIELDS)
    assert run.progress_text(0.0) == "Field 1 of 4"
    take(run, FieldStarted(FIELDS[0], 0, 4), planned(4), now=100.0)
    take(run, TileDone(2, 4, None), now=110.0)
    # 2 tiles took 10 s; 2 of this field and 12 of the others are left
    assert run.progress_text(110.0) == "Field 1 of 4 · about 70 s left"
    take(run, TileDone(4, 4, None), written(0), now=120.0)
    assert run.progress_text(120.0) == "Field 2 of 4 · about 60 s left"


def test_skipped_fields_take_no_part_in_the_pace():
    run = PlateRun(FIELDS)
    take(run, FieldStarted(FIELDS[0], 0, 4), FieldSkipped(FIELDS[0], "there"), now=500.0)
    assert run.progress_text(500.0) == "Field 2 of 4"
    stain(run, 1, tiles=2, now=10.0)  # planned at 0
    assert run.progress_text(10.0) == "Field 3 of 4 · about 20 s left"


def test_the_end_counts_every_field():
    run = PlateRun(FIELDS)
    take(run, FieldStarted(FIELDS[0], 0, 4), FieldSkipped(FIELDS[0], "there"))
    stain(run, 1)
    take(run, FieldStarted(FIELDS[2], 2, 4), FieldFailed(FIELDS[2], "no"))
    take(run, FieldStarted(FIELDS[3], 3, 4), planned(4))
    run.end()
    assert states(run) == [State.SKIPPED, State.DONE, State.FAILED, State.LEFT]
    assert run.rows[3].cells[2] == "not done"
    said = run.end_text(stopped=True)
    assert said.startswith("Stopped: 1 of 4 fields stained, 1 skipped, 1 failed, 1 not done")
    assert not run.end_text(stopped=False).startswith("Stopped"), "an error ended it"


def test_a_whole_plate_was_not_stopped():
    run = PlateRun(FIELDS[:1])
    stain(run, 0)
    run.end()
    assert run.end_text(stopped=True) == (
        "1 of 1 field stained, 0 skipped, 0 failed; double-click a row to see its result."
    )
    run = PlateRun(FIELDS[:1])
    take(run, FieldStarted(FIELDS[0], 0, 1), FieldFailed(FIELDS[0], "no"))
    assert run.end_text(stopped=False) == "0 of 1 field stained, 0 skipped, 1 failed."


def test_only_layers_of_a_plate_have_one():
    assert words.plate_folder({"identity": FIELDS[0], "source": "/data/p"}) == Path("/data/p")
    assert words.plate_folder({"identity": FieldIdentity("a"), "source": "/data/p"}) is None
    assert words.plate_folder({"identity": FIELDS[0]}) is None
    assert words.plate_folder({}) is None


@pytest.mark.parametrize(
    ("given", "corrected", "used"),
    [
        (None, None, None),
        (None, (0.4, 0.4), 0.4),
        (0.5, (0.4, 0.4), 0.5),
        (None, (0.4, 0.4001), 0.4),
    ],
)
def test_a_corrected_pixel_size_counts_for_the_plate(given, corrected, used):
    request = StainRequest.build(pixel_size_um=given)
    assert words.plate_request(request, corrected).pixel_size_um == used


def test_axes_of_two_corrected_sizes_are_refused():
    with pytest.raises(InputError, match=r"0\.400 × 0\.200"):
        words.plate_request(StainRequest.build(), (0.4, 0.2))


def test_settings_are_told():
    assert words.settings_text(StainRequest.build(model="m")) == (
        "Model m · device auto · focus: find from the stack"
    )
    request = StainRequest.build(
        model="m", device="cpu", focus="flipped", pixel_size_um=0.3, tile_px=128, intervals=True
    )
    said = words.settings_text(request)
    for part in ("device cpu", "above focus", "0.3 µm", "128 px", "interval"):
        assert part in said


def test_the_question_says_what_each_answer_does():
    said = words.question_text(Path("out"), 2, 6)
    assert "2 of these 6 fields" in said
    assert "Resume keeps" in said
    assert "Replace stains all 6 again" in said
