"""SQLite tables and properties files for CellProfiler Analyst, as ExportToDatabase writes them."""

from __future__ import annotations

import csv
import hashlib
import math
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from napari_fluorgen.errors import OutputError

DATABASE = "fluorgen.db"

_LONGEST = 64  # CellProfiler's setting for the length of a column's name
_MOST = 2000  # SQLite's limit
_SHORTENED = ("aeiou", "bcdfghjklmnpqrstvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_WHOLE = re.compile(
    "(Count|Group|Height|Width|Parent|Number|Intensity_TotalArea)_|Children_.*_Count$"
)
_WELL = re.compile("([A-Za-z]{1,2})([0-9]{1,3})")
_PLATES = ((8, 12), (16, 24), (32, 48))
_COLOURS = ("blue", "green", "red", "gray", "cyan", "magenta", "yellow")

_PROPERTIES = """# CellProfiler Analyst 3.0 properties file

db_type         = sqlite
db_sqlite_file  = ./{database}

image_table   = Per_Image
object_table  = Per_{name}

image_id      = ImageNumber
object_id     = {name}_Number_Object_Number
plate_id      = Image_Metadata_Plate
well_id       = Image_Metadata_Well
series_id     = Image_Group_Number
group_id      = Image_Group_Number
timepoint_id  = Image_Group_Index

cell_x_loc    = {name}_Location_Center_X
cell_y_loc    = {name}_Location_Center_Y

image_path_cols = {paths}
image_file_cols = {files}
image_thumbnail_cols =
image_names = {images}
image_channel_colors = {colours}
channels_per_image  = {channels}
image_channel_blend_modes =
image_url_prepend =

object_name  =  {singular}, {plural},
plate_type  = {plate_type}
classifier_ignore_columns  =  table_number_key_column, image_number_key_column, \
object_number_key_column
image_tile_size   =  50
image_size =
classification_type  =
training_set  =
area_scoring_column =
class_table  =
check_tables = no
force_bioformats = no
use_legacy_fetcher = no
process_3D = False
"""
_SINGULAR = {"Nuclei": "nucleus", "LipidDroplets": "lipid droplet"}
_PLURAL = {"LipidDroplets": "lipid droplets"}


def write_database(tables: Mapping[str, Path], path: Path) -> None:
    """Write ``Per_Image`` and a table for each kind of object from their CSV files.

    Parameters
    ----------
    tables : mapping of str to Path
        ``"Image"`` and objects; files as `write_tables` makes them.
    path : Path
        The database; must not exist.

    Raises
    ------
    OutputError
        A table has more columns than SQLite takes, or the file cannot be written.

    Notes
    -----
    Names are CellProfiler's: ``Nuclei_AreaShape_Area``, shortened to 64 characters by its rule;
    means and standard deviations of objects are left out of ``Per_Image``, as its authors advise.
    """
    heads = {name: _header(file) for name, file in tables.items()}
    chosen = {name: [key for key in head if _kept(name, key)] for name, head in heads.items()}
    short = shorten(f"{name}_{key}" for name, keys in chosen.items() for key in keys)
    try:
        with closing(sqlite3.connect(path)) as database, database:
            for name, file in tables.items():
                if len(chosen[name]) > _MOST - 5:
                    raise OutputError(
                        f"Table {name} has {len(chosen[name])} columns and a SQLite database takes "
                        f"{_MOST}: measure fewer features, or without the database."
                    )
                _write_table(database, name, file, chosen[name], short)
    except sqlite3.Error as error:
        raise OutputError(f"{path.name} cannot be written ({error}): check the disk.") from error


def _header(file: Path) -> list[str]:
    with file.open(newline="", encoding="utf-8") as stream:
        return next(csv.reader(stream))


def _kept(name: str, key: str) -> bool:
    if name == "Image":
        return key != "ImageNumber" and not key.startswith(("Mean_", "StDev_"))
    return key not in ("ImageNumber", "ObjectNumber") and not key.startswith("Metadata_")


def _write_table(
    database: sqlite3.Connection, name: str, file: Path, keys: list[str], short: Mapping[str, str]
) -> None:
    number = "Number_Object_Number"
    ordered = sorted(keys, key=lambda key: (key != number, key))
    names = {key: short[f"{name}_{key}"] for key in ordered}
    columns = ['"ImageNumber" INTEGER', *(f'"{names[key]}" {_kind(key)}' for key in ordered)]
    first = ["ImageNumber"] + ([names[number]] if number in names else [])
    grouped = ["Group_Index", "Group_Length", "Group_Number"] if name == "Image" else []
    columns += [f'"Image_{key}" INTEGER' for key in grouped]
    quoted = ", ".join(f'"{key}"' for key in first)
    database.execute(f"CREATE TABLE Per_{name} ({', '.join(columns)}, PRIMARY KEY ({quoted}))")
    marks = ", ".join("?" * len(columns))
    database.executemany(f"INSERT INTO Per_{name} VALUES ({marks})", _rows(file, ordered, grouped))


