"""Which nuclei are trusted, which wait for a person, and what the person said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.widgets.presenters.layers import record_of

RGBA = tuple[float, float, float, float]

NUCLEI_COLUMNS = ("probability_mean", "p_value", "confidence", "decision", "reviewed")
"""Columns of ``StainedField.nuclei`` beside the label."""


@dataclass(frozen=True)
class Decision:
    """One entry of the legend of outlines.

    Attributes
    ----------
    code : int
        Value in the layer of outlines.
    name : str
        The word in ``StainedField.nuclei``.
    title, meaning : str
        Word and tooltip of the legend.
    color : tuple of float
        Red, green, blue, opacity in [0, 1].
    """

    code: int
    name: str
    title: str
    meaning: str
    color: RGBA


# Of Okabe and Ito's palette the three that stay furthest apart from each other and from white for
# all kinds of colour blindness; on blue nuclei a blue would vanish.
DECISIONS = (
    Decision(
        1,
        "accept",
        "Trusted",
        "Count these. They look as nuclei did that were right in the calibration fields.",
        (0.34, 0.71, 0.91, 1.0),
    ),
    Decision(
        2,
        "review",
        "To review",
        "Look at these yourself: press N for the next one, A to accept, R to reject.",
        (0.94, 0.89, 0.26, 1.0),
    ),
    Decision(
        3,
        "reject",
        "Rejected",
        "Leave these out. They look as wrong outlines did in the calibration fields.",
        (0.84, 0.37, 0.0, 1.0),
    ),
)

CURRENT = 4
"""Code of the outline of the nucleus that is looked at: white."""

HALO = 5
"""Code of the dark pixels around outlines, which set them off from a bright stain."""


def outline_colors() -> dict[int | None, RGBA]:
    """Colours by code, as napari's ``DirectLabelColormap`` takes them."""
    clear, white = (0.0, 0.0, 0.0, 0.0), (1.0, 1.0, 1.0, 1.0)
    colors: dict[int | None, RGBA] = {one.code: one.color for one in DECISIONS}
    return colors | {None: clear, 0: clear, CURRENT: white, HALO: (0.0, 0.0, 0.0, 1.0)}


@dataclass(frozen=True)
class Judged:
    """What is known of each nucleus in a labels layer, in the order of the labels.

    Attributes
    ----------
    labels : ndarray of int64, shape (n,)
        Those that are in the image.
    decision, reviewed : ndarray of str, shape (n,)
        The model's word (``"review"`` for nuclei painted by hand), and a person's or ``""``.
    p_value, confidence : ndarray of float64, shape (n,)
        NaN where unknown.
    """

    labels: NDArray[np.int64]
    decision: NDArray[np.str_]
    reviewed: NDArray[np.str_]
    p_value: NDArray[np.float64]
    confidence: NDArray[np.float64]

    @property
    def final(self) -> NDArray[np.str_]:
        """The decision that counts: a person's where there is one."""
        return np.where(self.reviewed != "", self.reviewed, self.decision)

    @property
    def codes(self) -> NDArray[np.uint8]:
        """Code of the outline of each nucleus."""
        code = {one.name: one.code for one in DECISIONS}
        return np.array([code.get(str(name), 2) for name in self.final], np.uint8)

    @property
    def open(self) -> NDArray[np.int64]:
        """Labels that still wait for a person."""
        return self.labels[self.final == "review"]

    @property
    def doubtful(self) -> NDArray[np.int64]:
        """Labels that the model could not decide, whether or not a person has."""
        return self.labels[self.decision == "review"]

    def counts(self) -> dict[str, int]:
        """Number of nuclei by the decision that counts."""
        final = self.final
        return {one.name: int(np.count_nonzero(final == one.name)) for one in DECISIONS}

    def row(self, label: int) -> int | None:
        """Row of a label, None where it is not in the image."""
        found = int(np.searchsorted(self.labels, label))
        return found if found < self.labels.size and self.labels[found] == label else None


