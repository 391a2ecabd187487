from __future__ import annotations

import re

import numpy as np
import pytest
from scipy import ndimage

from napari_fluorgen.measurement import (
    challenge_style_pipeline,
    feature_names,
    find_cellprofiler,
    measure_features,
)


def setting(text: str, name: str) -> list[str]:
    return re.findall(rf"^    {re.escape(name)}:(.*)$", text, re.MULTILINE)


def test_the_99_names_are_those_of_the_challenge(shared):
    names = feature_names()
    assert len(set(names)) == 99
    pipeline = (shared / "cellprofiler" / "challenge_20x.cppipe").read_text()
    [theirs] = setting(pipeline, "Press button to select measurements")
    wanted = set()
    for entry in theirs.split(","):
        objects, feature = entry.split("|")
        if objects == "Image":
            wanted.add(feature)
        elif not feature.startswith("Number_"):
            wanted |= {f"{kind}_{objects}_{feature}" for kind in ("Mean", "StDev")}
    assert set(names) == {name for name in wanted if not name.startswith("Metadata_")}


def test_lengths_follow_the_pixel_size():
    diameters = "Typical diameter of objects, in pixel units (Min,Max)"
    assert setting(challenge_style_pipeline(0.325), diameters) == ["15,80", "3,49"]
    assert setting(challenge_style_pipeline(0.1625), diameters) == ["31,160", "6,98"]


def test_modules_are_numbered():
    text = challenge_style_pipeline()
    numbers = re.findall(r"^\w+:\[module_num:(\d+)\|", text, re.MULTILINE)
    assert [int(number) for number in numbers] == list(range(1, len(numbers) + 1))
    assert f"ModuleCount:{len(numbers)}\n" in text


def disc(image: np.ndarray, y: float, x: float, radius: float, value: float) -> None:
    rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
    image[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = value


def drawn(defects: int) -> dict[str, np.ndarray]:
    """Nine cells with two droplets each, away from the border; some droplets have a hole."""
    stains = {name: np.full((420, 420), 200.0) for name in ("nuclei", "lipids", "cytoplasm")}
    number = 0
    for y in (80, 210, 340):
        for x in (80, 210, 340):
            disc(stains["cytoplasm"], y, x, 45, 3000)
            disc(stains["nuclei"], y, x, 13, 5000)
            for dx in (-28, 28):
                disc(stains["lipids"], y, x + dx, 12, 4000)
                if number < defects:
                    disc(stains["lipids"], y, x + dx, 3, 1500)
                number += 1
    rng = np.random.default_rng(0)
    return {
        name: rng.normal(ndimage.gaussian_filter(image, 1.2), 15).clip(0).astype(np.uint16)
        for name, image in stains.items()
    }


@pytest.mark.cellprofiler
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("cellprofiler")
def test_drawn_objects_are_counted_by_the_real_cellprofiler():
    assert find_cellprofiler() is not None
    measured = measure_features([("a", drawn(0), drawn(5)), ("b", drawn(5), drawn(5))])
    assert set(measured.truth) == set(feature_names())
    for name, count in (
        ("Count_nuclei", 9),
        ("Count_nuclei_no_edge", 9),
        ("Count_cells_no_edge", 9),
        ("Count_Lipids_no_edge", 18),
        ("Count_Defective_lipid_droplets", 5),
    ):
        assert measured.truth[name].tolist() == [count, count], name
    assert measured.predicted["Count_Defective_lipid_droplets"].tolist() == [0, 5]
    assert measured.scores.columns["Count_Defective_lipid_droplets"] == pytest.approx(0.5)
    assert measured.scores.columns["Count_nuclei"] == 0
    same = [
        name for name in measured.truth if measured.truth[name][1] == measured.predicted[name][1]
    ]
    assert len(same) == 99


def test_the_local_threshold_fits_small_images():
    window = "Size of adaptive window"
    assert setting(challenge_style_pipeline(0.1083), window)[0] == "369"
    assert setting(challenge_style_pipeline(0.1083, smallest_side=640), window)[0] == "320"
