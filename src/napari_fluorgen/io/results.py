"""Results of staining on disk: written so that napari and CellProfiler read them, and read back."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import InputError, OutputError
from napari_fluorgen.io.atomic import atomic_path, ensure_folder, path_exists
from napari_fluorgen.io.files import unreadable
from napari_fluorgen.io.nuclei_table import TABLE, read_csv, write_csv
from napari_fluorgen.io.result_files import RESULT, SOFTWARE, check_own, recorded_files
from napari_fluorgen.io.run_record import RUN_FILE, read_record, read_run, update_run
from napari_fluorgen.stack import STAINS, FieldIdentity, StainedField

FORMATS = ("tiff", "ome-zarr")
_VERDICT = "verdict"


def write_field(
    field: StainedField,
    folder: str | PathLike[str],
    *,
    format: str = "tiff",
    overwrite: bool = False,
    prepared: Path | None = None,
) -> list[Path]:
    """Write stains, nuclei masks, confidence and provenance of a field.

    As TIFF, stains take the instrument's names where the field has them, else
    ``<name>_nuclei.tif`` and so on; beside them ``labels/<name>_nuclei.tif`` (uint16, uint32 past
    65,535 objects), ``confidence/<name>_p-nucleus.tif``, ``_p-background.tif`` and
    ``_probability.tif`` (float32), and ``_width-lipids.tif`` and so on (uint16) where there are
    intervals. As OME-Zarr, ``<name>.ome.zarr`` holds all of it. Either way
    ``confidence/<name>_nuclei.csv`` has a row a nucleus, and ``run.json`` gains a record of the
    field, last, so that a field listed there is complete.

    Parameters
    ----------
    field : StainedField
        The result.
    folder : path-like
        Made where it is missing.
    format : {"tiff", "ome-zarr"}
        Kind of file.
    overwrite : bool
        Whether files of an earlier run may be replaced; never those of anybody else.
    prepared : Path, optional
        An OME-Zarr on the disk of `folder` that holds the field already; it is moved there.

    Returns
    -------
    list of Path
        Files (or the OME-Zarr folder), without ``run.json``.

    Raises
    ------
    OutputError
        Something exists and `overwrite` is false or it is no result of this field, or the folder
        cannot be written; then an older result is still whole, or no longer listed, and nothing
        of a new one is left behind.
    InputError
        ``run.json`` is damaged.
    """
    if format not in FORMATS:
        raise OutputError(f"The format '{format}' is unknown: expected {' or '.join(FORMATS)}.")
    folder = ensure_folder(folder)
    arrays = _tiff_arrays(field) if format == "tiff" else {}
    keys = [*(arrays or ["field"]), *([TABLE] if field.nuclei else [])]
    names = {key: _file_name(key, field.identity, field.channel_files) for key in keys}
    previous = read_record(folder, field.identity.name)
    existing = _check_free(folder, field.identity.name, names, recorded_files(previous), overwrite)
    files = [folder / name for name in names.values()]
    # All are written before the first takes its name: a full disk leaves an older result whole.
    with contextlib.ExitStack() as unfinished:
        for key, file in reversed([*zip(names, files, strict=True)]):  # what is prepared at last
            temporary = unfinished.enter_context(atomic_path(file, overwrite=overwrite))
            if key == TABLE:
                write_csv(temporary, field.nuclei)
            elif key in arrays:
                write_tiff(temporary, arrays[key], field.pixel_size_um)
            else:
                _write_ome_zarr(temporary, field, prepared)
        if previous:  # from here on its files are replaced
            update_run(folder, {field.identity.name: None})
    try:
        update_run(folder, {field.identity.name: _record(field, format, names)})
    except BaseException:
        if prepared is not None:
            files[0].rename(prepared)
        for file in files:
            if file not in existing and file.is_file():
                file.unlink()
        raise
    _drop_stale(folder, previous, names)
    return files


def _write_ome_zarr(path: Path, field: StainedField, prepared: Path | None) -> None:
    from napari_fluorgen.io.omezarr_write import write_stained_field

    if prepared is None:
        write_stained_field(path, field)
    else:
        prepared.rename(path)


def file_stem(identity: FieldIdentity) -> str:
    """Name of a field as part of file names on any system."""
    return re.sub(r'[\\/:*?"<>|\x00-\x1f]+', "_", identity.name).strip(" .") or "field"


def smallest_labels(labels: NDArray[Any]) -> NDArray[Any]:
    """Labels as uint16, or uint32 past 65,535 objects."""
    largest = int(labels.max(initial=0))
    return labels.astype(np.uint16 if largest <= 0xFFFF else np.uint32, copy=False)


def write_tiff(
    path: Path,
    image: NDArray[Any],
    pixel_size_um: tuple[float, float] | None,
    *,
    software: str = SOFTWARE,
) -> None:
    """Write one plane as TIFF with deflate; ImageJ's metadata where it knows the type."""
    import tifffile

    options: dict[str, Any] = {"compression": "zlib", "compressionargs": {"level": 4}}
    options["software"] = software
    imagej = image.dtype in (np.uint8, np.uint16, np.float32)
    if imagej:
        options |= {"imagej": True, "metadata": {"axes": "YX"}}
    if pixel_size_um is not None:
        y, x = pixel_size_um
        if imagej:
            options |= {"resolution": (1 / x, 1 / y), "metadata": {"axes": "YX", "unit": "um"}}
        else:
            options |= {"resolution": (1e4 / x, 1e4 / y), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, np.ascontiguousarray(image), photometric="minisblack", **options)


