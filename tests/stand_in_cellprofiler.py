"""Stands in for CellProfiler: takes its arguments, writes its tables, fails as it was seen to.

STAND_IN chooses the way it fails: ``killed`` in the middle of the image sets from the second part
on, while a file of that name lies beside this program's output folder's parent; ``forgets`` the
nuclei; ``sleeps``; ``plugin`` is missing. ``subfolder`` writes into a folder,
with a prefix to the table of the run, and saves pictures too; ``elsewhere`` writes to its input;
``combined`` writes a table of two kinds of object too.
"""

import csv
import os
import re
import signal
import sys
import time
from pathlib import Path

import numpy as np
import tifffile

FOUND = ("Cells", "Cytoplasm", "LipidDroplets")


def write(path, rows, header):
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, header)
        writer.writeheader()
        writer.writerows(rows)


def main():
    if "--version" in sys.argv:
        print("4.2.8.1")
        return
    given = dict(zip(sys.argv[3::2], sys.argv[4::2], strict=True))
    folder, output = Path(given["-i"]), Path(given["-o"])
    way = os.environ.get("STAND_IN", "")
    text = Path(given["-p"]).read_text(encoding="utf-8")
    masks = re.findall(r"Text to append to the image name:_(\w+)", text)
    if way == "plugin":
        print("ValueError: Could not find the VirtualStain module\nComplete")
        return
    with (folder / "load_data.csv").open(newline="", encoding="utf-8") as stream:
        listed = list(csv.DictReader(stream))
    first = int(given.get("-f", 1))
    last = int(given.get("-l", len(listed)))
    tables = {name: [] for name in ("Image", "Nuclei", *FOUND)}
    for number in range(first, last + 1):
        row = listed[number - 1]
        print(f"Image # {number}, module LoadData # 1", flush=True)
        while way == "sleeps":
            time.sleep(0.05)
        if way == "killed" and number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        metadata = {name: value for name, value in row.items() if name.startswith("Metadata_")}
        labels = tifffile.imread(folder / "masks" / row["Image_ObjectsFileName_Nuclei"])
        count = 0 if way == "forgets" else int(labels.max())
        image = {"ImageNumber": number, "ModuleError_01LoadData": 0, **metadata}
        tables["Image"].append(image | {f"Count_{name}": count for name in ("Nuclei", *FOUND)})
        for name in ("Nuclei", *FOUND):
            for label in range(1, count + 1):
                area = int((labels == label).sum())
                tables[name].append(
                    {
                        "ImageNumber": number,
                        "ObjectNumber": label,
                        **metadata,
                        "AreaShape_Area": area,
                    }
                )
        for name in masks:
            (output / "cellprofiler_masks").mkdir(exist_ok=True)
            stem = Path(row["Image_FileName_Hoechst"]).stem
            path = output / "cellprofiler_masks" / f"{stem}_{name}.tiff"
            tifffile.imwrite(path, labels.astype(np.uint16))
    place, prefix = output, ""
    if way == "elsewhere":
        place = folder
    elif way == "subfolder":
        place, prefix = output / "results", "MyExpt_"
        place.mkdir()
        for number in range(first, last + 1):
            (place / f"outlines_{number}.png").write_text(f"picture {number}")
        (place / "all.png").write_text(f"from {first}")
    for name, rows in tables.items():
        empty = ["ImageNumber"] if name == "Image" else ["ImageNumber", "ObjectNumber"]
        write(place / f"{name}.csv", rows, list(rows[0]) if rows else empty)
    if way == "combined":
        both = zip(tables["Nuclei"], tables["Cells"], strict=True)
        lines = [
            "Image,Nuclei,Nuclei,Cells",
            "ImageNumber,ObjectNumber,AreaShape_Area,AreaShape_Area",
        ]
        for nucleus, cell in both:
            numbers = (nucleus["ImageNumber"], nucleus["ObjectNumber"], nucleus["AreaShape_Area"])
            lines.append(",".join(map(str, (*numbers, cell["AreaShape_Area"]))))
        (place / "Combined.csv").write_text("\n".join(lines) + "\n")
    write(place / f"{prefix}Experiment.csv", [], ["Key", "Value"])


main()
