"""What a field's calibration says about it: a row a nucleus, and whether it applies at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_fluorgen.confidence import Calibration
    from napari_fluorgen.workflow.request import StainRequest


@dataclass(frozen=True)
class Judgement:
    """Confidence of one field beyond its p-value maps.

    Attributes
    ----------
    nuclei : dict of str to ndarray
        `StainedField.nuclei`.
    verdict : str or None
        `StainedField.verdict`.
    record : dict
        JSON-ready, for the provenance: what the model was calibrated on, how the field compares
        with it, and how many nuclei were accepted.
    messages : tuple of str
        Sentences that the user should see: the verdict, or that none can be given.
    """

    nuclei: dict[str, NDArray[Any]]
    verdict: str | None = None
    record: dict[str, Any] = field(default_factory=dict)
    messages: tuple[str, ...] = ()


def judge(
    labels: NDArray[np.uint32],
    probability: NDArray[np.float32],
    p_values: dict[str, NDArray[np.float32]],
    calibration: Calibration | None,
    request: StainRequest,
) -> Judgement:
    """Judge the nuclei of a field, and the field itself.

    Parameters
    ----------
    labels : ndarray of uint32, shape (Y, X)
        Nuclei, sequential from 1.
    probability : ndarray of float32, shape (Y, X)
        Probability of nucleus.
    p_values : dict of str to ndarray of float32, shape (Y, X)
        From `p_value_maps`; empty without a calibration.
    calibration : Calibration or None
        Of the model.
    request : StainRequest
        For significance and the tolerated share of wrong nuclei.
    """
    from napari_fluorgen.confidence import nuclei_table
    from napari_fluorgen.confidence.fields import probability_histogram

    nuclei = nuclei_table(
        labels,
        probability,
        p_values,
        calibration,
        significance=request.significance,
        fdr=request.fdr,
    )
    compared = calibration is not None and calibration.fields is not None
    histogram = probability_histogram(probability) if compared else None
    return conclude(nuclei, histogram, calibration)


def conclude(
    nuclei: dict[str, NDArray[Any]],
    histogram: NDArray[np.float32] | None,
    calibration: Calibration | None,
) -> Judgement:
    """Judge a field whose nuclei are decided about.

    Parameters
    ----------
    nuclei : dict of str to ndarray
        `StainedField.nuclei`.
    histogram : ndarray of float32 or None
        From `probability_histogram` of the whole field; None leaves the field itself unjudged.
    calibration : Calibration or None
        Of the model.
    """
    from napari_fluorgen.confidence.fields import compare_histogram

    decisions, counts = np.unique(nuclei["decision"], return_counts=True)
    record: dict[str, Any] = {
        "calibrated_on_fields": None if calibration is None else calibration.meta.get("n_fields"),
        "decisions": dict(zip(decisions.tolist(), counts.tolist(), strict=True)),
        "decided_by": _rule(calibration),
    }
    if calibration is None or calibration.fields is None or histogram is None:
        return Judgement(nuclei, None, record)
    verdict = compare_histogram(histogram, calibration.fields)
    record["exchangeability"] = {
        "p_value": round(verdict.p_value, 6),
        "holds": verdict.holds if verdict.can_tell else None,
        "message": verdict.message,
    }
    said = () if verdict.holds and verdict.can_tell else (verdict.message,)
    return Judgement(nuclei, None if verdict.holds else verdict.message, record, said)


def _rule(calibration: Calibration | None) -> str:
    if calibration is None:
        return "nothing: the model is not calibrated"
    return "share of certain pixels" if calibration.objects is None else "conformal selection"
