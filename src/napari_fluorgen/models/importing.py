"""A model package from checkpoints of the published training code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from napari_fluorgen.errors import ModelError
from napari_fluorgen.models.reference import read_with_architecture
from napari_fluorgen.models.saving import save_package
from napari_fluorgen.models.spec import ModelSpec, RangeScaling, StainRange, check_model_name
from napari_fluorgen.stack import STAINS

REFERENCE_RANGES: Mapping[str, tuple[tuple[int, int], ...]] = MappingProxyType(
    {
        "20x": (
            (0, 24835), (0, 3467), (45, 65535),
            (205, 13522), (183, 14515), (123, 18461), (109, 19788),
            (134, 19200), (144, 17543), (183, 15875),
        ),
        "40x": (
            (0, 17794), (0, 2633), (30, 32504),
            (1, 5900), (4, 5547), (7, 5151), (1, 4703), (13, 4362), (4, 4888), (23, 4794),
        ),
        "60x": (
            (0, 15169), (0, 5328), (23, 11177),
            (0, 4796), (0, 4359), (0, 4166), (0, 4414), (0, 4417), (0, 4793), (11, 4225),
        ),
    }
)  # fmt: skip
"""Minimum and maximum counts of the challenge's training data at each magnification: nuclei,
lipids, cytoplasm, then the seven brightfield planes."""

_PIXEL_SIZE_UM = {"20x": 0.325, "40x": 0.1625, "60x": 0.1083}
"""Of a camera with 6.5 µm pixels, as in the CellVoyager; checkpoints do not tell."""


def import_reference(
    folder: str | Path,
    checkpoints: Mapping[str, str | Path],
    *,
    magnification: str,
    name: str | None = None,
    pixel_size_um: float | None = None,
    z_step_um: float = 2.0,
    license_id: str = "MIT",
    overwrite: bool = False,
) -> Path:
    """Write a model package from checkpoints of the challenge code.

    Parameters
    ----------
    folder : str or Path
        Folder of the new package.
    checkpoints : mapping of str to path
        Stain (``"nuclei"``, ``"lipids"``, ``"cytoplasm"``) to its ``.pth`` file (C1, C2, C3);
        any subset.
    magnification : {"20x", "40x", "60x"}
        Chooses the value ranges that the challenge code scaled by.
    name : str, optional
        Name of the model; ``reference-20x`` and so on by default.
    pixel_size_um : float, optional
        Micrometres a pixel; by default that of a 6.5 µm camera at the magnification.
    z_step_um : float
        Distance of the planes, which the checkpoints do not tell.
    license_id : str
        SPDX identifier of the checkpoints' licence.
    overwrite : bool
        Whether an existing folder may be replaced.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    ModelError
        A checkpoint is damaged or for another stain, the magnification is unknown, or the name or
        a size cannot be one.
    OutputError
        The folder exists or cannot be written.
    """
    if magnification not in REFERENCE_RANGES:
        raise ModelError(
            f"No value ranges are known for magnification {magnification!r}; "
            f"choose one of {', '.join(REFERENCE_RANGES)}."
        )
    if not checkpoints or not set(checkpoints) <= set(STAINS):
        raise ModelError(
            f"Checkpoints were given for {', '.join(checkpoints) or 'no stain'}; "
            f"expected some of {', '.join(STAINS)}."
        )
    name = name or f"reference-{magnification}"
    check_model_name(name)
    pixel_size_um = _PIXEL_SIZE_UM[magnification] if pixel_size_um is None else pixel_size_um
    for what, value in (("pixel size", pixel_size_um), ("distance of planes", z_step_um)):
        if not (math.isfinite(value) and value > 0):
            raise ModelError(f"The {what} is {value} µm: give a number above 0.")
    networks = {}
    architectures = {}
    for stain in (stain for stain in STAINS if stain in checkpoints):
        network, architecture = read_with_architecture(checkpoints[stain])
        expected = "nuclei" if stain == "nuclei" else "dense-unet"
        if architecture.kind != expected or architecture.in_channels != 7:
            raise ModelError(
                f"{checkpoints[stain]} holds a {architecture.kind} network of "
                f"{architecture.in_channels} planes, expected a {expected} network of 7 for "
                f"{stain}; give each stain its own checkpoint (C1 nuclei, C2 lipids, C3 cytoplasm)."
            )
        networks[stain] = network
        architectures[stain] = architecture

    ranges = REFERENCE_RANGES[magnification]
    stain_ranges = dict(zip(STAINS, ranges[:3], strict=True))
    minimum, maximum = zip(*ranges[3:], strict=True)
    spec = ModelSpec(
        name=name,
        description=f"Imported checkpoints of the published training code, {magnification}.",
        magnification=magnification,
        pixel_size_um=pixel_size_um,
        z_um=tuple(z_step_um * (i - 3) for i in range(7)),
        input=RangeScaling(minimum=minimum, maximum=maximum),
        outputs={
            stain: StainRange(minimum=stain_ranges[stain][0], maximum=stain_ranges[stain][1])
            for stain in networks
        },
        overlap_px=128,
        divisor=max(16, *(architecture.divisor for architecture in architectures.values())),
        architectures=architectures,
        training={
            "source": "checkpoints of the published training code",
            "files": {stain: Path(path).name for stain, path in checkpoints.items()},
        },
    )
    card = (
        f"# {spec.name}\n\nImported from checkpoints of the published training code at "
        f"{magnification}. Pixel size ({spec.pixel_size_um} µm) and plane distance "
        f"({z_step_um} µm) are assumptions: checkpoints do not hold them. It is scaled by "
        "fixed camera counts, so it suits images of the instrument it was trained on, and it "
        "carries no conformal calibration.\n\n# Validation\n\nCompare its stains with real "
        "stains of your own instrument before use.\n"
    )
    test_input = np.random.default_rng(0).random((1, 7, 128, 128), dtype=np.float32)
    return save_package(
        folder,
        spec,
        networks,
        test_input=test_input,
        card=card,
        overwrite=overwrite,
        license_id=license_id,
    )