def _tiff_arrays(field: StainedField) -> dict[str, NDArray[Any]]:
    return {
        **field.images,
        "labels": smallest_labels(field.nuclei_labels),
        "probability": field.nuclei_probability.astype(np.float32, copy=False),
        **{f"p-{key}": p.astype(np.float32, copy=False) for key, p in field.p_values.items()},
        **{f"width-{stain}": width for stain, width in field.widths.items()},
    }


def _file_name(key: str, identity: FieldIdentity, channel_files: Mapping[str, str]) -> str:
    """Where a part of a field's result lies in its folder."""
    stem = file_stem(identity)
    if key in STAINS:
        return Path(channel_files.get(key) or f"{stem}_{key}.tif").name
    if key == "field":
        return f"{stem}.ome.zarr"
    if key == "labels":
        return f"labels/{stem}_nuclei.tif"
    return f"confidence/{stem}_nuclei.csv" if key == TABLE else f"confidence/{stem}_{key}.tif"


def _record(field: StainedField, format: str, names: Mapping[str, str]) -> dict[str, Any]:
    result = {
        "identity": asdict(field.identity),
        "pixel_size_um": field.pixel_size_um,
        "channel_files": dict(field.channel_files),
        "format": format,
        "files": dict(names),
    }
    return {**field.provenance, _VERDICT: field.verdict, RESULT: result}


def check_free(
    folder: str | PathLike[str],
    identity: FieldIdentity,
    channel_files: Mapping[str, str],
    stains: Iterable[str],
    *,
    format: str = "tiff",
    overwrite: bool = False,
) -> None:
    """Find before the staining what would keep `write_field` from writing a field after it.

    Parameters
    ----------
    folder : path-like
        For the result; it need not be there.
    identity, channel_files
        Of the stack.
    stains : iterable of str
        That the model gives.
    format, overwrite
        As in `write_field`.

    Raises
    ------
    OutputError, InputError
        As `write_field`.
    """
    folder = Path(folder)
    keys = (*stains, "labels", "probability", TABLE) if format == "tiff" else ("field", TABLE)
    names = {key: _file_name(key, identity, channel_files) for key in keys}
    recorded = recorded_files(read_record(folder, identity.name))
    _check_free(folder, identity.name, names, recorded, overwrite)


