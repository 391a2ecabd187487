"""A model calibrated anew, and what it says of a result that is shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import ModelError
from napari_fluorgen.models.free_names import numbered
from napari_fluorgen.stack import StainedField

if TYPE_CHECKING:
    from napari_fluorgen.confidence import Calibration
    from napari_fluorgen.models import Model

_STEM = 46  # characters, so that the name stays within what a model may be called


@dataclass(frozen=True)
class Recalibrated:
    """A new package.

    Attributes
    ----------
    name : str
        Of the new model.
    fields : int
        Number of fields that it was calibrated on.
    notes : tuple of str
        What was assumed, in sentences.
    """

    name: str
    fields: int
    notes: tuple[str, ...]


def free_name(model: str, taken: Collection[str]) -> str:
    """Name a recalibrated model after the one it was made of.

    Examples
    --------
    >>> free_name("adipocyte-20x", ["adipocyte-20x"])
    'adipocyte-20x-recalibrated'
    >>> free_name("a-recalibrated", ["a", "a-recalibrated"])
    'a-recalibrated-2'
    """
    stem = re.sub(r"-recalibrated(-\d+)?$", "", model)[:_STEM]
    return numbered(f"{stem}-recalibrated", taken)


def recalibrate_model(
    name: str,
    pairs: Path,
    tell: Callable[[tuple[int, int, str]], None],
    should_stop: Callable[[], bool],
) -> Recalibrated:
    """Calibrate an installed model on a folder of stained fields and install the copy.

    Parameters
    ----------
    name : str
        Of the model.
    pairs : Path
        Brightfield stacks with nuclei labels or true nuclei stains.
    tell : callable
        Takes the number of fields done, of all, and the name of the next.
    should_stop : callable
        Asked before each field.

    Raises
    ------
    FluorgenError
        The model or the pairs cannot be used.
    """
    from napari_fluorgen.models import list_models, load_model
    from napari_fluorgen.models.library import user_model_dir
    from napari_fluorgen.workflow.recalibration import recalibrate

    new = free_name(name, [model.name for model in list_models()])
    path, meta, notes = recalibrate(
        load_model(name),
        pairs,
        user_model_dir() / new,
        name=new,
        progress=lambda done, total, field: tell((done, total, field)),
        should_stop=should_stop,
    )
    return Recalibrated(path.name, int(meta["n_fields"]), notes)


def judge_again(field: StainedField, model: str) -> StainedField:
    """Return a result with the p-values, decisions, verdict and widths of another calibration.

    Parameters
    ----------
    field : StainedField
        Its images stay as they are, and so do a person's decisions.
    model : str
        Installed model with the same networks and the other calibration.

    Raises
    ------
    FluorgenError
        The model cannot be read, or has other networks than the result was stained by.
    """
    from napari_fluorgen.confidence import Calibration, p_value_maps
    from napari_fluorgen.models import load_model
    from napari_fluorgen.workflow.judging import judge
    from napari_fluorgen.workflow.request import StainRequest

    loaded = load_model(model)
    _check_networks(field, loaded)
    calibration = (
        None if loaded.calibration is None else Calibration.from_arrays(loaded.calibration)
    )
    asked = field.provenance.get("request") or {}
    known = {key: asked[key] for key in ("significance", "fdr") if key in asked}
    p_values = p_value_maps(field.nuclei_probability, calibration)
    judgement = judge(
        field.nuclei_labels,
        field.nuclei_probability,
        p_values,
        calibration,
        StainRequest.build(**known),
    )
    nuclei = dict(judgement.nuclei)
    if "reviewed" in field.nuclei:
        nuclei["reviewed"] = np.asarray(field.nuclei["reviewed"])
    widths, missing = _widths(field, loaded, calibration)
    provenance = {
        **field.provenance,
        "calibration": model,
        "confidence": judgement.record,
        "messages": [*_lasting_messages(field), *judgement.messages, *missing],
    }
    return replace(
        field,
        p_values=p_values,
        nuclei=nuclei,
        verdict=judgement.verdict,
        provenance=provenance,
        widths=widths,
    )


def _check_networks(field: StainedField, model: Model) -> None:
    """Refuse a model whose calibration says nothing about the networks of the result."""
    stained_by = (field.provenance.get("model") or {}).get("digest")
    if stained_by not in (None, model.digest):
        raise ModelError(
            f"{field.identity.name} was stained by networks with the digest {stained_by[:12]}, "
            f"those of {model.spec.name} have {model.digest[:12]}: stain it with "
            f"{model.spec.name} to judge it by its calibration."
        )


def _widths(
    field: StainedField, model: Model, calibration: Calibration | None
) -> tuple[dict[str, NDArray[np.uint16]], list[str]]:
    """Interval widths by the other calibration where there were some, and what is missing."""
    from napari_fluorgen.staining.adapt import shape_of_model
    from napari_fluorgen.workflow.interval_widths import interval_widths

    if not field.widths:
        return {}, []
    shape = shape_of_model(field.shape, field.pixel_size_um, model.spec)
    widths, missing = interval_widths(field.images, model.spec, calibration, shape)
    return widths, [] if missing is None else [missing]


def _lasting_messages(field: StainedField) -> list[str]:
    """Messages of a result less those about the calibration that it was judged by."""
    from napari_fluorgen.workflow.interval_widths import NO_INTERVALS

    compared = (field.provenance.get("confidence") or {}).get("exchangeability") or {}
    old = {field.verdict, compared.get("message")}
    said = field.provenance.get("messages") or []
    return [line for line in said if line not in old and NO_INTERVALS not in line]


def progress_text(event: tuple[int, int, str]) -> str:
    """Say which field is in work."""
    done, total, name = event
    return f"Field {done + 1} of {total}: {name} …"


def done_text(made: Recalibrated) -> str:
    """Say what was made and how to use it."""
    fields = "1 field" if made.fields == 1 else f"{made.fields} fields"
    few = (
        ""
        if made.fields >= 19
        else " With fewer than 19 it cannot tell whether a stack looks like them."
    )
    return f"Calibrated on {fields}: for other stacks choose {made.name} in Virtual stain.{few}"


def judged_text(made: str, title: str) -> str:
    """Add to what was made that a result is judged by it."""
    return f"{made} {title} is judged by it now."
