"""Run the challenge's pipeline on predicted stains, and measure its 99 features without it.

    python benchmarks/challenge_features.py STAINED ../shared/cellprofiler/challenge_20x.cppipe

STAINED is a folder that `fluorgen stain` wrote as TIFF. The real CellProfiler
(FLUORGEN_CELLPROFILER) runs the pipeline twice: unchanged, and with modules at its end that save
its objects, on which our functions then measure. Prints how many of the 99 numbers are equal.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path

import numpy as np
import tifffile

from napari_fluorgen.io import list_fields, read_field
from napari_fluorgen.measurement import feature_names, find_cellprofiler, run_pipeline
from napari_fluorgen.measurement.challenge_features import challenge_features
from napari_fluorgen.measurement.intensity import scale_counts

STAINS = ("nuclei", "lipids", "cytoplasm")
IMAGES = ("Hoechst", "Bodipy", "CellTrackerRed")
OBJECTS = ("nuclei", "nuclei_no_edge", "cells_no_edge", "Lipids_no_edge")
DEFECTS = "Defect_image_rescaled"
NAME = "fluorgen_#655090_A01_T0001F{number:03d}L01A0{channel}Z01C0{channel}"
HEAD = (
    "{name}:[module_num:{number}|svn_version:'Unknown'|variable_revision_number:{revision}"
    "|show_window:False|notes:[]|batch_state:array([], dtype=uint8)|enabled:True"
    "|wants_pause:False]\n"
)
CONVERT = """    Select the input objects:{name}
    Name the output image:{name}_labels
    Select the color format:uint16
    Select the colormap:Default

"""
SAVE = """    Select the type of image to save:Image
    Select the image to save:{image}
    Select method for constructing file names:From image filename
    Select image name for file prefix:Bodipy
    Enter single file name:none
    Number of digits:4
    Append a suffix to the image file name?:Yes
    Text to append to the image name:_{name}
    Saved file format:tiff
    Output file location:Default Output Folder|
    Image bit depth:{depth}
    Overwrite existing files without warning?:Yes
    When to save:Every cycle
    Record the file and path information to the saved image?:No
    Create subfolders in the output folder?:No
    Base image folder:Default Output Folder|
    How to save the series:T (Time)
    Save with lossless compression?:Yes

"""


def saving(pipeline: str) -> str:
    """Return the pipeline with modules that save its objects, before the last one."""
    count = pipeline.count("[module_num:")
    start = pipeline.rindex("\n", 0, pipeline.index(f"[module_num:{count}|")) + 1
    number, added = count, ""

    def head(name: str, revision: int) -> str:
        nonlocal number
        number += 1
        return HEAD.format(name=name, number=number - 1, revision=revision)

    for name in OBJECTS:
        added += head("ConvertObjectsToImage", 1) + CONVERT.format(name=name)
        added += head("SaveImages", 16) + SAVE.format(
            image=f"{name}_labels", name=name, depth="16-bit integer"
        )
    added += head("SaveImages", 16) + SAVE.format(
        image=DEFECTS, name=DEFECTS, depth="32-bit floating point"
    )
    last = pipeline[start:].replace(f"module_num:{count}|", f"module_num:{number}|")
    text = pipeline[:start] + added + last
    return text.replace(f"ModuleCount:{count}", f"ModuleCount:{number}")


def write_stains(stained: Path, folder: Path) -> list[str]:
    names = list_fields(stained)
    for number, name in enumerate(names, 1):
        field = read_field(stained, name)
        for channel, stain in enumerate(STAINS, 1):
            file = NAME.format(number=number, channel=channel) + ".tif"
            tifffile.imwrite(folder / file, field.images[stain], metadata=None)
    return names


def measure(folder: Path, saved: Path, number: int) -> dict[str, float]:
    images = {
        name: scale_counts(
            tifffile.imread(folder / f"{NAME.format(number=number, channel=channel)}.tif")
        )
        for channel, name in enumerate(IMAGES, 1)
    }
    stem = NAME.format(number=number, channel=2)
    images[DEFECTS] = tifffile.imread(saved / f"{stem}_{DEFECTS}.tiff").astype(np.float32)
    labels = {name: tifffile.imread(saved / f"{stem}_{name}.tiff") for name in OBJECTS}
    return challenge_features(labels, images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stained", type=Path)
    parser.add_argument("pipeline", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    command = find_cellprofiler()
    if command is None:
        parser.error("CellProfiler was not found: set FLUORGEN_CELLPROFILER")
    text = arguments.pipeline.read_text()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        rows = {}
        for kind, contents in (("unchanged", text), ("saving", saving(text))):
            folder = root / kind
            folder.mkdir()
            names = write_stains(arguments.stained, folder)
            pipeline = root / f"{kind}.cppipe"
            pipeline.write_text(contents)
            rows[kind] = run_pipeline(
                command, pipeline, folder, root / f"{kind}-out", images=len(names)
            )
        ours = [
            measure(root / "saving", root / "saving-out", number)
            for number in range(1, len(names) + 1)
        ]
    different: dict[str, float] = {}
    for name in feature_names():
        for mine, row in zip(ours, rows["unchanged"], strict=True):
            theirs = float(row[name] or "nan")
            if math.isnan(theirs) and math.isnan(mine[name]):
                continue
            error = abs(mine[name] - theirs) / max(abs(theirs), 1e-12)
            if not error <= 1e-6:
                different[name] = max(different.get(name, 0.0), error)
    counts = {
        name: {
            key: float(row[f"Count_{key}"]) for key in ("nuclei", "cells_no_edge", "Lipids_no_edge")
        }
        for name, row in zip(names, rows["unchanged"], strict=True)
    }
    missing = [
        n
        for n in feature_names()
        if all(math.isnan(float(r[n] or "nan")) for r in rows["unchanged"])
    ]
    result = {
        "counts": counts,
        "features": len(feature_names()),
        "equal": len(feature_names()) - len(different),
        "without a value": len(missing),
        "different": different,
    }
    print(json.dumps(result, indent=1))
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
