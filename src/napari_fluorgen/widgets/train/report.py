"""What the *Train* dock says: before it can start, and about the model that came out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from napari_fluorgen.errors import ConfigError
from napari_fluorgen.models.free_names import numbered
from napari_fluorgen.stack import STAINS
from napari_fluorgen.widgets.presenters.staining import duration
from napari_fluorgen.workflow.fine_tuning_request import default_name

NO_PAIRS = (
    "Training needs pairs: brightfield stacks and the true stains of the same fields. Choose a "
    "folder of them, or load fields with the Load stacks dock and choose 'Loaded layers'."
)
NO_MODEL = (
    "No model is installed to start from. Install one with: fluorgen models import, or put a model "
    "package into the folder that FLUORGEN_MODEL_DIR names."
)
_NONE = "–"
_NEEDED = ("lightning", "onnx")
_INSTALL = "python -m pip install 'napari-fluorgen[train]'"


@dataclass(frozen=True)
class Figure:
    """One row of the table of results.

    Attributes
    ----------
    title : str
        What was measured, on held-out parts.
    before, after : str
        Of the model it started from, and of the new one.
    change : int
        1 where the new model is better, -1 where worse, 0 where the same or unknown.
    meaning : str
        The tooltip.
    """

    title: str
    before: str
    after: str
    change: int
    meaning: str


def missing_package() -> str:
    """Say what must be installed before anything can be trained; empty where all is there."""
    missing = next((name for name in _NEEDED if find_spec(name) is None), None)
    return "" if missing is None else _missing_text(missing)


def _missing_text(name: str | None) -> str:
    return f"Training needs {name}, which is not installed: run {_INSTALL} and start napari again."


def explained(error: Exception) -> Exception:
    """Turn a package that is not installed into one sentence; other errors stay."""
    if isinstance(error, ModuleNotFoundError):
        return ConfigError(_missing_text(error.name))
    return error


def free_name(base: str | None, taken: Collection[str]) -> str:
    """Suggest a name for the new model that no installed model has."""
    return numbered(default_name((base or "my").removesuffix("-tuned")), taken)


def check_name(name: str, taken: Collection[str]) -> str:
    """Return the name of the new model without blanks around it.

    Raises
    ------
    ConfigError
        It is empty or an installed model has it.
    """
    name = name.strip()
    if not name:
        raise ConfigError("The new model has no name: enter one under 'Name'.")
    if name in taken:
        raise ConfigError(
            f"A model named '{name}' is installed already: enter another one under 'Name'."
        )
    return name


def figures(before: Any, after: Any) -> tuple[Figure, ...]:
    """Rows of the table of results.

    Parameters
    ----------
    before, after : FineTuneScores
        Of `napari_fluorgen.workflow.fine_tuning_request`.
    """
    rows = []
    for stain in STAINS:
        title = stain.capitalize()
        pair = before.pearson.get(stain), after.pearson.get(stain)
        rows.append(
            _figure(
                f"{title}: correlation",
                *pair,
                "Pearson correlation with the true stain; 1 is perfect.",
            )
        )
        pair = before.pixel_error.get(stain), after.pixel_error.get(stain)
        rows.append(
            _figure(
                f"{title}: error",
                *pair,
                "Mean absolute error over the median of the true stain; 0 is perfect.",
                up=False,
            )
        )
        if stain == "nuclei":
            rows += [
                _figure(
                    f"Nuclei: F1 at IoU {iou:g}",
                    before.f1.get(iou),
                    after.f1.get(iou),
                    f"Nuclei found and outlined so that at least {100 * float(iou):.0f} % of both "
                    "areas agree; 1 is perfect.",
                )
                for iou in sorted({*before.f1, *after.f1})
            ]
    return tuple(row for row in rows if row is not None)


def _figure(
    title: str, before: float | None, after: float | None, meaning: str, *, up: bool = True
) -> Figure | None:
    if before is None and after is None:
        return None
    said, change = (_number(before), _number(after)), 0
    if before is not None and after is not None and _NONE not in said and said[0] != said[1]:
        change = 1 if (after > before) == up else -1
    return Figure(title, *said, change, meaning)


def _number(value: float | None) -> str:
    return _NONE if value is None or value != value else f"{value:.3f}"


def running_text(request: Any) -> str:
    """Say what is made.

    Parameters
    ----------
    request : FineTuneRequest
        Of `napari_fluorgen.workflow.fine_tuning_request`.
    """
    limit = f"{request.steps} steps a stain" if request.steps else duration(60 * request.minutes)
    return f"'{request.name}' learns from these pairs, starting from {request.init}: {limit}."


def done_text(result: Any) -> str:
    """Say what came out.

    Parameters
    ----------
    result : FineTuneResult
        Of `napari_fluorgen.workflow.fine_tuning_request`.
    """
    took = f"{result.minutes:.0f} min" if result.minutes >= 1.5 else f"{60 * result.minutes:.0f} s"
    place = (
        "now in the list of the Virtual stain dock."
        if result.installed
        else f"in {result.path}; to use it: fluorgen models import."
    )
    if result.stopped:
        return f"Stopped after {took}. The best so far is '{result.name}', {place}"
    return f"Learned for {took}. The new model is '{result.name}', {place}"


def held_out_text(fields: Mapping[str, Iterable[str]]) -> str:
    """Say on what the figures are measured."""
    parts = {name: len(tuple(names)) for name, names in fields.items()}
    held, learned = parts.get("calibration", 0), parts.get("training", 0)
    noun = "part" if held == 1 else "parts"
    return (
        f"Measured on {held} held-out {noun} that took no share in the learning; "
        f"{learned} learned from."
    )
