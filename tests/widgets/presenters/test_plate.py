from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fluorgen.stack import FieldIdentity
from napari_fluorgen.widgets.presenters.plate import (
    WellState,
    describe_stack,
    pixel_text,
    problem_text,
    row_name,
    site_labels,
    stained_wells,
    well_grid,
    well_position,
)


@pytest.mark.parametrize(
    ("name", "place"),
    [("A01", (0, 0)), ("D04", (3, 3)), ("h12", (7, 11)), ("P24", (15, 23)), ("AF48", (31, 47))],
)
def test_well_positions(name, place):
    assert well_position(name) == place


@pytest.mark.parametrize("name", ["", "04", "A00", "ABC1", "A-1", "well 3"])
def test_what_is_no_well(name):
    assert well_position(name) is None


@given(st.integers(0, 31), st.integers(0, 47))
def test_row_names_and_positions_agree(row, column):
    assert well_position(f"{row_name(row)}{column + 1:02d}") == (row, column)


@pytest.mark.parametrize(
    ("wells", "size"),
    [(["A01"], (2, 3)), (["H12"], (8, 12)), (["A13"], (16, 24)), (["P24"], (16, 24))],
)
def test_grid_is_the_smallest_plate(wells, size):
    grid = well_grid(dict.fromkeys(wells, 1))
    assert (grid.rows, grid.columns) == size


def test_states_and_tooltips():
    grid = well_grid({"B03": 2, "D04": 1}, stained={"D04"})
    assert grid.at(1, 2).state is WellState.DATA
    assert grid.named("D04").tooltip == "D04: 1 site, stained"
    assert grid.at(0, 0) is None


def test_names_that_are_no_wells_are_laid_out_in_order():
    grid = well_grid({f"slide {i}": 1 for i in range(14)})
    assert not grid.lettered
    assert grid.at(1, 1).name == "slide 13"


def test_walking_skips_empty_wells_and_stops_at_the_edge():
    grid = well_grid({"A01": 1, "A06": 1, "C01": 1})
    start = grid.named("A01")
    assert grid.neighbour(start, 0, 1).name == "A06"
    assert grid.neighbour(start, 1, 0).name == "C01"
    assert grid.neighbour(start, -1, 0) is start


def test_line_of_what_was_read(stack, outlined):
    assert describe_stack(stack) == (
        "Plate P · well B03 · site 1 · 7 planes · 96 × 128 px · 0.300 × 0.350 µm/px · "
        "true stains: nuclei, lipids (hidden)"
    )
    assert describe_stack(outlined).endswith(
        "true stains: nuclei, lipids (hidden) · true nuclei outlines (hidden)"
    )
    bare = replace(stack, identity=FieldIdentity("x"), pixel_size_um=None, truth={})
    assert describe_stack(bare) == "x · 7 planes · 96 × 128 px · pixel size unknown"


def test_time_points_are_said_where_there_are_several(stack):
    fields = [
        FieldIdentity(f"{i}", "P", "B03", *place)
        for i, place in enumerate([(1, 1), (2, 1), (2, 3)])
    ]
    assert list(site_labels(fields).values()) == ["1", "2 · t1", "2 · t3"]
    assert "site 2 · time point 3 · 7 planes" in describe_stack(replace(stack, identity=fields[2]))


def test_square_pixels_are_said_once():
    assert pixel_text((0.325, 0.325)) == "0.325 µm/px"


def test_stained_wells_belong_to_the_plate():
    identities = [
        FieldIdentity("a", plate="P", well="A01"),
        FieldIdentity("b", plate="Q", well="A02"),
        FieldIdentity("c"),
    ]
    assert stained_wells(identities, "P") == {"A01"}


def test_long_lists_of_problems_are_cut():
    assert problem_text([str(i) for i in range(7)]).splitlines()[-1] == "… and 3 more"
    assert problem_text([]) == ""
