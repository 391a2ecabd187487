"""What is drawn for a simulated field: cells, optics and camera, with sources.

A range ``(low, high)`` is drawn uniformly once a field or a cell. Refractive indices:

- medium 1.337: aqueous culture medium; cytoplasm 1.36-1.37 and a nucleus of LOWER index than
  its cytoplasm: Schürmann et al., J. Biophotonics 9 (2016) 1068, 10.1002/jbio.201500273,
  confirmed in other cell lines by Steelman et al., J. Biophotonics 10 (2017) 1714,
  10.1002/jbio.201600314; the size of the step is chosen by hand;
- lipid 1.46: triglycerides such as triolein, 1.46-1.47 in bulk;
- nucleoli above the nucleoplasm and granules above the cytosol: chosen by hand;
- holes of defective droplets: between medium and dense cytosol, as watery inclusions; chosen by
  hand.

Defective droplets: the challenge's analysis counts droplets with dark spots of 3 to 10 pixels at
20x (1 to 3 micrometres); only droplets that can hold such a spot become defective. Their share
and how often the defect is a crease are chosen by hand, so that a field has some tens of them.

Sizes of cells, nuclei and droplets are chosen by hand for differentiating adipocytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from napari_fluorgen.errors import ConfigError
from napari_fluorgen.simulation.wide_presets import WideOptics, WidePreset

Range = tuple[float, float]


@dataclass(frozen=True)
class CellPreset:
    """Adipocytes on a flat substrate; lengths in micrometres."""

    density_per_mm2: Range = (550.0, 950.0)
    radius: Range = (14.0, 22.0)
    aspect: Range = (0.7, 1.4)
    height: Range = (5.0, 9.0)
    nucleus_semi_axes: tuple[Range, Range, Range] = ((4.5, 7.0), (4.0, 5.5), (1.8, 2.8))
    nucleoli: Range = (1, 4)
    nucleolus_radius: Range = (0.7, 1.4)
    droplets_mean: Range = (15.0, 50.0)
    droplet_log_sigma: float = 0.55
    droplet_median_radius: float = 1.1
    droplet_radius_limits: Range = (0.5, 6.0)
    medium: float = 1.337
    cytoplasm_step: Range = (0.022, 0.032)
    nucleus_step: Range = (-0.010, -0.005)
    nucleolus_step: Range = (0.008, 0.016)
    lipid: Range = (1.455, 1.465)
    texture_um: float = 0.5
    cytoplasm_texture: float = 0.004
    nucleus_texture: float = 0.003
    granule_fraction: Range = (0.001, 0.003)
    granule_step: Range = (0.02, 0.05)
    defective_share: Range = (0.15, 0.40)
    defect_droplet_radius: float = 1.8
    hole_count: tuple[int, int] = (1, 3)
    hole_radius: Range = (0.35, 0.60)
    hole_smallest: float = 0.5
    crease_share: float = 0.25
    crease_radius: float = 0.25
    hole_index: Range = (1.340, 1.375)


@dataclass(frozen=True)
class OpticsPreset:
    """A brightfield microscope with Köhler illumination; lengths in micrometres."""

    pixel_size: float
    objective_na: Range
    condenser_na: Range
    wavelength: Range = (0.54, 0.57)
    focus_offset: Range = (-0.5, 0.5)
    planes: tuple[float, ...] = (-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0)
    fluorescence_blur: float = 0.4


@dataclass(frozen=True)
class CameraPreset:
    """Counts of the camera for brightfield and the three stains."""

    brightfield_counts: Range = (6000.0, 14000.0)
    electrons_a_count: Range = (0.35, 0.6)
    uneven_illumination: float = 0.12
    offset: float = 100.0
    read_noise: float = 4.0
    # The challenge's analysis keeps nuclei whose mean is between 1,311 and 2,621 counts.
    nuclei_counts: Range = (2450.0, 3850.0)
    lipids_counts: Range = (1400.0, 2200.0)
    cytoplasm_counts: Range = (12000.0, 20000.0)


@dataclass(frozen=True)
class Preset:
    """Everything that a simulated field is drawn from."""

    magnification: str
    optics: OpticsPreset
    cells: CellPreset = CellPreset()
    camera: CameraPreset = CameraPreset()


_PRESETS = {
    "20x": Preset("20x", OpticsPreset(0.325, (0.72, 0.78), (0.30, 0.40))),
    "40x": Preset("40x", OpticsPreset(0.1625, (0.90, 0.96), (0.38, 0.48))),
    "60x": Preset("60x", OpticsPreset(0.1083, (1.10, 1.20), (0.45, 0.55))),
}


_WIDE_OPTICS = {
    "20x": WideOptics(0.325, (0.40, 0.95)),
    "40x": WideOptics(0.1625, (0.55, 0.95)),
    "60x": WideOptics(0.1083, (0.70, 1.25)),
}
_ILLUMINATION = {"wide": "brightfield", "oblique": "oblique", "phase-contrast": "phase-contrast"}
VARIETIES = ("adipocytes", *_ILLUMINATION)
"""Names of the varieties of fields."""


def get_preset(magnification: str, variety: str = "adipocytes") -> Preset | WidePreset:
    """Return the preset of a magnification: ``"20x"``, ``"40x"`` or ``"60x"``.

    Parameters
    ----------
    magnification : str
        Decides the pixel size and the aperture.
    variety : str
        ``"adipocytes"``, or ``"wide"`` (any adherent cell, any brightfield microscope),
        ``"oblique"`` and ``"phase-contrast"`` (such cells under other illumination).

    Raises
    ------
    ConfigError
        If there is no such preset.
    """
    if magnification not in _PRESETS:
        raise ConfigError(
            f"No simulation preset is called {magnification!r}; choose one of "
            f"{', '.join(_PRESETS)}."
        )
    if variety == "adipocytes":
        return _PRESETS[magnification]
    if variety not in _ILLUMINATION:
        raise ConfigError(
            f"No variety of simulated fields is called {variety!r}; choose one of "
            f"{', '.join(VARIETIES)}."
        )
    return WidePreset(magnification, _WIDE_OPTICS[magnification], _ILLUMINATION[variety])
