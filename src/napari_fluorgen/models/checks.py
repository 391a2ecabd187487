"""Check that a model computes here what it computed where it was made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from napari_fluorgen.models.package import Model


@dataclass(frozen=True)
class TestReport:
    """Result of `test_model`.

    Attributes
    ----------
    model : str
        Name of the model.
    deviations : dict of str to float
        Largest absolute deviation from the stored output, by output name.
    tolerance : float
        What is allowed.
    """

    __test__: ClassVar[bool] = False  # not a test class, whatever its name

    model: str
    deviations: dict[str, float]
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether every deviation is within the tolerance (NaN is not)."""
        return all(value <= self.tolerance for value in self.deviations.values())


def test_model(model: Model, *, tolerance: float = 1e-4) -> TestReport:  # noqa: PT028
    """Run the package's test input through its networks, in float32 on the CPU.

    Parameters
    ----------
    model : Model
        The model to test.
    tolerance : float
        Largest absolute deviation allowed; outputs are in [0, 1].

    Returns
    -------
    TestReport
        Deviations by output; ask for ``passed``.

    Raises
    ------
    ModelError
        A file of the package is missing or damaged.
    """
    import torch

    x, expected = model.test_tensors()
    _ = model.onnx  # what the CPU runs, and other programs: as sound as the weights tested here
    network = model.combined()
    with torch.no_grad():
        outputs = network(torch.from_numpy(x))
    deviations = {
        name: float(np.abs(output.numpy() - expected[name]).max())
        for name, output in zip(network.output_names, outputs, strict=True)
    }
    return TestReport(model.spec.name, deviations, tolerance)


test_model.__test__ = False  # type: ignore[attr-defined]
