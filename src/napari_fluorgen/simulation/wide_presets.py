"""What the variety "wide" is drawn from: any adherent cell under any brightfield microscope.

The ranges are meant to be wider than one laboratory's, so that a network that is taught by them
meets real microscopes as one more draw (domain randomisation: Tobin et al., IROS 2017,
arXiv:1703.06907). All lengths are in micrometres. A range ``(low, high)`` is drawn uniformly,
once a field where it describes the microscope or the culture, else once a cell. The comment of a
number names its source; "by hand" means chosen by hand, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class WideCells:
    """Adherent cells of many kinds, from no lipids to lipid-laden."""

    # Shares of fields whose cells are spread, spindles, cobblestones or round: by hand, the
    # shapes that fibroblasts, preadipocytes, epithelia and freshly seeded cells take.
    kinds: tuple[float, float, float, float] = (0.42, 0.16, 0.26, 0.16)
    # Share of the area that bodies would fill without overlap: sparse to confluent.
    cover: Range = (0.12, 1.25)
    clustered: float = 0.35
    radius: tuple[Range, Range, Range, Range] = (
        (14.0, 28.0), (12.0, 20.0), (9.0, 15.0), (6.5, 11.0),
    )  # fmt: skip
    aspect: tuple[Range, Range, Range, Range] = (
        (0.6, 1.7), (2.2, 5.0), (0.7, 1.4), (0.85, 1.15),
    )  # fmt: skip
    # Height of the flat part; over the nucleus the body bulges by what the nucleus needs.
    lamella: tuple[Range, Range, Range, Range] = ((0.6, 3.0), (1.0, 3.5), (3.0, 7.0), (3.0, 6.0))
    # Semi-axes of nuclei of cultured mammalian cells: long, short (never above long), height.
    # By hand: from 50 um2 seen from above, in small round cells, to 480 um2, in polyploid ones.
    nucleus_long: Range = (4.0, 14.0)
    nucleus_short: Range = (4.0, 11.0)
    nucleus_height: Range = (1.4, 3.5)
    nucleus_wave: Range = (0.0, 0.05)
    binucleate: float = 0.04
    # Index of aqueous media 1.333-1.340; cytoplasm 1.35-1.38 by hand around 1.36-1.37 of
    # Schürmann et al., J. Biophotonics 9 (2016) 1068, who find nuclei below their cytoplasm. The
    # sign is drawn as well, because textbooks and other methods report denser nuclei.
    medium: Range = (1.333, 1.342)
    cytoplasm_step: Range = (0.014, 0.036)
    nucleus_step: Range = (-0.014, 0.010)
    nucleus_step_spread: float = 0.0015
    # Nucleoli are the densest part of a nucleus; size as seen in phase contrast, step by hand.
    nucleoli: tuple[int, int] = (1, 6)
    nucleolus_radius: Range = (0.6, 1.8)
    nucleolus_step: Range = (0.004, 0.020)
    envelope_share: float = 0.5
    envelope_step: Range = (0.002, 0.010)
    chromatin_texture: Range = (0.0008, 0.004)
    # Organelles, by hand: bright enough that the nucleus is seen as the place without them.
    cytoplasm_texture: Range = (0.001, 0.005)
    texture_um: Range = (0.3, 0.9)
    organelle_step: Range = (0.0, 0.009)
    organelle_reach: Range = (3.0, 14.0)
    fibre_um: tuple[Range, Range] = ((0.25, 0.50), (0.4, 1.8))
    granules_per_um2: Range = (0.0, 0.5)
    granule_radius: Range = (0.15, 0.45)
    granule_step: Range = (0.02, 0.08)
    vacuolated: float = 0.25
    vacuoles: int = 10
    vacuole_radius: Range = (0.7, 2.5)
    # Lipids: triglycerides 1.46-1.47 in bulk. Shares of fields without, with few and with many
    # droplets: by hand, most cells that are not adipocytes have few.
    lipid_index: Range = (1.450, 1.468)
    lipid_states: tuple[float, float, float] = (0.40, 0.25, 0.35)
    droplets_few: Range = (2.0, 25.0)
    droplets_many: Range = (15.0, 90.0)
    droplet_median: tuple[Range, Range] = ((0.3, 0.6), (0.5, 1.5))
    droplet_log_sigma: Range = (0.35, 0.6)
    droplet_limits: Range = (0.25, 7.0)
    # Mitotic cells round up, their chromosomes condense to a dense plate without nucleoli; dead
    # cells shrink and stain brightly. Shares by hand: some in most fields.
    mitotic: Range = (0.0, 0.06)
    dead: Range = (0.0, 0.08)
    mitotic_step: Range = (0.006, 0.022)
    dead_step: Range = (0.030, 0.055)
    debris_per_mm2: Range = (0.0, 2500.0)
    debris_radius: Range = (0.25, 1.6)
    debris_step: Range = (0.005, 0.060)
    # Dirt absorbs, by hand: in a third of fields; from grey to opaque over a micrometre or two.
    dirty: float = 0.3
    dirt_per_mm2: Range = (0.0, 200.0)
    dirt_radius: Range = (0.8, 5.0)
    dirt_step: Range = (0.005, 0.100)
    dirt_absorption: Range = (0.05, 1.5)


@dataclass(frozen=True)
class WideOptics:
    """A transmitted-light microscope and its focus series."""

    pixel_size: float
    objective_na: Range
    # Closed to wide condenser; at most 0.75 of the objective's aperture, as one sets it.
    condenser_na: Range = (0.10, 0.50)
    condenser_fill: float = 0.75
    # Green to orange light, where most brightfield filters and LEDs lie.
    wavelength: Range = (0.50, 0.60)
    # True pixel size over the nominal one: tube lenses and nominal magnifications differ.
    pixel_error: float = 0.10
    # Share of fields whose condenser is off axis, and by how much of the objective's aperture.
    misaligned: float = 0.4
    misalignment: Range = (0.03, 0.20)
    planes: int = 11
    # Nominal spacing: 5 um, or in a share of the fields drawn between these.
    spacing: float = 5.0
    dense_share: float = 0.5
    dense_spacing: Range = (1.0, 5.0)
    # Of the spacing: error of the stage's scale, and jitter of one plane.
    spacing_error: float = 0.06
    jitter: float = 0.05
    # Focus of the middle plane against half the cells' height, at least and in spacings.
    focus_offset: float = 2.5
    focus_offset_spacings: float = 0.7
    # Upright microscopes see the cells from the other side.
    upright: float = 0.2
    points: int = 13
    fluorescence_blur: Range = (0.25, 0.6)


@dataclass(frozen=True)
class WideCamera:
    """Cameras from 8 to 16 bits, lamps and dirt."""

    # Photo-electrons of the empty field: shot noise of 0.7 to 3 per cent.
    electrons: Range = (1_000.0, 20_000.0)
    eight_bit: float = 0.25
    counts: Range = (500.0, 40_000.0)
    counts_eight_bit: Range = (70.0, 170.0)
    offset: Range = (0.0, 200.0)
    read_electrons: Range = (1.0, 12.0)
    uneven_illumination: Range = (0.0, 0.20)
    flicker: Range = (0.0, 0.03)
    dust: int = 4
    dust_depth: Range = (0.01, 0.06)


@dataclass(frozen=True)
class WidePreset:
    """Everything that a field of the varieties "wide", "oblique", "phase-contrast" draws from."""

    magnification: str
    optics: WideOptics
    illumination: str = "brightfield"
    cells: WideCells = WideCells()
    camera: WideCamera = WideCamera()
