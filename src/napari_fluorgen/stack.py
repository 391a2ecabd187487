"""What goes in and what comes out: arrays with their pixel size and their place on a plate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

STAINS = ("nuclei", "lipids", "cytoplasm")
"""The stains, in the order of the CellVoyager channels C01, C02, C03."""


@dataclass(frozen=True)
class FieldIdentity:
    """Where a field comes from.

    Attributes
    ----------
    name : str
        Stem for the names of output files, unique within a run. Bytes of a file name that are no
        UTF-8 are read as Latin-1, so that tables and other programs take the name.
    plate, well : str or None
        Names as the instrument wrote them, for example ``"D04"``.
    site : int or None
        Field of view within the well (``F001`` is 1).
    timepoint : int
        1 where the source has no time axis.
    """

    name: str
    plate: str | None = None
    well: str | None = None
    site: int | None = None
    timepoint: int = 1

    def __post_init__(self) -> None:
        for part in ("name", "plate", "well"):
            text = getattr(self, part)
            # Python holds such bytes as lone surrogates.
            if text and any("\udc80" <= letter <= "\udcff" for letter in text):
                readable = text.encode("utf-8", "surrogateescape").decode("latin-1")
                object.__setattr__(self, part, readable)


@dataclass(frozen=True)
class BrightfieldStack:
    """A focus series of one field.

    Attributes
    ----------
    data : array-like, shape (Z, Y, X)
        NumPy, dask or zarr array of any real dtype; sliced, never copied whole.
    identity : FieldIdentity
        Plate, well, site and the stem for output files.
    pixel_size_um : tuple of float (y, x) or None
        Micrometres a pixel; None where the source does not say.
    z_um : tuple of float or None
        Position of each plane of `data` in micrometres; only differences count.
    truth : mapping of str to array-like, shape (Y, X)
        True stains by name (a subset of `STAINS`), in camera counts.
    source : str
        File or folder the stack was read from.
    channel_files : mapping of str to str
        For CellVoyager input the file name that each stain has or would have on the instrument.
    notes : tuple of str
        What the reader skipped or assumed, in sentences for the user.
    """

    data: Any
    identity: FieldIdentity
    pixel_size_um: tuple[float, float] | None = None
    z_um: tuple[float, ...] | None = None
    truth: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    channel_files: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, rows, columns."""
        z, y, x = self.data.shape
        return int(z), int(y), int(x)


@dataclass(frozen=True)
class StainedField:
    """The result for one field, on the grid of its input.

    Attributes
    ----------
    identity : FieldIdentity
        The identity of the stack.
    pixel_size_um : tuple of float (y, x) or None
        Micrometres a pixel, as in the stack.
    images : dict of str to ndarray, shape (Y, X), uint16
        ``"nuclei"``, ``"lipids"``, ``"cytoplasm"`` in the camera counts of the training data.
    nuclei_probability : ndarray, shape (Y, X), float32
        Probability of nucleus in [0, 1].
    nuclei_labels : ndarray, shape (Y, X), uint32
        Instances, sequential from 1; 0 is background.
    p_values : dict of str to ndarray, shape (Y, X), float32
        Conformal p-values of the hypotheses ``"nucleus"`` and ``"background"``; empty where the
        model carries no calibration.
    provenance : dict
        JSON-ready record of versions, model digest, device, precision, request and adaptations.
    channel_files : mapping of str to str
        As in the stack.
    nuclei : dict of str to ndarray, shape (N,)
        One row a nucleus, in the order of the labels: ``label`` (uint32), ``probability_mean``,
        ``p_value`` (against the hypothesis that it is wrong; NaN where the model carries no
        calibration of nuclei), ``confidence`` (how firmly background is ruled out, 0 to 1; NaN
        without p-values), ``decision`` (``"accept"``, ``"review"``, ``"reject"``) and ``reviewed``
        (``""``, or a person's ``"accept"`` or ``"reject"``). Empty where no table was made.
    verdict : str or None
        One sentence when the stack does not look like what the model was calibrated on.
    widths : dict of str to ndarray, shape (Y, X), uint16
        Width of the intervals of ``"lipids"`` and ``"cytoplasm"`` in counts; empty unless asked
        for.
    """

    identity: FieldIdentity
    pixel_size_um: tuple[float, float] | None
    images: dict[str, NDArray[np.uint16]]
    nuclei_probability: NDArray[np.float32]
    nuclei_labels: NDArray[np.uint32]
    p_values: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    channel_files: Mapping[str, str] = field(default_factory=dict)
    nuclei: dict[str, NDArray[Any]] = field(default_factory=dict)
    verdict: str | None = None
    widths: dict[str, NDArray[np.uint16]] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""
        y, x = self.nuclei_labels.shape
        return int(y), int(x)

    @property
    def decisions(self) -> NDArray[np.str_]:
        """Decision about each nucleus, a person's where there is one; empty without a table."""
        decision = np.asarray(self.nuclei.get("decision", ()), np.str_)
        reviewed = np.asarray(self.nuclei.get("reviewed", np.full(decision.shape, "")), np.str_)
        return np.where(reviewed != "", reviewed, decision)

    @property
    def trusted(self) -> NDArray[np.bool_]:
        """Whether each nucleus is accepted after review; empty without a table."""
        return np.asarray(self.decisions == "accept", np.bool_)


def square_pixel(pixel_size_um: tuple[float, float]) -> float:
    """Return the side in µm of a square pixel of the same area."""
    return math.sqrt(math.prod(pixel_size_um))
