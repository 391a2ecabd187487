"""Metadata of a plate that is written in CellVoyager naming, as the instrument leaves it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from napari_fluorgen.io.atomic import atomic_path
from napari_fluorgen.io.cellvoyager import BRIGHTFIELD_CHANNEL, PlaneName, parse_name

_HEAD = '<?xml version="1.0" encoding="utf-8"?>\n'
_SCHEMA = 'bts:Version="1.0" xmlns:bts="http://www.yokogawa.co.jp/BTS/BTSSchema/1.0"'


def write_metadata(
    folder: Path,
    *,
    pixel_size_um: tuple[float, float],
    z_um: Sequence[float],
    overwrite: bool = False,
) -> list[Path]:
    """Write ``MeasurementDetail.mrf`` and ``MeasurementData.mlf`` for the images of a folder.

    Parameters
    ----------
    folder : Path
        Holds images in CellVoyager naming.
    pixel_size_um : tuple of float (y, x)
        Micrometres a pixel, of all channels.
    z_um : sequence of float
        Height of the brightfield planes Z01, Z02 … in micrometres; other channels get 0.
    overwrite : bool
        Whether older metadata may be replaced.

    Returns
    -------
    list of Path
        Both files.

    Raises
    ------
    OutputError
        They exist, or the folder is not writable.
    """
    names = {path.name: parse_name(path.name) for path in sorted(folder.iterdir())}
    images = {text: name for text, name in names.items() if name is not None}
    channels = "".join(
        _tag("MeasurementChannel", _channel(channel, pixel_size_um)) + "\n"
        for channel in sorted({name.channel for name in images.values()})
    )
    records = "".join(
        _tag("MeasurementRecord", _position(name, z_um), text) + "\n"
        for text, name in images.items()
    )
    contents = {
        "MeasurementDetail.mrf": ("MeasurementDetail", channels),
        "MeasurementData.mlf": ("MeasurementData", records),
    }
    written = []
    for name, (root, body) in contents.items():
        with atomic_path(folder / name, overwrite=overwrite) as temporary:
            text = f"{_HEAD}<bts:{root} {_SCHEMA}>\n{body}</bts:{root}>\n"
            temporary.write_text(text, encoding="utf-8")
        written.append(folder / name)
    return written


def _tag(tag: str, attributes: dict[str, Any], text: str = "") -> str:
    inner = " ".join(f"bts:{key}={quoteattr(str(value))}" for key, value in attributes.items())
    return f"<bts:{tag} {inner}>{escape(text)}</bts:{tag}>" if text else f"<bts:{tag} {inner} />"


def _channel(channel: int, pixel_size_um: tuple[float, float]) -> dict[str, Any]:
    y, x = pixel_size_um
    return {"Ch": channel, "HorizontalPixelDimension": x, "VerticalPixelDimension": y}


def _position(name: PlaneName, z_um: Sequence[float]) -> dict[str, Any]:
    brightfield = name.channel == BRIGHTFIELD_CHANNEL
    letters = name.well.rstrip("0123456789")
    row = 0
    for letter in letters:
        row = row * 26 + ord(letter) - ord("A") + 1
    return {
        "Type": "IMG",
        "Column": int(name.well[len(letters) :]),
        "Row": row,
        "TimePoint": name.timepoint,
        "FieldIndex": name.site,
        "ZIndex": name.plane,
        "TimelineIndex": 1,
        "ActionIndex": name.action,
        "Action": "3D" if brightfield else "2D",
        "Z": float(z_um[name.plane - 1]) if brightfield else 0.0,
        "Ch": name.channel,
    }
