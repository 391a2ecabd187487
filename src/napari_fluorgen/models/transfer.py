"""Model packages as one file: carried to a machine without a network, uploaded to a zoo."""

from __future__ import annotations

import lzma
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from napari_fluorgen.errors import ModelError
from napari_fluorgen.io.atomic import atomic_path
from napari_fluorgen.models.library import check_not_shipped, user_model_dir
from napari_fluorgen.models.package import Model
from napari_fluorgen.models.rdf import package_files, rename
from napari_fluorgen.models.spec import check_model_name


def export_package(model: Model, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a package as a zip file, the form in which BioImage.IO takes models.

    Parameters
    ----------
    model : Model
        The model to export.
    path : str or Path
        The zip file.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    Path
        `path`.
    """
    path = Path(path)
    with (
        atomic_path(path, overwrite=overwrite) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for file in sorted(p for p in model.path.iterdir() if p.is_file()):
            archive.write(file, file.name)
    return path


def install_package(
    source: str | Path, *, overwrite: bool = False, name: str | None = None
) -> Model:
    """Install a package, from its folder or zip file, into `user_model_dir`.

    Parameters
    ----------
    source : str or Path
        Folder or zip file of a package.
    overwrite : bool
        Whether a model of that name may be replaced that is installed, or comes with the package:
        the installed one is then used in its place.
    name : str, optional
        What to call the installed model; its own name by default.

    Returns
    -------
    Model
        The installed model; its weights have been read once.

    Raises
    ------
    ModelError
        The source is no package, or it is damaged, or the name cannot be one.
    OutputError
        A model of that name is installed or shipped already, or the folder cannot be written.
    """
    if name is not None:
        check_model_name(name)
    source = Path(source)
    with tempfile.TemporaryDirectory(prefix="fluorgen-model-") as temporary:
        folder = Path(temporary)
        if source.is_dir():
            _copy_files(source, folder)
        else:
            _unzip(source, folder)
        try:
            model = Model(folder)
            model.networks()
        except ModelError as error:
            raise ModelError(str(error).replace(temporary, str(source))) from error
        if name is not None and name != model.spec.name:
            rename(folder, name)
            model = Model(folder)
        check_not_shipped(model.spec.name, overwrite)
        target = user_model_dir() / model.spec.name
        own = package_files(target)
        with atomic_path(target, overwrite=overwrite, own=own) as unfinished:
            # With the user's usual permissions, not those of the temporary folder: a model
            # folder may be shared.
            unfinished.mkdir()
            _copy_files(folder, unfinished)
    return Model(target)


def _copy_files(source: Path, target: Path) -> None:
    for file in (p for p in source.iterdir() if p.is_file()):
        shutil.copyfile(file, target / file.name)


def _unzip(source: Path, folder: Path) -> None:
    """Unpack the files of a package, and nothing that would leave `folder`.

    They lie at the top of the archive, or in its only folder: so pack Finder and Explorer.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            files = [(PurePosixPath(entry.filename), entry) for entry in archive.infolist()]
            top = _top_of([name for name, _ in files])
            for name, entry in files:
                if entry.is_dir() or name.parent != top or name.name in ("", ".", ".."):
                    continue
                with archive.open(entry) as packed, (folder / name.name).open("wb") as file:
                    shutil.copyfileobj(packed, file)
    except FileNotFoundError as error:
        raise ModelError(f"{source} does not exist; give a model package.") from error
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError) as error:
        raise ModelError(  # RuntimeError: encrypted, or packed by a method that is unknown here
            f"{source} is no readable zip file; give the folder or zip file of a model package, "
            "without a password."
        ) from error


def _top_of(names: list[PurePosixPath]) -> PurePosixPath:
    """Where an archive holds its package: at the top, or in the only folder with a description."""
    places = {name.parent for name in names if name.name == "rdf.yaml"}
    below = [place for place in places if len(place.parts) == 1 and place.name not in ("..", "/")]
    top = PurePosixPath()
    return below[0] if top not in places and len(below) == 1 else top
