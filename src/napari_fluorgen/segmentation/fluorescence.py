"""Nuclei in a true nuclear stain, where nobody has outlined them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fluorgen.errors import InputError
from napari_fluorgen.segmentation.nuclei import segment_nuclei

_SMOOTHING_UM = 0.5
_SURROUND_UM = 20.0
_STEEPNESS = 4.0


def segment_fluorescence(
    image: ArrayLike,
    *,
    pixel_size_um: float | tuple[float, float],
    min_area_um2: float = 20.0,
    max_area_um2: float = 600.0,
) -> NDArray[np.uint32]:
    """Label the nuclei of a DAPI or Hoechst image.

    The image is smoothed, its surroundings (a Gaussian of 20 µm) are subtracted, and Otsu's
    threshold tells nuclei from background. How far a pixel lies above the threshold, in spreads
    of the nuclei, stands for its probability, and `segment_nuclei` divides what touches by
    distance and intensity.

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
    .. [1] N. Otsu, "A threshold selection method from gray-level histograms",
       IEEE Trans. Syst. Man Cybern. 9, 62-66 (1979).
    """
    from scipy.ndimage import gaussian_filter
    from skimage.filters import threshold_otsu

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
    labels = np.zeros(values.shape, np.uint32)
    if flat.min() == flat.max():
        return labels
    threshold = threshold_otsu(flat)
    bright = flat > threshold
    # Otsu divides anything, also an image of noise alone: nuclei stand out from the rest.
    noise = float(flat[~bright].std())
    if float(flat[bright].mean()) - float(flat[~bright].mean()) < 4 * noise:
        return labels
    spread = max(float(flat[bright].std()), 1e-6 * float(np.ptp(flat)))
    above = np.clip((flat - threshold) * (_STEEPNESS / spread), -30, 30)
    return segment_nuclei(
        1 / (1 + np.exp(-above)),
        pixel_size_um=(float(size[0]), float(size[1])),
        min_area_um2=min_area_um2,
        max_area_um2=max_area_um2,
    )
