"""Compare our columns with those that the real CellProfiler 4.2.8.1 wrote.

    python benchmarks/cellprofiler_parity.py ../shared/cellprofiler/reference \
        [--demo STAINED CELLPROFILER_TABLES] [--write docs/cellprofiler.md] [-o parity.json]

The reference is a plate of 2 wells x 2 sites with CellProfiler's tables and masks. With --demo,
also what `fluorgen stain` wrote for the sample data, and CellProfiler for its export with
fluorgen_masks.cppipe. The features beyond the basic ones are compared where cp-measure is
installed. --write puts the tables into the documentation, between its two marks.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import re
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tifffile

from napari_fluorgen.io import list_fields, read_field
from napari_fluorgen.measurement import measure_field, measure_labels
from napari_fluorgen.measurement.extra import FAMILIES, extra_installed
from napari_fluorgen.measurement.intensity import scale_counts

OBJECTS = ("Nuclei", "Cells", "Cytoplasm", "LipidDroplets")
IMAGES = ("Hoechst", "Bodipy", "CellTracker", "Confidence")
TOLERANCE = 1e-6
BEYOND = re.compile(
    "Texture_|Granularity_|RadialDistribution_|AreaShape_Zernike_|Correlation_|Neighbors_"
)
NOT_MEASURED = re.compile(
    "^(Metadata_|ExecutionTime_|FileName_|PathName_|MD5Digest_|URL_|Objects(File|Path|URL)|Group_"
    "|ModuleError_|Scaling_|Threshold_|Frame_|Series_|ProcessingStatus|Channel_|ImageSet_)"
    "|ObjectNumber$|ImageNumber$"
)
OURS_ALONE = re.compile("^(Metadata_|Confidence_|Fluorgen_)|ObjectNumber$|ImageNumber$")
REASONS = {
    "CentralMoment_0_1": "zero by definition: rounding errors are compared",
    "CentralMoment_1_0": "zero by definition: rounding errors are compared",
    "AreaShape_Orientation": "objects as long as they are wide: 45° or −45° by a rounding error",
    "AreaShape_Zernike": "droplets of a few pixels: cp-measure's enclosing circle differs",
    "Granularity": "sums in single precision",
    "Location_Center_Z": "CellProfiler gives loaded masks no depth; ours is 0",
}
MARKS = "<!-- parity: benchmarks/cellprofiler_parity.py -->", "<!-- end of parity -->"
Tables = dict[str, dict]


def read(path: Path) -> list[dict[str, str]]:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return list(csv.DictReader(io.StringIO(data.decode())))


def measure_reference(folder: Path, families: tuple[str, ...]) -> list[Tables]:
    fields = []
    for row in read(folder / "plate" / "load_data.csv"):
        stem = row["Image_ObjectsFileName_Nuclei"].removesuffix("_Nuclei.tif")
        labels = {"Nuclei": tifffile.imread(folder / "plate" / "masks" / f"{stem}_Nuclei.tif")}
        for name in OBJECTS[1:]:
            path = folder / "outputs" / "masks" / f"{stem}_{name}.tiff"
            labels[name] = tifffile.imread(path)
        images = {
            name: scale_counts(tifffile.imread(folder / "plate" / "images" / f"{stem}_{name}.tif"))
            for name in IMAGES
        }
        fields.append(measure_labels(labels, images, families=families))
    return fields


def measure_stained(folder: Path) -> list[Tables]:
    return [measure_field(read_field(folder, name)).tables for name in list_fields(folder)]


def compare(fields: list[Tables], theirs: dict[str, list[dict[str, str]]]) -> dict[str, dict]:
    result = {}
    for table, rows in theirs.items():
        ours = {name for name in fields[0][table] if not OURS_ALONE.search(name)}
        wanted = {name for name in rows[0] if not NOT_MEASURED.search(name)}
        differing: dict[str, float] = {}
        for name in sorted(ours & wanted):
            mine = np.concatenate([np.asarray(field[table][name], float) for field in fields])
            real = np.array([float(row[name] or "nan") for row in rows])
            missing = np.isnan(mine) | np.isnan(real)
            # values near zero are held against the size of their column
            size = np.sqrt(np.mean(real[~missing] ** 2)) if not missing.all() else 0.0
            close = np.abs(mine - real) <= TOLERANCE * np.maximum(np.abs(real), size)
            close |= np.isnan(mine) & np.isnan(real)
            if not close.all():
                differing[name] = float(np.mean(~close))
        result[table] = {
            "rows": len(rows),
            "columns": sorted(ours & wanted),
            "only ours": sorted(ours - wanted),
            "only theirs": sorted(wanted - ours),
            "differing": differing,
        }
    return result


def split(result: dict[str, dict], beyond: bool) -> dict[str, dict]:
    """Return the part of a comparison with the basic columns, or with those beyond them."""

    def chosen(names: Iterable[str]) -> list[str]:
        return [name for name in names if bool(BEYOND.search(name)) == beyond]

    return {
        table: {
            key: {name: value[name] for name in chosen(value)}
            if isinstance(value, dict)
            else chosen(value)
            if isinstance(value, list)
            else value
            for key, value in entry.items()
        }
        for table, entry in result.items()
    }


def reason(name: str) -> str:
    found = [text for pattern, text in REASONS.items() if pattern in name]
    return found[0] if found else "?"


def page(title: str, result: dict[str, dict]) -> list[str]:
    lines = [
        f"| {title} | rows | columns | equal within 1e-6 | other |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    total = np.zeros(3, int)
    for table, entry in result.items():
        if not entry["columns"]:
            continue
        other = len(entry["differing"])
        counts = len(entry["columns"]), len(entry["columns"]) - other, other
        total += counts
        lines.append(f"| {table} | {entry['rows']} | " + " | ".join(map(str, counts)) + " |")
    lines.append(f"| all | | {total[0]} | {total[1]} ({total[1] / total[0]:.1%}) | {total[2]} |")
    # the tail of a name says which feature it is, whatever it was averaged over
    groups: dict[tuple[str, str], list[str]] = {}
    for table, entry in result.items():
        for name, share in entry["differing"].items():
            short = re.sub(r"(Zernike|Granularity)_\d+_\w+$", r"\1_…", name)
            groups.setdefault((table, short), []).append(f"{share:.1%}")
        for name in entry["only ours"]:
            groups.setdefault((table, name), []).append("all")
    if groups:
        lines += [
            "",
            "| other | columns | rows that differ | reason |",
            "| --- | ---: | ---: | --- |",
        ]
        for (table, name), shares in groups.items():
            lines.append(f"| {table} `{name}` | {len(shares)} | {shares[0]} | {reason(name)} |")
    absent = [f"{table} `{n}`" for table, entry in result.items() for n in entry["only theirs"]]
    lines += [
        "",
        "Names that CellProfiler has and we do not: " + (", ".join(absent) or "none") + ".",
    ]
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--demo", type=Path, nargs=2, metavar=("STAINED", "TABLES"))
    parser.add_argument("--write", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    families = FAMILIES if extra_installed() else ()
    start = time.process_time()
    fields = measure_reference(arguments.reference, families)
    seconds = time.process_time() - start
    tables = ("Image", *OBJECTS)
    theirs = {name: read(arguments.reference / "outputs" / f"{name}.csv.gz") for name in tables}
    result = {"reference": compare(fields, theirs)}
    lines = page("reference plate, basic", split(result["reference"], False))
    if families:
        lines += page("reference plate, beyond", split(result["reference"], True))
    if arguments.demo:
        stained, written = arguments.demo
        theirs = {name: read(written / f"{name}.csv") for name in tables}
        result["demo"] = compare(measure_stained(stained), theirs)
        lines += page("sample data as stained and exported, basic", result["demo"])
    print("\n".join(lines))
    print(f"{seconds:.1f} s of CPU for the {len(fields)} fields of the reference")
    if arguments.write:
        text = arguments.write.read_text(encoding="utf-8")
        before, rest = text.split(MARKS[0])
        after = rest.split(MARKS[1])[1]
        body = "\n".join(["", *lines])
        arguments.write.write_text(before + MARKS[0] + body + MARKS[1] + after, encoding="utf-8")
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
