"""The modules with which CellProfiler's window takes files that are dropped into it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from napari_fluorgen.measurement.cppipe import Module

METADATA_TABLE = "metadata.csv"
"""Plate, well and site of each field; what its file names do not say."""

FIELD_PATTERN = (
    r"^(?P<Field>.+?)(?:A0[1-3]Z01C0[1-3]|_nuclei|_lipids|_cytoplasm|_p-nucleus|_Nuclei|_Cells"
    r"|_LipidDroplets)[.]tif$"
)
"""A field is the part of a file name that its images and masks share."""

Rules = Mapping[str, tuple[str, str]]
"""Name of an image or object set -> folder and end of its files' names."""


def window_rules(
    rows: Sequence[Mapping[str, str | int]], images: Sequence[str]
) -> tuple[list[str], Rules, Rules] | None:
    """Return the fields by their file names, and the rules for images and objects.

    Parameters
    ----------
    rows : sequence of mapping
        LoadData rows, with masks.
    images : sequence of str
        Names of the images.

    Returns
    -------
    tuple or None
        None where file names do not tell which field a file belongs to, or not in the same way
        in all fields.
    """
    fields: list[str] = []
    rules: dict[str, tuple[str, str]] = {}
    objects = [key.split("_")[-1] for key in rows[0] if key.startswith("Image_ObjectsFileName_")]
    for row in rows:
        stems = set()
        for name in (*images, *objects):
            kind = "" if name in images else "Objects"
            file = str(row[f"Image_{kind}FileName_{name}"])
            match = re.match(FIELD_PATTERN, file)
            if match is None:
                return None
            stems.add(match["Field"])
            rule = (str(row[f"Image_{kind}PathName_{name}"]), file[len(match["Field"]) :])
            if rules.setdefault(name, rule) != rule:
                return None
        if len(stems) != 1:
            return None
        fields += stems
    if len(set(fields)) != len(fields):
        return None
    return (
        fields,
        {name: rules[name] for name in images},
        {name: rules[name] for name in objects},
    )


def input_modules(images: Rules, objects: Rules) -> list[Module]:
    """Return Images, Metadata, NamesAndTypes and Groups for an exported folder.

    Parameters
    ----------
    images, objects : mapping of str to (folder, end of the file name)
    """
    return [
        (
            "Images",
            2,
            "Drop this folder here.",
            [
                ("", ""),
                ("Filter images?", "Images only"),
                ("Select the rule criteria", "and (extension does isimage)"),
            ],
        ),
        (
            "Metadata",
            6,
            "Set the Default Input Folder to this folder.",
            [
                ("Extract metadata?", "Yes"),
                ("Metadata data type", "Text"),
                ("Metadata types", "{}"),
                ("Extraction method count", 2),
                *_from_names(),
                *_from_table(),
            ],
        ),
        _names_and_types(images, objects),
        (
            "Groups",
            2,
            "Each field by itself.",
            [
                ("Do you want to group your images?", "No"),
                ("grouping metadata count", 1),
                ("Metadata category", "None"),
            ],
        ),
    ]


def _from_names() -> list[tuple[str, object]]:
    return [
        ("Metadata extraction method", "Extract from file/folder names"),
        ("Metadata source", "File name"),
        ("Regular expression to extract from file name", FIELD_PATTERN),
        ("Regular expression to extract from folder name", "(?P<Folder>.*)$"),
        ("Extract metadata from", "All images"),
        ("Select the filtering criteria", 'and (file does contain "")'),
        ("Metadata file location", "Elsewhere...|"),
        ("Match file and image metadata", "[]"),
        ("Use case insensitive matching?", "No"),
        ("Metadata file name", "None"),
        ("Does cached metadata exist?", "No"),
    ]


def _from_table() -> list[tuple[str, object]]:
    changed = {
        "Metadata extraction method": "Import from file",
        "Metadata file location": "Default Input Folder|",
        "Match file and image metadata": "[{'Image Metadata': 'Field', 'CSV Metadata': 'Field'}]",
        "Metadata file name": METADATA_TABLE,
    }
    return [(name, changed.get(name, value)) for name, value in _from_names()]


def _names_and_types(images: Rules, objects: Rules) -> Module:
    matched = dict.fromkeys((*images, *objects), "Field")
    settings: list[tuple[str, object]] = [
        ("Assign a name to", "Images matching rules"),
        ("Select the image type", "Grayscale image"),
        ("Name to assign these images", "DNA"),
        ("Match metadata", f"[{matched!r}]"),
        ("Image set matching method", "Metadata"),
        ("Set intensity range from", "Image metadata"),
        ("Assignments count", len(images) + len(objects)),
        ("Single images count", 0),
        ("Maximum intensity", 255.0),
        ("Process as 3D?", "No"),
        ("Relative pixel spacing in X", 1.0),
        ("Relative pixel spacing in Y", 1.0),
        ("Relative pixel spacing in Z", 1.0),
    ]
    for kind, rules in (("Grayscale image", images), ("Objects", objects)):
        for name, (folder, end) in rules.items():
            settings += [
                (
                    "Select the rule criteria",
                    f'and (directory does endwith "{folder}") (file does endwith "{end}")',
                ),
                ("Name to assign these images", name if kind != "Objects" else f"{name}Mask"),
                ("Name to assign these objects", name if kind == "Objects" else f"{name}Objects"),
                ("Select the image type", kind),
                ("Set intensity range from", "Image bit-depth"),
                ("Maximum intensity", 255.0),
            ]
    return ("NamesAndTypes", 8, "Stains, and masks as objects.", settings)
