"""Nuclei of real fluorescence, segmented automatically, against labels that others drew.

    python benchmarks/true_nuclei.py --data ../shared/data

What `segment_fluorescence` finds is the truth wherever a pair has no labels: in training, in
fine-tuning, in `fluorgen evaluate` and in real_light.py. Prints F1 at three IoU for one image of
the Data Science Bowl (as StarDist ships it) and two of the NEUBIAS training resources. The files do
not tell their pixel size: it is assumed from the size of the nuclei.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile

from napari_fluorgen.segmentation import MatchScores, match_instances, segment_fluorescence

IOUS = (0.5, 0.7, 0.9)
LARGEST_UM2 = 5000.0


class Drawn(NamedTuple):
    """A fluorescence image whose nuclei are labelled."""

    image: str
    labels: str
    pixel_um: float
    channel: int | None = None


IMAGES = {
    "dsb": Drawn(
        "nuclei_ground_truth/stardist_dsb/img2d.tif",
        "nuclei_ground_truth/stardist_dsb/mask2d.tif",
        0.5,
    ),
    "mitocheck": Drawn(
        "formats_neubias/xy_8bit__mitocheck_incenp_t1.tif",
        "formats_neubias/xy_8bit_labels__mitocheck_incenp_t1.tif",
        0.4,
    ),
    "watershed": Drawn(
        "formats_neubias/watershed__xyc_16bit__nuclei_tubulin.tif",
        "formats_neubias/watershed__xy_8bit_labels__nuclei.tif",
        0.3,
        channel=1,
    ),
}


def scores(data: Path, drawn: Drawn) -> list[MatchScores]:
    """Compare the nuclei found in one image with its labels, at each of `IOUS`."""
    dna = tifffile.imread(data / drawn.image)
    dna = dna if drawn.channel is None else dna[drawn.channel]
    truth = tifffile.imread(data / drawn.labels).astype(np.uint32)
    found = segment_fluorescence(dna, pixel_size_um=drawn.pixel_um, max_area_um2=LARGEST_UM2)
    return [match_instances(truth, found, iou) for iou in IOUS]


def main() -> None:
    """Print a row for each image."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the real data sets")
    options = parser.parse_args()
    print("| image | " + " | ".join(f"F1 at IoU {iou}" for iou in IOUS) + " | found / true |")
    print("| --- |" + " --- |" * (len(IOUS) + 1))
    for name, drawn in IMAGES.items():
        own = scores(options.data, drawn)
        cells = " | ".join(f"{score.f1:.2f}" for score in own)
        print(f"| {name} | {cells} | {own[0].tp + own[0].fp} / {own[0].tp + own[0].fn} |")


if __name__ == "__main__":
    main()
