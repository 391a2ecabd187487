"""A plate: its fields, and what is missing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from napari_fluorgen.errors import InputError
from napari_fluorgen.io.files import ImageFile, check_one_shape, notes_of, open_image
from napari_fluorgen.io.lazy import Plane, PlaneImage, PlaneStack
from napari_fluorgen.io.results import file_stem
from napari_fluorgen.stack import BrightfieldStack, FieldIdentity


@dataclass(frozen=True)
class FieldEntry:
    """Files of one field.

    Attributes
    ----------
    identity : FieldIdentity
        Plate, well, site, time point; the name is the files' common stem.
    planes : tuple of Path
        Brightfield files by ascending plane number.
    plane_numbers, missing : tuple of int
        Plane numbers that are there, and those that other fields of the plate have.
    truth : mapping of str to Path
        Files of true stains.
    channel_files : mapping of str to str
        Name that each stain's file has or would have.
    z_um : tuple of float or None
        Heights of `planes` by the plate's metadata.
    notes : tuple of str
        What was left out.
    """

    identity: FieldIdentity
    planes: tuple[Path, ...]
    plane_numbers: tuple[int, ...]
    missing: tuple[int, ...] = ()
    truth: Mapping[str, Path] = field(default_factory=dict)
    channel_files: Mapping[str, str] = field(default_factory=dict)
    z_um: tuple[float, ...] | None = None
    pixel_size_um: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> Path | None:
        """File with the labels of its true nuclei beside its planes, None where there is none."""
        if not self.planes:
            return None
        path = self.planes[0].parent / "labels" / f"{file_stem(self.identity)}_nuclei.tif"
        return path if path.is_file() else None

    def describe_missing(self) -> str:
        """Sentence on the planes that are missing."""
        planes = ", ".join(f"Z{number:02d}" for number in self.missing)
        return (
            f"{self.identity.name}: brightfield planes {planes} are missing, so the field is "
            "skipped; copy them beside the others to read it."
        )

    def read(self) -> BrightfieldStack:
        """Open the field; pixels are read when sliced.

        Raises
        ------
        InputError
            A file is damaged, or planes differ in shape.
        """
        if not self.planes:
            raise InputError(
                f"{self.identity.name} has no brightfield planes: copy them beside its other files."
            )
        files = [open_plane(path) for path in self.planes]
        planes: tuple[Plane, ...] = tuple(file.planes[0] for file in files)
        check_one_shape(planes, [path.name for path in self.planes], self.planes[0].parent)
        notes = [*self.notes, *notes_of(files)]
        truth = {}
        for stain, path in self.truth.items():
            try:
                file = open_plane(path)
            except InputError as error:
                notes.append(f"The true {stain} stain is left out: {error}")
                continue
            plane = file.planes[0]
            if plane.shape != planes[0].shape:
                notes.append(f"{path.name} is left out: its shape differs from the brightfield's.")
                continue
            notes += [f"{path.name}: {note}" for note in file.notes]
            truth[stain] = PlaneImage([plane])
        return BrightfieldStack(
            data=PlaneStack(planes),
            identity=self.identity,
            pixel_size_um=self.pixel_size_um or files[0].pixel_size_um,
            z_um=self.z_um,
            truth=truth,
            source=str(self.planes[0].parent),
            channel_files=self.channel_files,
            notes=tuple(notes),
        )


def open_plane(path: Path, *, as_stored: bool = False) -> ImageFile:
    """Open a file that must hold one plane, with the options of `open_image`.

    Raises
    ------
    InputError
        Damaged, or a stack.
    """
    file = open_image(path, as_stored=as_stored)
    if len(file.planes) != 1:
        raise InputError(f"{path} holds {len(file.planes)} planes: expected a file a plane.")
    return file


@dataclass(frozen=True)
class Plate:
    """Fields of a plate; iterating opens those that are complete, one after the other.

    Attributes
    ----------
    name : str
        As the instrument wrote it.
    folder : Path
        Where the files are.
    fields : tuple of FieldEntry
        By well, site and time point, incomplete ones included.
    notes : tuple of str
        Holes and files that were left out, in sentences for the user.
    """

    name: str
    folder: Path
    fields: tuple[FieldEntry, ...]
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> tuple[FieldEntry, ...]:
        """Fields that lack no plane."""
        return tuple(entry for entry in self.fields if entry.planes and not entry.missing)

    @property
    def wells(self) -> tuple[str, ...]:
        """Wells with at least one file, by row and column."""
        return tuple(dict.fromkeys(entry.identity.well or "" for entry in self.fields))

    def entries(self, well: str) -> tuple[FieldEntry, ...]:
        """Complete fields of a well, by site and time point."""
        return tuple(entry for entry in self.complete if entry.identity.well == well)

    def sites(self, well: str) -> tuple[int, ...]:
        """Sites of a well that have complete fields."""
        return tuple(dict.fromkeys(entry.identity.site or 0 for entry in self.entries(well)))

    def __len__(self) -> int:
        return len(self.complete)

    def __iter__(self) -> Iterator[BrightfieldStack]:
        for entry in self.complete:
            try:
                stack = entry.read()
            except InputError as error:
                warnings.warn(f"Field skipped: {error}", stacklevel=2)
                continue
            yield stack

    def read(
        self, well: str, site: int, *, timepoint: int | None = None, allow_missing: bool = False
    ) -> BrightfieldStack:
        """Open one field.

        Parameters
        ----------
        well : str
            For example ``"D04"``.
        site : int
            Field of view.
        timepoint : int, optional
            The first one that lacks no plane where omitted.
        allow_missing : bool
            Whether a field that lacks planes is read with those it has.

        Raises
        ------
        InputError
            No such field, missing planes, or damaged files.
        """
        found = [
            entry
            for entry in self.fields
            if (entry.identity.well, entry.identity.site) == (well.upper(), site)
            and timepoint in (None, entry.identity.timepoint)
        ]
        for entry in found:
            if allow_missing or not entry.missing:
                return entry.read()
        if found:
            raise InputError(found[0].describe_missing())
        raise InputError(
            f"{self.folder} has no well {well} site {site}"
            + ("" if timepoint is None else f" at time point {timepoint}")
            + f": it has wells {', '.join(self.wells)}"
            + (f" and in {well} the sites {self.sites(well)}." if self.sites(well) else ".")
        )
