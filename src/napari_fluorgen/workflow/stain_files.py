"""Stain images in a folder, by the names of their files: true stains, or another program's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from numpy.typing import NDArray

from napari_fluorgen.errors import InputError
from napari_fluorgen.stack import STAINS, StainedField

if TYPE_CHECKING:
    from napari_fluorgen.models import NucleiSettings


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
        labels = read_tiff(self.labels, as_stored=True) if self.labels is not None else None
        return StainImages(self.name, images, labels)


@dataclass(frozen=True)
class StainImages:
    """Stains of one field.

    Attributes
    ----------
    name : str
        Of the field.
    images : mapping of str to ndarray, shape (Y, X)
        By stain.
    nuclei_labels : ndarray, shape (Y, X), or None
        Of its nuclei.
    pixel_size_um : tuple of float (y, x) or None
        None where it is not known.
    nuclei_settings : NucleiSettings or None
        How the model that made the stains cuts nuclei; None where no model of ours did.
    """

    name: str
    images: Mapping[str, NDArray]
    nuclei_labels: NDArray | None = None
    pixel_size_um: tuple[float, float] | None = None
    nuclei_settings: NucleiSettings | None = None

    @classmethod
    def of_field(cls, field: StainedField) -> StainImages:
        """Take what is compared of a result; raises `InputError` where its record is damaged."""
        from napari_fluorgen.workflow.provenance import recorded_nuclei

        name = field.identity.name
        settings = recorded_nuclei(field.provenance, name)
        return cls(name, field.images, field.nuclei_labels, field.pixel_size_um, settings)


def find_stains(folder: str | Path, notes: list[str] | None = None) -> dict[str, StainFiles]:
    """List the stain images below a folder by field name; nothing is read.

    Parameters
    ----------
    folder : path
        With CellVoyager names (C01 nuclei, C02 lipids, C03 cytoplasm) or ``<name>_nuclei.tif``
        and so on; labels of nuclei lie in ``labels/<name>_nuclei.tif``. A channel that a
        plate's settings light with the lamp is no stain, and neither is one of several planes.
    notes : list of str, optional
        Gains a sentence on each channel that is left out.

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
    paths = [path for path in sorted(folder.rglob("*")) if _may_be_stain(path)]
    left_out, reasons = _left_out(paths)
    images: dict[str, dict[str, Path]] = {}
    labels: dict[str, Path] = {}
    for path in paths:
        found = _stain_of(path)
        of_objects = path.parent.name == "labels"
        if found is None or path in left_out or (of_objects and found[1] != "nuclei"):
            continue  # other labels are of cells
        name, stain = found
        known = labels if of_objects else images.setdefault(name, {})
        key = name if of_objects else stain
        if key in known:
            raise InputError(
                f"{folder} holds {stain} of '{name}' twice, {known[key]} and {path}: "
                "name the folder of one of them."
            )
        known[key] = path
    if not any(images.values()):
        raise InputError(
            f"{folder} holds no stains: expected the channels C01, C02, C03 of a plate, one plane "
            "each, or files named <field>_nuclei.tif, <field>_lipids.tif, <field>_cytoplasm.tif"
            + "".join(f"; {reason.removesuffix('.')}" for reason in reasons)
            + "."
        )
    if notes is not None:
        notes += reasons
    return {name: StainFiles(name, files, labels.get(name)) for name, files in images.items()}


def _may_be_stain(path: Path) -> bool:
    return (
        path.suffix.lower() in (".tif", ".tiff", ".png")
        and not path.name.startswith(".")
        and path.parent.name != "confidence"
    )


def _stain_of(path: Path) -> tuple[str, str] | None:
    """Name of the field and the stain of an image file; None where it is no stain."""
    from napari_fluorgen.io.cellvoyager import parse_name

    plane = parse_name(path.name)
    if plane is not None:
        stain = 1 <= plane.channel <= len(STAINS)
        return (plane.stem, STAINS[plane.channel - 1]) if stain else None
    name, _, last = path.stem.rpartition("_")
    return (name, last) if name and last in STAINS else None


def _left_out(paths: Iterable[Path]) -> tuple[set[Path], list[str]]:
    """Images of a plate that are no stain though their channel is one, and sentences on them."""
    from napari_fluorgen.io.cellvoyager import parse_name
    from napari_fluorgen.io.cellvoyager_xml import read_metadata

    planes: dict[tuple[Path, str, int], dict[Path, int]] = defaultdict(dict)
    for path in paths:
        plane = parse_name(path.name)
        if plane is not None and 1 <= plane.channel <= len(STAINS):
            planes[path.parent, plane.stem, plane.channel][path] = plane.plane
    plates = {plate for plate, _, _ in planes}
    # The heights, a record an image, are not asked for.
    lamp = {plate: read_metadata(plate, (".mes",)).transmitted for plate in plates}
    left_out: set[Path] = set()
    fields: dict[str, list[str]] = defaultdict(list)
    for (plate, name, channel), numbers in planes.items():
        depth = len(set(numbers.values()))
        if channel in lamp[plate]:
            reason = f"C{channel:02d} of {plate} is lit by the lamp"
        elif depth > 1:
            reason = f"C{channel:02d} of {plate} has {depth} planes"
        else:
            continue
        left_out |= numbers.keys()
        fields[f"{reason}: no {STAINS[channel - 1]} stain is read of"].append(name)
    return left_out, [
        f"{reason} {len(names)} field{'s' * (len(names) != 1)}, the first is {names[0]}."
        for reason, names in fields.items()
    ]


def outline_nuclei(
    truth: StainImages,
    pixel_size_um: tuple[float, float] | None,
    settings: NucleiSettings | None,
) -> StainImages:
    """Return a truth with the nuclei of its nuclear stain labelled, where it has no labels.

    Parameters
    ----------
    truth : StainImages
        True stains, labels, or both.
    pixel_size_um : tuple of float (y, x) or None
        0.325 µm where it is not known.
    settings : NucleiSettings or None
        Of the model that is compared, whose limits of size hold for the truth, too; the usual
        ones where there is none.
    """
    if truth.nuclei_labels is not None or "nuclei" not in truth.images:
        return truth
    from napari_fluorgen.measurement.pixel_size import DEFAULT_PIXEL_SIZE_UM
    from napari_fluorgen.models import NucleiSettings
    from napari_fluorgen.segmentation import segment_fluorescence

    limits = settings or NucleiSettings()
    labels = segment_fluorescence(
        truth.images["nuclei"],
        pixel_size_um=pixel_size_um or (DEFAULT_PIXEL_SIZE_UM, DEFAULT_PIXEL_SIZE_UM),
        min_area_um2=limits.min_area_um2,
        max_area_um2=limits.max_area_um2,
    )
    return replace(truth, nuclei_labels=labels)