def _rows(file: Path, keys: list[str], grouped: list[str]) -> Iterator[list[object]]:
    with file.open(newline="", encoding="utf-8") as stream:
        length = sum(1 for _ in csv.reader(stream)) - 1
    with file.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            image = int(row["ImageNumber"])
            values = [image, *(_value(key, row[key]) for key in keys)]
            # one group, in which each image is a step: what CellProfiler does without groups
            yield values + ([image, length, 1] if grouped else [])


def _kind(key: str) -> str:
    if _WHOLE.match(key):
        return "INTEGER"
    return "TEXT" if _is_text(key) else "FLOAT"


def _is_text(key: str) -> bool:
    return key.startswith(("Metadata_", "FileName_", "PathName_")) or key.endswith("_Decision")


def _value(key: str, text: str) -> object:
    if _is_text(key):
        return text
    number = float(text or "nan")
    if not math.isfinite(number):  # an infinite form factor would spoil every mean
        return None
    return int(number) if _WHOLE.match(key) else number


def shorten(names: Iterable[str]) -> dict[str, str]:
    """Return columns' names of at most 64 characters, by CellProfiler's rule.

    Letters behind the first underscore go, from the end: small vowels, small consonants, capitals.
    Where that hits another name, letters go by a repeatable chance.
    """
    result = {name: name for name in names}
    taken = set(result)
    for name in sorted(result):
        if len(name) <= _LONGEST:
            continue
        taken.discard(name)
        found = _drop_letters(name, name.find("_") if "_" in name else 0)
        found = found if len(found) <= _LONGEST else _drop_letters(found, 0)
        chance = _chance(name)
        while found in taken:
            found = name
            while len(found) > _LONGEST:
                index = next(chance) % len(found)
                found = found[:index] + found[index + 1 :]
        taken.add(found)
        result[name] = found
    return result


def _drop_letters(name: str, start: int) -> str:
    for letters in _SHORTENED:
        for index in range(len(name) - 1, start - 1, -1):
            if len(name) <= _LONGEST:
                return name
            if name[index] in letters:
                name = name[:index] + name[index + 1 :]
    return name


def _chance(seed: str) -> Iterator[int]:
    digest = hashlib.md5(seed.encode(), usedforsecurity=False)
    while True:
        value = digest.digest()
        digest.update(value)
        yield value[0] + 256 * value[1]


def wells_of_plate(wells: Iterable[str]) -> int:
    """Return the wells of the smallest plate, 96, 384 or 1536, that has all of some wells.

    Parameters
    ----------
    wells : iterable of str
        As B02 or AF48; others are passed over.
    """
    found = [match for well in wells if (match := _WELL.fullmatch(well.strip()))]
    row = max((_row(match[1]) for match in found), default=1)
    column = max((int(match[2]) for match in found), default=1)
    fit = [rows * columns for rows, columns in _PLATES if row <= rows and column <= columns]
    return fit[0] if fit else math.prod(_PLATES[-1])


def _row(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        number = 26 * number + ord(letter) - ord("A") + 1
    return number


def properties_name(name: str) -> str:
    """Return the name of the properties file of one kind of object."""
    return f"fluorgen_{name}.properties"


def properties_text(name: str, image_columns: Iterable[str], *, wells: int = 96) -> str:
    """Return the properties file of one kind of object.

    Parameters
    ----------
    name : str
        ``"Nuclei"`` and so on.
    image_columns : iterable of str
        Columns of ``Image.csv``; images are listed where ``FileName_*`` tells their files.
    wells : int
        Of the plate: 96, 384 or 1536.
    """
    images = [key.removeprefix("FileName_") for key in image_columns if key.startswith("FileName_")]
    return _PROPERTIES.format(
        database=DATABASE,
        name=name,
        paths=",".join(f"Image_PathName_{image}" for image in images),
        files=",".join(f"Image_FileName_{image}" for image in images),
        images=",".join(images),
        colours=",".join(_COLOURS[: len(images)]),
        channels=",".join("1" for _ in images),
        singular=_SINGULAR.get(name, name.lower().removesuffix("s")),
        plural=_PLURAL.get(name, name.lower()),
        plate_type=wells,
    )
