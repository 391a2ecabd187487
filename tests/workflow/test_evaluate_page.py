"""The page as a browser would take it: well-formed, by itself, with the right pictures."""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_fluorgen.io import write_field
from napari_fluorgen.measurement.score import ImageScore, StainScore
from napari_fluorgen.segmentation import MatchScores
from napari_fluorgen.stack import FieldIdentity, StainedField
from napari_fluorgen.workflow.evaluate import evaluate_folders
from napari_fluorgen.workflow.evaluate_curve import curve_svg
from napari_fluorgen.workflow.evaluate_page import choose_fields
from napari_fluorgen.workflow.evaluate_pictures import FALSE, FOUND, MISSED, PictureSource
from napari_fluorgen.workflow.evaluation import IOUS

VOID = {"meta", "img", "br"}


class Checker(HTMLParser):
    """Collects addresses, and finds elements that are not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


def picture(address: str) -> np.ndarray:
    data = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.fixture
def folders(tmp_path):
    """Two folders of one field with a nucleus found, one false and one missed."""
    labels = {"found": (20, 20), "false": (20, 90), "missed": (90, 20)}
    for side, there in (("predicted", ("found", "false")), ("truth", ("found", "missed"))):
        mask = np.zeros((120, 140), np.uint16)
        for number, name in enumerate(there, 1):
            y, x = labels[name]
            mask[y : y + 15, x : x + 15] = number
        folder = tmp_path / side
        (folder / "labels").mkdir(parents=True)
        tifffile.imwrite(folder / "labels" / "a & <b>_nuclei.tif", mask)
        for stain in ("nuclei", "lipids", "cytoplasm"):
            image = 200 + 3000 * (mask > 0) + np.arange(140)
            tifffile.imwrite(folder / f"a & <b>_{stain}.tif", image.astype(np.uint16))
    return tmp_path / "predicted", tmp_path / "truth"


def test_the_page_needs_nothing_but_itself(folders, tmp_path) -> None:
    evaluate_folders(*folders, tmp_path / "scores", pixel_size_um=0.325)
    text = (tmp_path / "scores" / "scores.html").read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert all(address.startswith("data:image/png;base64,") for address in checker.addresses)
    assert "script" not in checker.tags
    assert "a &amp; &lt;b&gt;" in text
    assert "46 × 39 µm" in text
    assert len(checker.addresses) == 9


def test_nuclei_are_outlined_by_how_they_were_matched(folders) -> None:
    panels = PictureSource(*folders).panels("a & <b>", "nuclei")
    assert list(panels.pictures) == ["predicted", "true", "difference"]
    assert panels.whole
    predicted, true = (picture(panels.pictures[name]) for name in ("predicted", "true"))
    assert tuple(predicted[20, 25]) == tuple(true[20, 25]) == FOUND
    assert tuple(predicted[19, 25]) == tuple(true[19, 25]) == FOUND  # on both sides of the rim
    assert tuple(predicted[20, 95]) == FALSE
    assert tuple(true[90, 25]) == MISSED
    assert (predicted[:, :, 0] == predicted[:, :, 1])[45:80].all()


def test_the_difference_is_blue_where_the_prediction_is_too_dark(folders) -> None:
    panels = PictureSource(*folders).panels("a & <b>", "lipids")
    difference = picture(panels.pictures["difference"]).astype(int)
    red, blue = difference[..., 0], difference[..., 2]
    assert red[97, 27] < blue[97, 27]  # missed: too dark
    assert red[27, 97] > blue[27, 97]  # false: too bright
    assert abs(red[60, 60] - blue[60, 60]) < 15


def test_brightfield_and_scale_bar_where_they_are_known(plate) -> None:
    name = "Assay_#1_D04_T0001F001L01"
    source = PictureSource(plate.folder, plate.folder, (0.5, 0.5))
    panels = source.panels(name, "lipids")
    assert list(panels.pictures) == ["brightfield", "predicted", "true", "difference"]
    assert panels.bar_um == 20
    bar = picture(panels.pictures["brightfield"])[-11]
    assert (bar[10:50] == 255).all()
    assert (bar[8:10] == 0).all()


def test_each_field_is_shown_with_the_pixel_size_of_its_result(tmp_path) -> None:
    image = np.arange(120 * 150, dtype=np.uint16).reshape(120, 150)
    (tmp_path / "truth").mkdir()
    for name, pixel, error in (("coarse", 0.5, 0), ("fine", 0.2, 9)):
        empty = np.zeros(image.shape, np.float32), np.zeros(image.shape, np.uint32)
        field = StainedField(FieldIdentity(name), (pixel, pixel), {"lipids": image}, *empty)
        write_field(field, tmp_path / "predicted")
        tifffile.imwrite(tmp_path / "truth" / f"{name}_lipids.tif", image + np.uint16(error))
    source = PictureSource(tmp_path / "predicted", tmp_path / "truth")
    coarse, fine = (source.panels(name, "lipids") for name in ("coarse", "fine"))
    assert (coarse.size_um, coarse.bar_um) == ((60, 75), 20)
    assert (fine.size_um, fine.bar_um) == (pytest.approx((24, 30)), 5)
    evaluate_folders(tmp_path / "predicted", tmp_path / "truth", tmp_path / "scores")
    text = (tmp_path / "scores" / "scores.html").read_text(encoding="utf-8")
    assert "75 × 60 µm" in text
    assert "30 × 24 µm" in text


def test_large_fields_show_their_central_part(tmp_path) -> None:
    for side in ("predicted", "truth"):
        (tmp_path / side).mkdir()
        image = np.zeros((700, 900), np.uint16)
        image[350, 450] = 100
        tifffile.imwrite(tmp_path / side / "a_lipids.tif", image + np.uint16(10))
    panels = PictureSource(tmp_path / "predicted", tmp_path / "truth").panels("a", "lipids")
    assert panels.size_px == (512, 512)
    assert not panels.whole
    assert picture(panels.pictures["true"])[256, 256].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([0.3], [("The field", 0)]),
        ([0.3, 0.1], [("Best field", 1), ("Worst field", 0)]),
        ([0.5, 0.1, 0.3], [("Best field", 1), ("Median field", 2), ("Worst field", 0)]),
        ([4, 0, 3, 1, 2], [("Best field", 1), ("Median field", 4), ("Worst field", 0)]),
    ],
)
def test_best_median_and_worst_field_are_shown(errors, expected) -> None:
    images = tuple(ImageScore(field, error, 1, 1, None) for field, error in enumerate(errors))
    score = StainScore(0, 0, 1, 1, None, len(images), images)
    assert [(rank, image.field) for rank, image in choose_fields(score)] == expected


def test_the_curve_is_a_drawing_with_names_that_do_not_overlap() -> None:
    curve = [MatchScores(10 - step, step, step, iou) for step, iou in enumerate(IOUS)]
    root = ElementTree.fromstring(curve_svg(curve, [curve, curve]))
    space = "{http://www.w3.org/2000/svg}"
    lines = root.findall(f"{space}polyline")
    assert len(lines) == 5
    first, last = re.findall(r"[\d.]+", lines[-1].get("points"))[1::18]
    assert float(first) < float(last)
    names = {"F1", "precision", "recall"}
    heights = [float(text.get("y")) for text in root.iter(f"{space}text") if text.text in names]
    assert len(heights) == 3
    assert np.diff(sorted(heights)).min() >= 15