def _check_free(
    folder: Path, name: str, names: Mapping[str, str], recorded: Sequence[str], overwrite: bool
) -> list[Path]:
    """Return which files of a field's older result exist; raise where they must stay."""
    # In another format as well: a field has one result.
    taken = dict.fromkeys([*names.values(), *recorded])
    existing = [folder / file for file in taken if path_exists(folder / file)]
    if existing and not overwrite:
        raise OutputError(
            f"{existing[0]} exists already: choose another folder, or ask for overwriting."
        )
    check_own(folder, name, names.values(), recorded)
    return existing


def _drop_stale(folder: Path, previous: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Remove what an overwritten run left of the field and this one did not make.

    An OME-Zarr folder to which somebody has added something stays.
    """
    from napari_fluorgen.io.omezarr_write import is_stained_field

    for name in set(recorded_files(previous)) - set(names.values()):
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            continue
        with contextlib.suppress(OSError):
            if path.is_file():
                path.unlink()
            elif is_stained_field(path):
                shutil.rmtree(path)


def list_fields(folder: str | PathLike[str]) -> list[str]:
    """Names of the fields whose results are complete in `folder`.

    Raises
    ------
    InputError
        ``run.json`` is damaged.
    """
    return [name for name, record in read_run(folder).items() if RESULT in record]


def read_field(folder: str | PathLike[str], name: str, *, lazy: bool = False) -> StainedField:
    """Read back what `write_field` wrote.

    Parameters
    ----------
    folder : path-like
        Folder of results.
    name : str
        As listed by `list_fields`.
    lazy : bool
        Whether the images of an OME-Zarr are read only when they are sliced, in the types that
        they have on disk.

    Raises
    ------
    InputError
        No such field, or its files are missing or damaged.
    """
    folder = Path(folder)
    record = read_record(folder, name)
    if RESULT not in record:
        held = ", ".join(read_run(folder)) or "none"
        raise InputError(
            f"{folder} holds no result named '{name}': it has {held}; "
            "choose one of them or a folder that `fluorgen stain` wrote."
        )
    try:
        result = record[RESULT]
        files = {key: folder / file for key, file in result["files"].items()}
        table = files.pop(TABLE, None)
        identity = FieldIdentity(**result["identity"])
        size = result["pixel_size_um"]
        if result["format"] == "ome-zarr":
            from napari_fluorgen.io.omezarr_write import open_stained_arrays, read_stained_arrays

            read = open_stained_arrays if lazy else read_stained_arrays
            arrays = read(files["field"])
        else:
            arrays = {
                key: read_tiff(path, as_stored=key == "labels") for key, path in files.items()
            }
        shapes = {array.shape for array in arrays.values()}
        if len(shapes) > 1:
            raise ValueError(f"its images differ in shape: {sorted(shapes)}")
        labels = arrays["labels"]
        if not lazy:
            labels = labels.astype(np.uint32)
        nuclei = {} if table is None else read_csv(table)
        if nuclei and not lazy and len(nuclei["label"]) != (found := int(labels.max(initial=0))):
            raise ValueError(
                f"{table} lists {len(nuclei['label'])} nuclei, its outlines are of {found}"
            )
        return StainedField(
            identity=identity,
            pixel_size_um=None if size is None else (float(size[0]), float(size[1])),
            images={stain: arrays[stain] for stain in STAINS if stain in arrays},
            nuclei_probability=arrays["probability"],
            nuclei_labels=labels,
            p_values={key[2:]: array for key, array in arrays.items() if key.startswith("p-")},
            provenance={k: value for k, value in record.items() if k not in (RESULT, _VERDICT)},
            channel_files=dict(result["channel_files"]),
            nuclei=nuclei,
            verdict=record.get(_VERDICT),
            widths={
                key.removeprefix("width-"): array if lazy else array.astype(np.uint16)
                for key, array in arrays.items()
                if key.startswith("width-")
            },
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise unreadable(folder / RUN_FILE, error) from error


def read_tiff(path: Path, *, as_stored: bool = False) -> NDArray[Any]:
    """One plane as `write_tiff` wrote it; `as_stored` is for labels that others may have written.

    Raises
    ------
    InputError
        Missing or damaged.
    """
    from napari_fluorgen.io.plate import open_plane

    return open_plane(path, as_stored=as_stored).planes[0].read()
