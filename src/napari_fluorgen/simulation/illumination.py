"""Where the light of the condenser comes from, and what stands in the objective's pupil."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_GOLDEN_TURN = np.pi * (3 - np.sqrt(5))


@dataclass(frozen=True)
class PhaseRing:
    """The ring in the back focal plane of a phase-contrast objective.

    Attributes
    ----------
    inner, outer : float
        Numerical apertures of its edges.
    transmission : float
        Share of the intensity that it lets through.
    """

    inner: float
    outer: float
    transmission: float


@dataclass(frozen=True)
class Illumination:
    """Points of the condenser aperture.

    Attributes
    ----------
    points : ndarray, shape (n, 2)
        Direction sines (y, x) in numerical aperture.
    patch_na : float
        Radius of the part of the aperture that one point stands for; the images of points blur
        by it out of focus, so that few points give no ghosts.
    ring : PhaseRing, optional
        Phase ring of the objective.
    """

    points: NDArray[np.float64]
    patch_na: float = 0.0
    ring: PhaseRing | None = None


def disc(
    condenser_na: float, count: int, rng: np.random.Generator, centre: tuple[float, float] = (0, 0)
) -> Illumination:
    """Fill a disc with irregular points: brightfield after Köhler.

    Parameters
    ----------
    condenser_na : float
        Radius of the disc.
    count : int
        Number of points.
    rng : numpy.random.Generator
        Turns and jitters the points.
    centre : tuple of float
        Middle of the disc (y, x), not 0 for a condenser off axis.
    """
    order = np.arange(count) + 0.5
    radius = np.sqrt(order / count)
    angle = order * _GOLDEN_TURN + rng.uniform(0, 2 * np.pi)
    points = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
    points += rng.normal(0, 0.15 / np.sqrt(count), points.shape)
    return Illumination(points * condenser_na + centre, condenser_na / np.sqrt(count))


def one_side(
    objective_na: float, count: int, rng: np.random.Generator, inner: float = 0.3,
    outer: float = 0.9, width: float = 2.0,
) -> Illumination:  # fmt: skip
    """Fill a sector of the aperture on one side: oblique illumination.

    Parameters
    ----------
    objective_na : float
        Numerical aperture of the objective.
    count : int
        Number of points.
    rng : numpy.random.Generator
        Turns the sector and draws the points.
    inner, outer : float
        Edges of the sector as shares of the objective's aperture. Light beyond 1 is seen only
        where the specimen bends it into the objective.
    width : float
        Opening angle of the sector in radians.
    """
    share = (np.arange(count) + rng.uniform(0.2, 0.8, count)) / count
    radius = np.sqrt(inner**2 + (outer**2 - inner**2) * rng.permutation(share))
    angle = rng.uniform(0, 2 * np.pi) + width * (share - 0.5)
    points = objective_na * np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
    area = width / 2 * (outer**2 - inner**2) * objective_na**2
    return Illumination(points, float(np.sqrt(area / count / np.pi)))


def annulus(
    radius_na: float, width_na: float, transmission: float, count: int, rng: np.random.Generator
) -> Illumination:
    """Place points on an annulus whose image the phase ring covers: phase contrast after Zernike.

    Parameters
    ----------
    radius_na, width_na : float
        Middle radius and width of the annulus.
    transmission : float
        Share of the intensity that the ring lets through.
    count : int
        Number of points.
    rng : numpy.random.Generator
        Turns and jitters the points.
    """
    angle = 2 * np.pi * (np.arange(count) + rng.uniform(-0.2, 0.2, count)) / count
    angle += rng.uniform(0, 2 * np.pi)
    radius = radius_na + width_na * rng.uniform(-0.5, 0.5, count)
    points = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
    # The ring is a little wider than the annulus, as rings are made.
    ring = PhaseRing(radius_na - 0.65 * width_na, radius_na + 0.65 * width_na, transmission)
    return Illumination(points, float(np.sqrt(2 * radius_na * width_na / count)), ring)
