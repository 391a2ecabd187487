from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from napari_fluorgen.errors import InputError, OutputError
from napari_fluorgen.io import results
from napari_fluorgen.io.field_lock import field_lock
from napari_fluorgen.io.reviews import write_reviews
from napari_fluorgen.io.run_record import version_of
from napari_fluorgen.stack import STAINS, FieldIdentity, StainedField


@pytest.fixture
def folder(tmp_path):
    labels = np.zeros((8, 9), np.uint32)
    labels[1, :3] = 1, 2, 3
    table = {
        "label": np.array([1, 2, 3], np.uint32),
        "p_value": np.array([0.01, np.nan, 0.5]),
        "decision": np.array(["accept", "review", "reject"]),
        "reviewed": np.full(3, "", "<U6"),
    }
    field = StainedField(
        FieldIdentity("a"), None, {s: np.zeros((8, 9), np.uint16) for s in STAINS},
        np.zeros((8, 9), np.float32), labels, nuclei=table,
    )  # fmt: skip
    results.write_field(field, tmp_path)
    return tmp_path


def test_a_review_overrules_the_decision(folder):
    assert results.read_field(folder, "a").trusted.tolist() == [True, False, False]
    write_reviews(folder, "a", {1: "reject", 2: "accept"})
    field = results.read_field(folder, "a")
    assert field.decisions.tolist() == ["reject", "accept", "reject"]
    assert field.trusted.tolist() == [False, True, False]
    assert field.nuclei["decision"].tolist() == ["accept", "review", "reject"]
    with (folder / "confidence/a_nuclei.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["reviewed"] for row in rows] == ["reject", "accept", ""]
    assert [row["p_value"] for row in rows] == ["0.01", "", "0.5"]
    write_reviews(folder, "a", np.array(["", "", "accept"]))
    assert results.read_field(folder, "a").trusted.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("name", "reviewed", "message"),
    [
        ("b", {1: "accept"}, "no result of 'b'"),
        ("a", {4: "accept"}, "no nucleus 4: it has 3"),
        ("a", {1: "maybe"}, "'maybe': choose accept"),
        ("a", ["accept"], "1 reviews were given for the 3 nuclei"),
    ],
)
def test_what_cannot_be_kept_is_said(folder, name, reviewed, message):
    with pytest.raises(InputError, match=message):
        write_reviews(folder, name, reviewed)
    assert results.read_field(folder, "a").nuclei["reviewed"].tolist() == ["", "", ""]


def test_nuclei_that_were_found_anew_do_not_take_the_review_of_others(folder):
    version = version_of(folder, "a")
    write_reviews(folder, "a", {1: "accept"}, version=version)
    write_reviews(folder, "a", {2: "accept"}, version=version)  # a review makes no new version
    again = replace(results.read_field(folder, "a"), provenance={"finished": "later"})
    results.write_field(again, folder, overwrite=True)
    with pytest.raises(InputError, match=r"'a' was stained again into .* load it anew"):
        write_reviews(folder, "a", {3: "accept"}, version=version)
    assert results.read_field(folder, "a").nuclei["reviewed"].tolist() == ["accept"] * 2 + [""]


def test_no_review_is_written_while_the_field_is_stained(folder):
    with (
        field_lock(folder, FieldIdentity("a")),
        pytest.raises(OutputError, match="is being stained"),
    ):
        write_reviews(folder, "a", {1: "accept"})
    write_reviews(folder, "a", {1: "accept"})


def test_without_a_table_nothing_is_trusted(folder):
    field = results.read_field(folder, "a")
    bare = StainedField(
        field.identity, None, field.images, field.nuclei_probability, field.nuclei_labels
    )
    assert bare.trusted.size == bare.decisions.size == 0