def judged(layer: Any, labels: NDArray[np.int64]) -> Judged:
    """Read what the features of a labels layer say of the nuclei in it.

    Parameters
    ----------
    layer : Labels
        Its ``features`` with an ``index`` column, and its record.
    labels : ndarray of int64, shape (n,)
        Nuclei that are in the image, ascending.
    """
    columns = nuclei_columns(layer, labels)
    return Judged(
        labels,
        columns["decision"],
        columns["reviewed"],
        columns["p_value"],
        columns["confidence"],
    )


def nuclei_columns(layer: Any, labels: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Columns of ``StainedField.nuclei`` for the given labels, from a layer's features.

    Nuclei that the table does not know, because they were painted by hand, are to be reviewed and
    have no numbers.
    """
    features = layer.features
    if "index" in features:
        table = features.set_index("index")
        table = table[~table.index.duplicated()].reindex(labels)
    else:
        table = features.iloc[:0].reindex(labels)

    def numbers(name: str) -> NDArray[np.float64]:
        if name not in table:
            return np.full(labels.size, np.nan)
        return table[name].to_numpy(dtype=np.float64, na_value=np.nan)

    def words(name: str, missing: str) -> NDArray[np.str_]:
        if name not in table:
            return np.full(labels.size, missing, "<U6")
        return table[name].fillna(missing).to_numpy().astype("<U6")

    reviewed = words("reviewed", "")
    kept = record_of(layer.metadata).get("reviewed") or {}
    for row in np.flatnonzero(reviewed == ""):
        reviewed[row] = kept.get(int(labels[row]), "")
    return {
        "label": labels.astype(np.uint32),
        "probability_mean": numbers("probability_mean"),
        "p_value": numbers("p_value"),
        "confidence": numbers("confidence"),
        "decision": words("decision", "review"),
        "reviewed": reviewed,
    }


def set_review(layer: Any, label: int, word: str) -> None:
    """Keep a person's decision about a nucleus in the features and in the layer's record.

    Parameters
    ----------
    layer : Labels
        The nuclei.
    label : int
        The nucleus.
    word : str
        ``"accept"``, ``"reject"``, or ``""`` to take it back.
    """
    features = layer.features.copy()
    if "index" not in features:
        features["index"] = np.zeros(len(features), np.int64)
    if "reviewed" not in features:
        features["reviewed"] = ""
    rows = features.index[features["index"] == label]
    if len(rows):
        features.loc[rows, "reviewed"] = word
    else:  # painted by hand
        features.loc[len(features)] = {"index": label, "decision": "review", "reviewed": word}
        features["index"] = features["index"].astype(np.int64)
    layer.features = features
    kept = dict(record_of(layer.metadata).get("reviewed") or {})
    kept.pop(label, None)
    if word:
        kept[label] = word
    record_of(layer.metadata)["reviewed"] = kept


def reviews_to_save(layer: Any, labels: NDArray[np.int64]) -> tuple[dict[int, str], int]:
    """Gather a person's decisions about the nuclei that the files of a result know.

    Returns
    -------
    reviewed : dict of int to str
        By label, ``""`` where there is none.
    new : int
        Number of judged nuclei that were painted by hand, which the files do not know.
    """
    columns = nuclei_columns(layer, labels)
    known = np.isfinite(columns["probability_mean"])
    reviewed = {
        int(label): str(word)
        for label, word in zip(labels[known], columns["reviewed"][known], strict=True)
    }
    return reviewed, int(np.count_nonzero(columns["reviewed"][~known] != ""))


def saved_text(count: int, new: int, folder: str) -> str:
    """Say that a review was written, and what was left out."""
    noun = "1 decision" if count == 1 else f"{count} decisions"
    left = ""
    if new:
        noun_left = "1 nucleus" if new == 1 else f"{new} nuclei"
        left = f" {noun_left} painted by hand: use Save result in Measure & export."
    return f"{noun} written to {folder}.{left}"


def neighbour(judged: Judged, current: int | None, step: int) -> int | None:
    """Label of the next nucleus to look at, or of the one before.

    Forwards leads to those that still wait for a person, from the last to the first again;
    backwards also to those that a person has judged, so that a slip can be mended.

    Parameters
    ----------
    judged : Judged
        The nuclei.
    current : int or None
        Label that is looked at.
    step : int
        1 or -1.

    Returns
    -------
    int or None
        None where there is none.
    """
    among = judged.open if step > 0 else np.union1d(judged.doubtful, judged.open)
    if not among.size:
        return None
    if current is None:
        return int(among[0 if step > 0 else -1])
    if step > 0:
        later = among[among > current]
        return int(later[0] if later.size else among[0])
    earlier = among[among < current]
    return int(earlier[-1] if earlier.size else among[-1])


def fdr_of(provenance: Mapping[str, Any]) -> float:
    """Tolerated share of wrong nuclei among the trusted ones of a run."""
    try:
        return float((provenance.get("request") or {}).get("fdr", 0.1))
    except (TypeError, ValueError):
        return 0.1


def summary_text(judged: Judged, *, fdr: float, holds: bool) -> str:
    """Say how many nuclei can be counted, and what is promised of them.

    Parameters
    ----------
    judged : Judged
        The nuclei.
    fdr : float
        Tolerated share of wrong nuclei among the trusted ones.
    holds : bool
        Whether the stack looks like the calibration data.
    """
    counts, total = judged.counts(), judged.labels.size
    if total == 0:
        return "No nuclei in this result."
    noun = "1 nucleus" if total == 1 else f"{total} nuclei"
    line = (
        f"{noun}: {counts['accept']} trusted, {counts['review']} to review, "
        f"{counts['reject']} rejected"
    )
    if not np.isfinite(judged.p_value).any():
        line += "; a rule of thumb, nothing is promised of the trusted"
    elif holds:
        line += _promise(judged, fdr)
    else:
        line += "; how many of the trusted are wrong is not known here"
    mine = int(np.count_nonzero(judged.reviewed != ""))
    return line + (f". {mine} judged by you." if mine else ".")


def _promise(judged: Judged, fdr: float) -> str:
    """What is promised is of the nuclei that the model trusted, not of those that a person did."""
    own = judged.decision == "accept"
    if np.array_equal(own, judged.final == "accept"):
        whose = "the trusted"
    elif own.any():
        whose = f"the {np.count_nonzero(own)} that the model trusted"
    else:
        return "; nothing is promised of those that you trusted"
    return f"; of {whose} at most {100 * fdr:.3g} % are wrong on average"


def current_text(judged: Judged, label: int | None) -> str:
    """Say which nucleus is looked at and what is known of it."""
    row = None if label is None else judged.row(label)
    if row is None:
        left, total = judged.open.size, judged.labels.size
        if left:
            return f"{left} to review. Press N for the first."
        return "None waits. Pick any nucleus with the picker (L) to judge it." if total else ""
    title = {one.name: one.title.lower() for one in DECISIONS}
    word = str(judged.reviewed[row])
    parts = [
        f"Nucleus {label}",
        f"{title[word]} by you" if word else title[str(judged.decision[row])],
    ]
    p_value, confidence = float(judged.p_value[row]), float(judged.confidence[row])
    if np.isfinite(p_value):
        parts.append(f"looks better than {100 * (1 - p_value):.3g} % of wrong nuclei")
    elif np.isfinite(confidence):
        parts.append(f"background is ruled out by {100 * confidence:.3g} %")
    doubtful = np.union1d(judged.doubtful, judged.open)
    if label is not None and label in doubtful:
        parts.append(f"{int(np.searchsorted(doubtful, label)) + 1} of {doubtful.size}")
    return " · ".join(parts)
