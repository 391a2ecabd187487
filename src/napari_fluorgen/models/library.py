"""The installed models."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from napari_fluorgen.errors import ModelError
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


def load_model(name_or_path: str | Path) -> Model:
    """Open a model.

    Parameters
    ----------
    name_or_path : str or Path
        Name of an installed model, or the folder of a package.

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
        if model.spec.name == str(name_or_path):
            return model
        names.append(model.spec.name)
    path = Path(name_or_path).expanduser()
    if path.name == "rdf.yaml":
        path = path.parent
    if path.is_dir():
        return Model(path)
    for folder in _search_folders():
        if (folder / str(name_or_path) / "rdf.yaml").exists():
            return Model(folder / str(name_or_path))
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


def suggest_model(pixel_size_um: float | None) -> str | None:
    """Name of the installed model whose pixel size is nearest, by ratio.

    A general model is named only where no model for particular cells is near enough; of two
    equally near ones the first of `list_models` is.

    Parameters
    ----------
    pixel_size_um : float or None
        Micrometres a pixel of the stack; None where unknown.

    Returns
    -------
    str or None
        The first installed model where the pixel size is unknown; None where no model is
        installed or the nearest would need zooming by more than 2.5.
    """
    models = list_models()
    if not models:
        return None
    if pixel_size_um is None:
        return models[0].name
    if not (math.isfinite(pixel_size_um) and pixel_size_um > 0):
        return None

    def zoom(model: ModelSummary) -> float:
        return abs(math.log(pixel_size_um / model.pixel_size_um))

    near = [model for model in models if zoom(model) <= math.log(_LARGEST_ZOOM)]
    best = min(near, key=lambda model: (model.general, zoom(model)), default=None)
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
        if not folder.is_dir():
            continue
        for package in sorted(folder.iterdir(), key=lambda path: natural_key(path.name)):
            # Names that start with a dot are unfinished packages.
            if package.name.startswith(".") or not (package / "rdf.yaml").is_file():
                continue
            try:
                yield Model(package)
            except ModelError as error:
                _log.warning("Skipped a model: %s", error)
