from __future__ import annotations

import pytest

from napari_fluorgen.errors import OutputError
from napari_fluorgen.io.atomic import atomic_path
from napari_fluorgen.models.free_names import numbered, write_beside
from napari_fluorgen.models.spec import check_model_name


def test_a_name_that_is_taken_gets_the_next_number():
    assert numbered("mine", {"mine", "mine-2"}) == "mine-3"
    assert numbered("mine-2", {"mine", "mine-2"}) == "mine-3"
    assert numbered("cells-60", {"cells-60"}) == "cells-60-2"
    assert numbered("mine", ()) == "mine"


def test_a_numbered_name_can_be_that_of_a_model():
    longest = "m" * 64
    found = numbered(longest, {longest})
    check_model_name(found)
    assert found.endswith("m-2")


def write(folder, overwrite):
    with atomic_path(folder, overwrite=overwrite, own=["new.txt"]) as temporary:
        temporary.mkdir()
        (temporary / "new.txt").write_text("new")


def test_what_is_there_stays_and_the_new_lies_beside_it(tmp_path):
    for name in ("own", "own-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "new.txt").write_text("old")
    (tmp_path / "own-3").write_text("a file")
    assert write_beside(tmp_path / "own", write, taken=["own-4"]) == tmp_path / "own-5"
    assert (tmp_path / "own" / "new.txt").read_text() == "old"

    assert write_beside(tmp_path / "own", write, overwrite=True, taken=["own"]) == tmp_path / "own"
    assert (tmp_path / "own" / "new.txt").read_text() == "new"
    (tmp_path / "own" / "thesis.txt").write_text("years of work")
    assert write_beside(tmp_path / "own", write, overwrite=True) == tmp_path / "own-4"
    assert (tmp_path / "own-2" / "new.txt").read_text() == "old", "only the first may be replaced"


def test_where_nothing_can_be_written_no_name_helps(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="is in the way"):
        write_beside(tmp_path / "file" / "own", write)
