"""A periodic field: what crosses one border comes in at the other.

Propagation by Fourier transforms wraps round at the borders. If the specimen does so too, the
light that wraps is that of a neighbour just outside the field, and no margin is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Patch:
    """Pixels around a point.

    Attributes
    ----------
    rows, columns : Tensor of int64, shape (h, 1) and (1, w)
        Places on the field.
    dy, dx : Tensor, shape (h, 1) and (1, w)
        Distance from the point in micrometres.
    """

    rows: Tensor
    columns: Tensor
    dy: Tensor
    dx: Tensor


@dataclass(frozen=True)
class Canvas:
    """A field of `shape` pixels of `pixel` micrometres on a device."""

    shape: tuple[int, int]
    pixel: float
    device: torch.device

    def full(self, value: float = 0.0) -> Tensor:
        """Return a new map of one value, float32."""
        return torch.full(self.shape, value, device=self.device)

    def patch(self, y: float, x: float, reach: float) -> Patch:
        """Return the pixels within `reach` micrometres, at most the whole field once."""
        rows, dy = self._axis(y, reach, self.shape[0])
        columns, dx = self._axis(x, reach, self.shape[1])
        return Patch(rows[:, None], columns[None, :], dy[:, None], dx[None, :])

    def _axis(self, centre: float, reach: float, size: int) -> tuple[Tensor, Tensor]:
        half = min(int(reach / self.pixel) + 1, (size - 1) // 2)
        middle = round(centre / self.pixel)
        places = torch.arange(middle - half, middle + half + 1, device=self.device)
        return places % size, places * self.pixel - centre

    def texture(self, correlation_um: float, generator: torch.Generator) -> Tensor:
        """Return Gaussian-correlated noise of unit variance."""
        noise = torch.randn(self.shape, generator=generator, device=self.device)
        fy = torch.fft.fftfreq(self.shape[0], self.pixel, device=self.device)[:, None]
        fx = torch.fft.rfftfreq(self.shape[1], self.pixel, device=self.device)[None, :]
        damping = torch.exp(-2 * (torch.pi * correlation_um) ** 2 * (fy**2 + fx**2))
        smooth = torch.fft.irfft2(torch.fft.rfft2(noise) * damping, s=self.shape)
        return smooth / smooth.std()


def fibres(
    long_um: float, short_um: float, pixel: float, generator: torch.Generator, device: torch.device
) -> Tensor:
    """Return a periodic tile of 256² pixels with noise that is stretched along its rows."""
    noise = torch.randn(256, 256, generator=generator, device=device)
    fy = torch.fft.fftfreq(256, pixel, device=device)[:, None]
    fx = torch.fft.rfftfreq(256, pixel, device=device)[None, :]
    damping = torch.exp(-2 * torch.pi**2 * ((short_um * fy) ** 2 + (long_um * fx) ** 2))
    smooth = torch.fft.irfft2(torch.fft.rfft2(noise) * damping, s=(256, 256))
    return smooth / smooth.std()
