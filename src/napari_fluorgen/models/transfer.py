"""Model packages as one file: carried to a machine without a network, uploaded to a zoo."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from napari_fluorgen.errors import ModelError
from napari_fluorgen.io.atomic import atomic_path
from napari_fluorgen.models.library import user_model_dir
from napari_fluorgen.models.package import Model


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


def install_package(source: str | Path, *, overwrite: bool = False) -> Model:
    """Install a package, from its folder or zip file, into `user_model_dir`.

    Parameters
    ----------
    source : str or Path
        Folder or zip file of a package.
    overwrite : bool
        Whether an installed model of that name may be replaced.

    Returns
    -------
    Model
        The installed model; its weights have been read once.

    Raises
    ------
    ModelError
        The source is no package, or it is damaged.
    OutputError
        A model of that name is installed already, or the folder cannot be written.
    """
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
        target = user_model_dir() / model.spec.name
        with atomic_path(target, overwrite=overwrite) as unfinished:
            # With the user's usual permissions, not those of the temporary folder: a model
            # folder may be shared.
            unfinished.mkdir()
            _copy_files(folder, unfinished)
    return Model(target)


def _copy_files(source: Path, target: Path) -> None:
    for file in (p for p in source.iterdir() if p.is_file()):
        shutil.copyfile(file, target / file.name)


def _unzip(source: Path, folder: Path) -> None:
    """Unpack the files at the top of an archive, and nothing that would leave `folder`."""
    try:
        with zipfile.ZipFile(source) as archive:
            for entry in archive.infolist():
                name = PurePosixPath(entry.filename)
                if entry.is_dir() or len(name.parts) != 1 or name.name in (".", ".."):
                    continue
                with archive.open(entry) as packed, (folder / name.name).open("wb") as file:
                    shutil.copyfileobj(packed, file)
    except FileNotFoundError as error:
        raise ModelError(f"{source} does not exist; give a model package.") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise ModelError(
            f"{source} is no readable zip file; give the folder or zip file of a model package."
        ) from error
