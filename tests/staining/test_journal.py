from __future__ import annotations

import numpy as np
import pytest

from napari_fluorgen.staining.journal import Journal
from napari_fluorgen.staining.plan import plan_tiles

PLAN = plan_tiles((300, 300), 160, 16, 16)
KEY = {"request": {"model": "tiny", "tile_px": None}, "input": "sha256:0"}
FACTS = {"device": "cpu", "planes": (0, 1)}


def begun(folder, tiles=0, key=KEY, plan=PLAN, facts=FACTS) -> Journal:
    journal = Journal(folder, key)
    journal.begin(plan, facts)
    for number in range(tiles):
        journal.record(number, {"right map": np.full((4, 2), number, np.float32)})
    return journal


def test_a_new_run_has_no_finished_tiles(tmp_path):
    journal = Journal(tmp_path / "run", KEY)
    assert journal.tile_shape is None
    assert journal.begin(PLAN, FACTS) == 0
    assert journal.done == 0


@pytest.mark.parametrize("tiles", [1, 3, 4, 8])
def test_the_next_run_knows_the_finished_tiles(tmp_path, tiles):
    begun(tmp_path, tiles)
    journal = Journal(tmp_path, KEY)
    assert journal.tile_shape == PLAN.tile_shape
    assert journal.begin(PLAN, FACTS) == tiles
    np.testing.assert_array_equal(
        journal.waiting(tiles - 1)["right map"], np.full((4, 2), tiles - 1)
    )


def test_no_more_files_are_kept_than_one_row_of_tiles_needs(tmp_path):
    begun(tmp_path, len(PLAN.tiles))
    across = sum(tile.rows.start == 0 for tile in PLAN.tiles)
    assert len(list(tmp_path.glob("tile-*.npz"))) == across < len(PLAN.tiles)


@pytest.mark.parametrize(
    "other",
    [
        {"key": {**KEY, "input": "sha256:1"}},
        {"plan": plan_tiles((300, 300), 176, 16, 16)},
        {"facts": {**FACTS, "device": "cuda"}},
    ],
)
def test_another_run_begins_anew(tmp_path, other):
    begun(tmp_path, 5)
    journal = Journal(tmp_path, other.get("key", KEY))
    assert journal.begin(other.get("plan", PLAN), other.get("facts", FACTS)) == 0
    assert not list(tmp_path.glob("tile-*.npz"))
    assert begun(tmp_path, 0).done == 0


@pytest.mark.parametrize("damage", ["cut tile", "missing tile", "cut journal", "foreign journal"])
def test_a_damaged_journal_begins_anew(tmp_path, damage):
    begun(tmp_path, 5)
    tiles = sorted(tmp_path.glob("tile-*.npz"))
    if damage == "cut tile":
        tiles[0].write_bytes(tiles[0].read_bytes()[:40])
    elif damage == "missing tile":
        tiles[0].unlink()
    else:
        (tmp_path / "journal.json").write_text("{" if damage == "cut journal" else "[1, 2]")
    journal = Journal(tmp_path, KEY)
    assert journal.begin(PLAN, FACTS) == 0
    assert journal.done == 0
