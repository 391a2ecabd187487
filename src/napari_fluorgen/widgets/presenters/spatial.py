"""Where a layer lies in the world: one helper that every layer we add goes through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_fluorgen.stack import BrightfieldStack

_AXES = ("z", "y", "x")
_TO_UM = {
    "m": 1e6,
    "meter": 1e6,
    "metre": 1e6,
    "centimeter": 1e4,
    "millimeter": 1e3,
    "mm": 1e3,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "micron": 1.0,
    "um": 1.0,
    "µm": 1.0,
    "nanometer": 1e-3,
    "nm": 1e-3,
}


@dataclass(frozen=True)
class Spatial:
    """Scale, offset and units of the axes of a layer.

    Attributes
    ----------
    scale, translate : tuple of float
        World units a pixel and world position of pixel 0, one an axis.
    units : tuple of str
        ``"micrometer"`` or ``"pixel"``, one an axis.
    axis_labels : tuple of str
        Names of the axes, ``("z", "y", "x")`` or the last of them.
    rotate, shear, affine : ndarray or None
        Rotation matrix, shear and further affine matrix where the source layer has them.
    """

    scale: tuple[float, ...]
    translate: tuple[float, ...]
    units: tuple[str, ...]
    axis_labels: tuple[str, ...]
    rotate: Any = None
    shear: Any = None
    affine: Any = None

    @classmethod
    def of_stack(cls, stack: BrightfieldStack) -> Spatial:
        """Take the grid from what the file says; unknown sizes stay pixels."""
        z_step = _even_step(stack.z_um)
        pixel = stack.pixel_size_um or (1.0, 1.0)
        unit = "micrometer" if stack.pixel_size_um else "pixel"
        return cls(
            scale=(z_step or 1.0, *map(float, pixel)),
            translate=(0.0, 0.0, 0.0),
            units=("micrometer" if z_step else "pixel", unit, unit),
            axis_labels=_AXES,
        )

    @classmethod
    def of_pixels(cls, pixel_size_um: tuple[float, float] | None) -> Spatial:
        """Make the grid of a single plane with this pixel size."""
        unit = "micrometer" if pixel_size_um else "pixel"
        return cls(tuple(pixel_size_um or (1.0, 1.0)), (0.0, 0.0), (unit, unit), _AXES[1:])

    @classmethod
    def of_layer(cls, layer: Any) -> Spatial:
        """Copy the grid of a napari layer."""
        identity = np.eye(layer.ndim)
        rotate = np.asarray(layer.rotate)
        shear = np.asarray(layer.shear)
        affine = np.asarray(layer.affine.affine_matrix)
        return cls(
            scale=tuple(map(float, layer.scale)),
            translate=tuple(map(float, layer.translate)),
            units=tuple(str(unit) for unit in layer.units),
            axis_labels=tuple(layer.axis_labels),
            rotate=None if np.allclose(rotate, identity) else rotate,
            shear=None if np.allclose(shear, 0) else shear,
            affine=None if np.allclose(affine, np.eye(layer.ndim + 1)) else affine,
        )

    def plane(self) -> Spatial:
        """Drop the leading axes: the grid of a 2D result of a stack."""
        affine = self.affine
        if affine is not None:
            keep = [-3, -2, -1]
            affine = np.asarray(affine)[np.ix_(keep, keep)]
        return replace(
            self,
            scale=self.scale[-2:],
            translate=self.translate[-2:],
            units=self.units[-2:],
            axis_labels=self.axis_labels[-2:],
            rotate=None if self.rotate is None else np.asarray(self.rotate)[-2:, -2:],
            # napari lists the upper triangle by rows: the last entry is that of y and x.
            shear=None if self.shear is None else np.asarray(self.shear)[-1:],
            affine=affine,
        )

    def kwargs(self) -> dict[str, Any]:
        """Return the keywords for ``viewer.add_image`` or ``viewer.add_labels``."""
        keywords: dict[str, Any] = {
            "scale": self.scale,
            "translate": self.translate,
            "units": self.units,
            "axis_labels": self.axis_labels,
        }
        if self.rotate is not None:
            keywords["rotate"] = self.rotate
        if self.shear is not None:
            keywords["shear"] = self.shear
        if self.affine is not None:
            keywords["affine"] = self.affine
        return keywords

    def place(self) -> dict[str, Any]:
        """Where the layer lies, ready for JSON; empty where it begins at the origin, unturned."""
        found = {
            name: np.asarray(value).tolist()
            for name in ("translate", "rotate", "shear", "affine")
            if (value := getattr(self, name)) is not None and np.any(value)
        }
        return {"scale": list(self.scale), **found} if found else {}

    def at(self, place: Mapping[str, Any]) -> Spatial:
        """Move this grid to a `place` that another of the same pixels had, in whatever units."""
        if not place:
            return self
        factor = np.divide(self.scale, place["scale"])
        affine = place.get("affine")
        if affine is not None:
            affine = np.array(affine, float)
            affine[:-1, -1] *= factor
        translate = np.multiply(place.get("translate", self.translate), factor)
        rotate, shear = (
            None if (value := place.get(name)) is None else np.array(value, float)
            for name in ("rotate", "shear")
        )
        return replace(
            self,
            translate=tuple(map(float, translate)),
            rotate=rotate,
            shear=shear,
            affine=affine,
        )

    def pixel_size_um(self) -> tuple[float, float] | None:
        """Micrometres a pixel (y, x), or None where the units are not lengths."""
        factors = [_TO_UM.get(unit) for unit in self.units[-2:]]
        if any(factor is None for factor in factors):
            return None
        y, x = (
            abs(step) * factor
            for step, factor in zip(self.scale[-2:], factors, strict=True)
            if factor is not None
        )
        return (y, x)

    def z_um(self, planes: int) -> tuple[float, ...] | None:
        """Positions of the planes in micrometres, or None where z has no length."""
        factor = _TO_UM.get(self.units[-3]) if len(self.units) >= 3 else None
        if factor is None:
            return None
        step = self.scale[-3] * factor
        return tuple(index * step for index in range(planes))


def _even_step(z_um: tuple[float, ...] | None) -> float | None:
    """Distance between planes where it is positive and the same throughout."""
    if z_um is None or len(z_um) < 2:
        return None
    steps = np.diff(np.asarray(z_um, dtype=float))
    step = float(steps.mean())
    return step if step > 0 and np.allclose(steps, step, rtol=0.05) else None
