"""Whether brightfield and fluorescence of a pair lie on top of each other.

Both show the same cells, but not the same things: edges are what they share. So the gradient
magnitude of the planes is compared with that of the stain, by phase correlation. Nuclei are faint
in brightfield and droplets around them are not; there the plain correlation of many fields
together may tell, to a few pixels, what phase correlation does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.training.augment import spread_planes

if TYPE_CHECKING:
    from napari_fluorgen.training.data import Pair

Registration = Literal["report", "correct", "off"]
Surface = NDArray[np.float64]
"""Correlation for each shift (y, x); no shift lies in the centre."""

_CERTAIN_PEAK = 10.0  # noise alone reaches 5 of its standard deviations
_CERTAIN_RATIO = 1.5  # to the next peak; false peaks have company
_REACH_PX = 48
_PEAK_PX = 8
_SAMPLE_PX = 1024
FIELDS = 12
"""How many fields a shift is measured in, evenly drawn from all."""
_DETAIL_UM = 0.35
_COARSE_PX = 12.0


@dataclass(frozen=True)
class Shift:
    """How far fluorescence lies from brightfield.

    Attributes
    ----------
    y, x : float
        Pixels: what brightfield shows at p, fluorescence shows at p + (y, x).
    peak : float
        Height of the correlation's peak in standard deviations of the rest.
    within_px : float
        How far off the figure may be; infinite where it cannot be told.
    """

    y: float
    x: float
    peak: float
    within_px: float

    @property
    def certain(self) -> bool:
        """Whether the shift could be told."""
        return bool(np.isfinite(self.within_px))

    @property
    def length(self) -> float:
        """Length in pixels."""
        return float(np.hypot(self.y, self.x))

    @property
    def matters(self) -> bool:
        """Whether it is longer than a pixel and than it may be off."""
        return self.certain and self.length > max(1.0, self.within_px)


def measure_shift(
    planes: NDArray[np.float32], fluorescence: NDArray[np.float32], *, detail_px: float = 1.0
) -> Shift:
    """Measure how far a stain lies from brightfield.

    Parameters
    ----------
    planes : ndarray, shape (Z, Y, X)
        Brightfield.
    fluorescence : ndarray, shape (Y, X)
        A stain of the same field.
    detail_px : float
        Finer detail than this is taken for noise.

    Returns
    -------
    Shift
        To half a pixel where it is certain.

    References
    ----------
    .. [1] C. D. Kuglin and D. C. Hines, "The phase correlation image alignment method",
       Proc. IEEE Int. Conf. Cybernetics and Society, 163-165 (1975).
    """
    surfaces = _correlations(planes, {"": fluorescence}, detail_px)
    return _common_shift([surfaces[""]])


def measure_shifts(pairs: Sequence[Pair], pixel_size_um: float) -> dict[str, Shift]:
    """Measure the shift of each stain that the fields have in common.

    A microscope has one shift a channel, so the correlations of up to 12 fields, evenly drawn from
    all, are added before their peak is sought.
    """
    drawn = [pairs[index] for index in np.unique(spread_planes(len(pairs), FIELDS))]
    detail = max(1.0, _DETAIL_UM / pixel_size_um)
    surfaces = [_correlations(pair.planes, pair.stains, detail) for pair in drawn]
    return {stain: _common_shift([each[stain] for each in surfaces]) for stain in pairs[0].stains}


def sample_of(pair: Pair) -> Pair:
    """Return a copy of the part in which the shift is measured, so that the field can go."""
    window = _window(*pair.labels.shape)
    return replace(
        pair,
        planes=pair.planes[(slice(None), *window)].copy(),
        stains={stain: image[window].copy() for stain, image in pair.stains.items()},
        labels=pair.labels[window].copy(),
    )


def register(
    pairs: list[Pair],
    pixel_size_um: float,
    registration: Registration,
    on_note: Callable[[str], None],
) -> list[Pair]:
    """Check pairs for shift, and move the stains onto brightfield if asked.

    Parameters
    ----------
    pairs : list of Pair
        Fields of one microscope with the same stains.
    pixel_size_um : float
        Micrometres a pixel.
    registration : {"report", "correct", "off"}
        Whether shifts are said, corrected or not measured.
    on_note : callable
        Gets a sentence for each shift found.

    Returns
    -------
    list of Pair
        Corrected fields lose the border that only one of the images shows.
    """
    if registration == "off" or not pairs:
        return pairs
    shifts = measure_shifts(pairs, pixel_size_um)
    found = {stain: shift for stain, shift in shifts.items() if shift.certain}
    moves: dict[str, tuple[float, float]] = {}
    for stain, shift in found.items():
        if not shift.matters:
            continue
        moves[stain] = (shift.y, shift.x)
        what = f"Brightfield and {stain} are shifted by {shift.y:.1f}, {shift.x:.1f} px"
        on_note(
            f"{what}: corrected."
            if registration == "correct"
            else f"{what}: correct that with --register, in a configuration with "
            "data.registration: correct."
        )
    if registration != "correct" or not moves:
        return pairs
    for stain in shifts.keys() - found.keys():
        y, x = np.mean([(shift.y, shift.x) for shift in found.values()], axis=0)
        moves[stain] = (float(y), float(x))
        on_note(f"The shift of {stain} cannot be measured: that of {' and '.join(found)} is taken.")
    return [move_stains(pair, moves) for pair in pairs]


def move_stains(pair: Pair, shifts: dict[str, tuple[float, float]]) -> Pair:
    """Move stains (and nuclei labels with the nuclei) back by their shifts; crop the border.

    Parameters
    ----------
    pair : Pair
        A field.
    shifts : dict of str to tuple of float (y, x)
        As in `Shift`.
    """
    from scipy import ndimage

    stains = dict(pair.stains)
    labels = pair.labels
    for stain, shift in shifts.items():
        back = -np.asarray(shift)
        moved = ndimage.shift(stains[stain], back, order=3, mode="mirror")
        stains[stain] = moved.clip(0, 1).astype(np.float32, copy=False)
        if stain == "nuclei":
            labels = ndimage.shift(labels, np.rint(back), order=0, mode="nearest")
    moves = np.array(list(shifts.values()))
    low = np.ceil(np.maximum(-moves, 0).max(axis=0)).astype(int)
    high = np.array(labels.shape) - np.ceil(np.maximum(moves, 0).max(axis=0)).astype(int)
    inside = slice(low[0], high[0]), slice(low[1], high[1])
    return replace(
        pair,
        planes=pair.planes[:, inside[0], inside[1]],
        stains={stain: image[inside] for stain, image in stains.items()},
        labels=labels[inside],
        shift_px=dict(shifts),
    )


def _common_shift(fields: Sequence[tuple[Surface, Surface]]) -> Shift:
    """Shift of the added correlations of some fields."""
    reach = min(len(phase) for phase, _ in fields)
    phases, plains = ([_middle(field[kind], reach) for field in fields] for kind in (0, 1))
    y, x, peak, ratio = _peak(phases)
    if peak >= _CERTAIN_PEAK and ratio >= _CERTAIN_RATIO:
        return Shift(y, x, peak, 0.5)
    y, x, peak, _ = _peak(plains)
    # Plain correlation has wide peaks, also false ones: the same must come out of both halves.
    halves = [np.array(_peak(plains[start::2])[:2]) for start in (0, 1)] if len(fields) > 3 else []
    agree = bool(halves) and float(np.abs(halves[0] - halves[1]).max()) <= 3
    return Shift(y, x, peak, 3.0 if agree and peak >= _CERTAIN_PEAK else np.inf)


def _correlations(
    planes: NDArray[np.float32], stains: Mapping[str, NDArray[np.float32]], detail_px: float
) -> dict[str, tuple[Surface, Surface]]:
    """Phase and plain correlation with each stain for shifts up to the reach, in deviations."""
    from scipy import fft

    height, width = planes.shape[1:]
    window = _window(height, width)
    used = planes[np.unique(spread_planes(len(planes), 5))]
    edges = np.mean([_gradient(plane[window], detail_px) for plane in used], axis=0)
    taper = np.outer(*(np.hanning(n) for n in edges.shape)).astype(np.float32)

    def spectrum(image: NDArray[np.float32]) -> NDArray[np.complex64]:
        return fft.rfft2((image - image.mean()) * taper)

    first = spectrum(edges).conj()
    frequency = fft.fftfreq(edges.shape[0])[:, None] ** 2 + fft.rfftfreq(edges.shape[1]) ** 2
    band = np.exp(-2 * (np.pi * detail_px) ** 2 * frequency)
    band -= np.exp(-2 * (np.pi * _COARSE_PX * detail_px) ** 2 * frequency)
    band *= band
    size = 2 * int(min(_REACH_PX, min(edges.shape) // 4)) + 1
    surfaces = {}
    for stain, image in stains.items():
        plain = first * spectrum(_gradient(image[window], detail_px))
        strength = np.abs(plain)
        phase = plain / (strength + 1e-6 * strength.max() + np.finfo(np.float32).tiny)
        surfaces[stain] = (
            _surface(fft.irfft2(phase * band, edges.shape), size),
            _surface(fft.irfft2(plain * band, edges.shape), size),
        )
    return surfaces


def _window(height: int, width: int) -> tuple[slice, slice]:
    top, left = max(0, (height - _SAMPLE_PX) // 2), max(0, (width - _SAMPLE_PX) // 2)
    return slice(top, top + _SAMPLE_PX), slice(left, left + _SAMPLE_PX)


def _surface(correlation: Surface, size: int) -> Surface:
    spread = float(correlation.std())
    middle = _middle(np.fft.fftshift(correlation), size)
    return middle / spread if spread > 0 else np.zeros_like(middle)


def _gradient(image: NDArray[np.float32], detail_px: float) -> NDArray[np.float32]:
    from scipy.ndimage import gaussian_gradient_magnitude

    return gaussian_gradient_magnitude(np.asarray(image, np.float32), 1.5 * detail_px)


def _middle(surface: Surface, size: int) -> Surface:
    """The middle of a surface, `size` (odd) wide; its centre is where shifts are 0."""
    y, x = (n // 2 - size // 2 for n in surface.shape)
    return surface[y : y + size, x : x + size]


def _peak(surfaces: Sequence[Surface]) -> tuple[float, float, float, float]:
    """Shift (y, x), height and ratio to the next peak of the sum; between pixels by a parabola."""
    total = np.abs(np.sum(surfaces, axis=0)) / np.sqrt(len(surfaces))
    at = np.unravel_index(int(total.argmax()), total.shape)
    place = []
    for axis, index in enumerate(at):
        line = np.take(total, at[1 - axis], axis=1 - axis)
        offset = 0.0
        if 0 < index < len(line) - 1:
            before, top, after = line[index - 1 : index + 2]
            bend = before - 2 * top + after
            offset = 0.5 * (before - after) / bend if bend < 0 else 0.0
        place.append(float(index - len(line) // 2 + offset))
    height = float(total[at])
    y, x = (slice(max(0, index - _PEAK_PX), index + _PEAK_PX + 1) for index in at)
    total[y, x] = 0
    return place[0], place[1], height, height / max(float(total.max()), 1e-9)
