"""The installed models."""

from __future__ import annotations

import contextlib
import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_fluorgen.errors import ModelError, OutputError
from napari_fluorgen.io.files import natural_key
from napari_fluorgen.models.package import Model

MODEL_DIR_VARIABLE = "FLUORGEN_MODEL_DIR"
_SHIPPED = Path(__file__).parent / "packages"
_LARGEST_ZOOM = 2.5
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelSummary:
    """One line of the list of installed models.

    Attributes
    ----------
    name, version, description, magnification : str
        As in its `ModelSpec`.
    pixel_size_um : float
        Micrometres a pixel of the training data.
    stains : tuple of str
        What it stains.
    simulated : bool
        Whether it was trained on simulated data.
    calibrated : bool
        Whether it carries a conformal calibration.
    path : Path
        Folder of the package.
    general : bool
        Whether it is meant for any cells.
    """

    name: str
    version: str
    description: str
    magnification: str
    pixel_size_um: float
    stains: tuple[str, ...]
    simulated: bool
    calibrated: bool
    path: Path
    general: bool = False


def user_model_dir() -> Path:
    """Folder where models are installed: FLUORGEN_MODEL_DIR or the user's data folder."""
    return _user_folders()[0]


def check_not_shipped(name: str, overwrite: bool = False) -> None:
    """Refuse to install a model that would be used in place of one that comes with the package.

    Raises
    ------
    OutputError
        One of that name is shipped, and `overwrite` is false.
    """
    if not overwrite and any(model.spec.name == name for model in _models_in(_SHIPPED)):
        raise OutputError(
            f"'{name}' is the name of a model that comes with napari-fluorgen, which the installed "
            "one would replace: give it another with --name, or use --overwrite."
        )


def load_model(name_or_path: str | Path) -> Model:
    """Open a model.

    Parameters
    ----------
    name_or_path : str or Path
        Name of an installed model, or the folder of a package. A Path is a folder, even where a
        model of that name is installed.

    Returns
    -------
    Model
        Its networks are read when asked for.

    Raises
    ------
    ModelError
        Unknown or damaged; the message names what is installed.
    """
    names = []
    for model in _installed():
        if model.spec.name == name_or_path:  # never a Path
            return model
        names.append(model.spec.name)
    path = Path(name_or_path)
    with contextlib.suppress(RuntimeError):  # a user who has no home here
        path = path.expanduser()
    if path.name == "rdf.yaml":
        path = path.parent
    if _may_be_folder(path):
        return Model(path)
    for folder in _search_folders() if isinstance(name_or_path, str) else ():
        if _may_be_package(folder / name_or_path):
            return Model(folder / name_or_path)
    raise ModelError(
        f"No model or folder {str(name_or_path)!r}: installed are "
        f"{', '.join(dict.fromkeys(names)) or 'none'}; give one of these names or the folder of "
        "a model package."
    )


def list_models() -> list[ModelSummary]:
    """List the installed models in the order in which they are suggested.

    Looked for in the folder that FLUORGEN_MODEL_DIR names, the user's data folder, and the
    models that come with the package; sorted by name in each, general models after all others.
    Of two with the same name the first counts. A damaged package is logged.
    """
    found: dict[str, ModelSummary] = {}
    for model in _installed():
        spec = model.spec
        summary = ModelSummary(
            name=spec.name,
            version=spec.version,
            description=spec.description,
            magnification=spec.magnification,
            pixel_size_um=spec.pixel_size_um,
            stains=spec.stains,
            simulated=spec.simulated,
            calibrated=(model.path / "calibration.npz").exists(),
            path=model.path,
            general=spec.general,
        )
        found.setdefault(spec.name, summary)
    return sorted(found.values(), key=lambda model: model.general)


def suggest_model(
    pixel_size_um: float | None,
    models: Sequence[ModelSummary] | None = None,
    *,
    current: str | None = None,
) -> str | None:
    """Name of the model whose pixel size is nearest, by ratio.

    A general model is named only where no model for particular cells is near enough. Of equally
    near ones the current one stays, so that a model which was just installed beside it does not
    take its place unasked; else the first is named.

    Parameters
    ----------
    pixel_size_um : float or None
        Micrometres a pixel of the stack; None where unknown.
    models : sequence of ModelSummary, optional
        To choose from; `list_models` where not given.
    current : str, optional
        The model that is chosen at present.

    Returns
    -------
    str or None
        The current or the first model where the pixel size is unknown; None where there is no
        model or the nearest would need zooming by more than 2.5.
    """
    models = list_models() if models is None else models
    if not models:
        return None
    if pixel_size_um is None:
        return current or models[0].name
    if not (math.isfinite(pixel_size_um) and pixel_size_um > 0):
        return None

    def zoom(model: ModelSummary) -> float:
        return abs(math.log(pixel_size_um / model.pixel_size_um))

    near = [model for model in models if zoom(model) <= math.log(_LARGEST_ZOOM)]
    best = min(
        near, key=lambda model: (model.general, zoom(model), model.name != current), default=None
    )
    return best.name if best else None


def _user_folders() -> list[Path]:
    named = os.environ.get(MODEL_DIR_VARIABLE)
    folders = [Path(named).expanduser()] if named else []
    try:
        from platformdirs import user_data_path
    except ImportError:  # a training node has only what training needs
        return folders or [Path.home() / ".local/share/napari-fluorgen/models"]
    return [*folders, user_data_path("napari-fluorgen", appauthor=False) / "models"]


def _search_folders() -> list[Path]:
    return [*_user_folders(), _SHIPPED]


def _installed() -> Iterator[Model]:
    for folder in _search_folders():
        yield from _models_in(folder)


def _models_in(folder: Path) -> Iterator[Model]:
    for package in _subfolders(folder):
        # Names that start with a dot are unfinished packages.
        if package.name.startswith(".") or not _may_be_package(package):
            continue
        try:
            yield Model(package)
        except ModelError as error:
            _log.warning("Skipped a model: %s", error)


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir(), key=lambda path: natural_key(path.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        _log.warning("Skipped the models of %s: it cannot be read (%s).", folder, error.strerror)
        return []


def _may_be_package(folder: Path) -> bool:
    """Whether a description lies there, or cannot be looked for: reading it tells why."""
    return _unless_unseen((folder / "rdf.yaml").is_file)


def _may_be_folder(path: Path) -> bool:
    return _unless_unseen(path.is_dir)


def _unless_unseen(look: Callable[[], bool]) -> bool:
    """What a look at a path says; true where it is not allowed."""
    try:
        return look()
    except PermissionError:
        return True
    except (OSError, ValueError):  # no name that a file can have
        return False
