"""Stain images in a folder, by the names of their files: true stains, or another program's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from numpy.typing import NDArray

from napari_fluorgen.errors import InputError
from napari_fluorgen.stack import STAINS


@dataclass(frozen=True)
class StainFiles:
    """Images of one field on disk: stains in camera counts, and labels of its nuclei or None."""

    name: str
    images: Mapping[str, Path]
    labels: Path | None = None

    def read(self) -> StainImages:
        """Read the files; raises `InputError` where one is damaged."""
        from napari_fluorgen.io.results import read_tiff

        images = {stain: read_tiff(path) for stain, path in self.images.items()}
        labels = read_tiff(self.labels) if self.labels is not None else None
        return StainImages(self.name, images, labels)


@dataclass(frozen=True)
class StainImages:
    """Stains (Y, X) of one field, labels of its nuclei and its pixel size, or None if unknown."""

    name: str
    images: Mapping[str, NDArray]
    nuclei_labels: NDArray | None = None
    pixel_size_um: tuple[float, float] | None = None


def find_stains(folder: str | Path) -> dict[str, StainFiles]:
    """List the stain images below a folder by field name; nothing is read.

    Parameters
    ----------
    folder : path
        With CellVoyager names (C01 nuclei, C02 lipids, C03 cytoplasm) or ``<name>_nuclei.tif``
        and so on; labels of nuclei lie in ``labels/<name>_nuclei.tif``.

    Returns
    -------
    dict of str to StainFiles
        In the order of the names.

    Raises
    ------
    InputError
        When there are none, or two of the same stain of one field.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: name one with stains (C01, C02, C03).")
    images: dict[str, dict[str, Path]] = {}
    labels: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        found = _stain_of(path)
        if found is None or path.name.startswith(".") or path.parent.name == "confidence":
            continue
        name, stain = found
        known = labels if path.parent.name == "labels" else images.setdefault(name, {})
        key = name if path.parent.name == "labels" else stain
        if key in known:
            raise InputError(
                f"{folder} holds {stain} of '{name}' twice, {known[key]} and {path}: "
                "name the folder of one of them."
            )
        known[key] = path
    if not any(images.values()):
        raise InputError(
            f"{folder} holds no stains: expected the channels C01, C02, C03 of a plate, or files "
            "named <field>_nuclei.tif, <field>_lipids.tif, <field>_cytoplasm.tif."
        )
    return {name: StainFiles(name, files, labels.get(name)) for name, files in images.items()}


def _stain_of(path: Path) -> tuple[str, str] | None:
    """Name of the field and the stain of an image file; None where it is no stain."""
    from napari_fluorgen.io.cellvoyager import parse_name

    if path.suffix.lower() not in (".tif", ".tiff", ".png"):
        return None
    plane = parse_name(path.name)
    if plane is not None:
        stain = 1 <= plane.channel <= len(STAINS) and plane.plane == 1
        return (plane.stem, STAINS[plane.channel - 1]) if stain else None
    name, _, last = path.stem.rpartition("_")
    return (name, last) if name and last in STAINS else None


def outline_nuclei(truth: StainImages, pixel_size_um: tuple[float, float] | None) -> StainImages:
    """Return a truth with the nuclei of its nuclear stain labelled, where it has no labels."""
    if truth.nuclei_labels is not None or "nuclei" not in truth.images:
        return truth
    from napari_fluorgen.measurement.objects import DEFAULT_PIXEL_SIZE_UM
    from napari_fluorgen.segmentation import segment_fluorescence

    size = pixel_size_um or (DEFAULT_PIXEL_SIZE_UM, DEFAULT_PIXEL_SIZE_UM)
    labels = segment_fluorescence(truth.images["nuclei"], pixel_size_um=size)
    return replace(truth, nuclei_labels=labels)
