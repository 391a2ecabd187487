"""Nuclei in a true nuclear stain, where nobody has outlined them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fluorgen.errors import InputError
from napari_fluorgen.segmentation.nuclei import segment_nuclei

_SMOOTHING_UM = 0.5
_SURROUND_UM = 20.0
_STEEPNESS = 4.0
_STANDS_OUT = 4.0
"""Least distance between nuclei and background, in standard deviations of the background."""
_EDGE = 0.4
"""A nucleus ends where it has fallen to this share of its own level, the upper quartile of it."""


def segment_fluorescence(
    image: ArrayLike,
    *,
    pixel_size_um: float | tuple[float, float],
    min_area_um2: float = 20.0,
    max_area_um2: float = 600.0,
) -> NDArray[np.uint32]:
    """Label the nuclei of a DAPI or Hoechst image.

    The image is smoothed, its surroundings (a Gaussian of 20 µm) are subtracted, and the threshold
    of minimum cross-entropy [1]_ tells nuclei from background, or Otsu's [2]_ where nuclei are so
    few that the former divides noise. How far a pixel lies above the threshold, in spreads of the
    nuclei, stands for its probability, and `segment_nuclei` divides what touches by distance and
    intensity. Each nucleus is then cut where it has fallen to 0.4 of its own level, so that
    neither a mitotic cell's glow nor a dim nucleus beside it gets the other's outline, and what is
    left of it is divided once more, by its shape.

    Parameters
    ----------
    image : array-like, shape (Y, X)
        Camera counts or any other scale.
    pixel_size_um : float or tuple of float (y, x)
        Micrometres a pixel.
    min_area_um2, max_area_um2 : float
        Nuclei outside these limits are left out.

    Returns
    -------
    ndarray of uint32, shape (Y, X)
        Sequential from 1; 0 is background. Empty where the image shows nothing above its noise.

    Raises
    ------
    InputError
        Where the image is no plane of numbers or holds values that are not finite.

    References
    ----------
    .. [1] C. H. Li, P. K. S. Tam, "An iterative algorithm for minimum cross entropy thresholding",
       Pattern Recognit. Lett. 19, 771-776 (1998).
    .. [2] N. Otsu, "A threshold selection method from gray-level histograms",
       IEEE Trans. Syst. Man Cybern. 9, 62-66 (1979).
    """
    from scipy.ndimage import gaussian_filter

    values = np.asarray(image)
    if values.ndim != 2 or values.dtype.kind not in "uifb":
        raise InputError(
            f"The nuclei image has shape {values.shape} and type {values.dtype}; expected one "
            "plane of intensities."
        )
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError(
            "The nuclei image holds values that are not numbers (NaN or infinite); replace them."
        )
    size = np.broadcast_to(np.asarray(pixel_size_um, np.float64), (2,))
    flat = gaussian_filter(values, _SMOOTHING_UM / size)
    flat -= gaussian_filter(values, _SURROUND_UM / size)
    found = _threshold(flat)
    if found is None:
        return np.zeros(values.shape, np.uint32)
    threshold, spread = found
    above = np.clip((flat - threshold) * (_STEEPNESS / spread), -30, 30)
    divide = partial(
        segment_nuclei,
        pixel_size_um=(float(size[0]), float(size[1])),
        min_area_um2=min_area_um2,
        max_area_um2=max_area_um2,
    )
    return _cut_at_own_level(divide(1 / (1 + np.exp(-above))), flat, divide)


def _threshold(flat: NDArray[np.float32]) -> tuple[float, float] | None:
    """Level that tells nuclei from background, and the spread of nuclei; None without nuclei."""
    from skimage.filters import threshold_li, threshold_otsu

    scale = float(np.ptp(flat))
    if scale == 0:
        return None
    # Without a tolerance the former may go round in circles for ever, by rounding.
    for method in (partial(threshold_li, tolerance=1e-4 * scale), threshold_otsu):
        threshold = float(method(flat))
        bright, dark = flat[flat > threshold], flat[flat <= threshold]
        # Both divide anything, also an image of noise alone: nuclei stand out from the rest.
        if bright.size and bright.mean() - dark.mean() >= _STANDS_OUT * dark.std():
            return threshold, max(float(bright.std()), 1e-6 * scale)
    return None


def _cut_at_own_level(
    labels: NDArray[np.uint32],
    flat: NDArray[np.float32],
    divide: Callable[..., NDArray[np.uint32]],
) -> NDArray[np.uint32]:
    """Cut each nucleus where it is far dimmer than most of it, and divide what is left anew.

    By its shape alone: texture divides no nucleus.
    """
    from scipy.ndimage import find_objects

    cut, count = np.zeros_like(labels), 0
    for number, box in enumerate(find_objects(labels), start=1):
        # One more pixel on each side shows the rim.
        box = tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in box)
        own = labels[box] == number
        parts = divide(own & (flat[box] >= _EDGE * np.percentile(flat[box][own], 75)))
        cut[box][parts > 0] = parts[parts > 0] + count
        count += int(parts.max())
    return cut
