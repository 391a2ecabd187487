"""Trained networks to a model package: calibration, figures, test tensors, card."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_fluorgen.confidence import calibrate
from napari_fluorgen.models import ModelSpec, save_package
from napari_fluorgen.training.config import TrainingConfig
from napari_fluorgen.training.data import Pair, load_pairs

_TEST_SIZE = 128
CALIBRATED = (
    "Confidence maps are calibrated on fields that were used for nothing else; their "
    "guarantee holds for fields like these only."
)
UNCALIBRATED = "The model is not calibrated: it gives no confidence maps."


def write_package(
    config: TrainingConfig,
    networks: Mapping[str, nn.Module],
    folder: str | Path,
    *,
    overwrite: bool = False,
) -> Path:
    """Calibrate trained networks and write them as a package.

    Parameters
    ----------
    config : TrainingConfig
        What the networks were trained by.
    networks : mapping of str to torch.nn.Module
        In eval mode, by stain.
    folder : str or Path
        The package.
    overwrite : bool
        Whether an older package may be replaced.

    Returns
    -------
    Path
        The package's folder.
    """
    scale = config.input, config.outputs, config.pixel_size_um, len(config.z_um)
    validation = load_pairs(config.data.validation, *scale)
    calibration = None
    if config.data.calibration is not None:
        pairs = load_pairs(config.data.calibration, *scale)
        calibration = calibrate(nuclei_probabilities(networks["nuclei"], pairs)).to_arrays()
    correlations = correlation(networks, validation)
    spec = ModelSpec(
        name=config.name,
        version=config.version,
        description=config.description,
        magnification=config.magnification,
        pixel_size_um=config.pixel_size_um,
        z_um=config.z_um,
        planes=len(config.z_um),
        input=config.input,
        outputs=config.outputs,
        overlap_px=config.overlap_px,
        divisor=max(network.architecture.divisor for network in config.networks.values()),
        nuclei=config.nuclei,
        architectures={stain: network.architecture for stain, network in config.networks.items()},
        training={
            "config": config.model_dump(mode="json"),
            "validation_pearson": correlations,
            "trained_on": f"{platform.machine()} {'CUDA' if torch.cuda.is_available() else 'CPU'}",
            "versions": {
                "napari-fluorgen": version("napari-fluorgen"),
                "torch": str(torch.__version__),
            },
        },
        simulated=config.simulated,
        general=config.general,
    )
    planes = validation[0].planes
    rows, columns = (min(n, _TEST_SIZE) // spec.divisor * spec.divisor for n in planes.shape[1:])
    return save_package(
        folder,
        spec,
        networks,
        calibration=calibration,
        test_input=planes[None, :, :rows, :columns],
        card=model_card(config, correlations, calibration),
        overwrite=overwrite,
    )


def nuclei_probabilities(
    network: nn.Module, pairs: list[Pair]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Yield the nuclei probability (Y, X) of each field and its true mask."""
    for pair in pairs:
        logits = _predict(network, pair.planes)[1]
        yield logits.softmax(0)[1].numpy(), pair.labels > 0


def correlation(networks: Mapping[str, nn.Module], pairs: list[Pair]) -> dict[str, float]:
    """Mean Pearson correlation of each stain over fields."""
    means = {}
    for stain, network in networks.items():
        values = []
        for pair in pairs:
            predicted = _predict(network, pair.planes)[0][0].numpy()
            values.append(np.corrcoef(predicted.ravel(), pair.stains[stain].ravel())[0, 1])
        means[stain] = round(float(np.mean(values)), 4)
    return means


def _predict(network: nn.Module, planes: NDArray[np.float32]) -> list[torch.Tensor]:
    """Outputs of a network on a whole field, each (channels, Y, X)."""
    _, height, width = planes.shape
    padding = ((0, 0), (0, -height % 32), (0, -width % 32))
    padded = torch.from_numpy(np.pad(planes, padding, mode="reflect"))[None]
    device = next(network.parameters()).device
    with torch.inference_mode():
        output = network(padded.to(device))
    outputs = output if isinstance(output, tuple) else (output,)
    return [tensor[0, :, :height, :width].float().cpu() for tensor in outputs]


def model_card(
    config: TrainingConfig, correlations: Mapping[str, float], calibration: Any | None
) -> str:
    """Markdown card; its first line says whether the data are simulated."""
    data = "simulated data" if config.simulated else "real data"
    figures = "\n".join(f"| {stain} | {value:.3f} |" for stain, value in correlations.items())
    parameters = ", ".join(
        f"{stain} {network.length}" for stain, network in config.networks.items()
    )
    warning = (
        "It has never seen a real cell: check its results against a real stain before you rely "
        "on them."
        if config.simulated
        else "Check its results against a real stain of your own cells before you rely on them."
    )
    confidence = UNCALIBRATED if calibration is None else CALIBRATED
    return f"""Trained on {data}: {config.description}.

# {config.name} {config.version}

{warning}

- Input: {len(config.z_um)} brightfield planes at {", ".join(f"{z:g}" for z in config.z_um)} µm
  around focus, {config.pixel_size_um:g} µm a pixel, divided by their own background.
- Output: nuclei, lipids and cytoplasm in camera counts, and the probability of nucleus.
- Training: {parameters}; configuration in `rdf.yaml` under `config.fluorgen.training`.
- {confidence}

## Validation

Mean Pearson correlation with the true stain on the validation fields, which were watched while
training but not learned from:

| stain | r |
| --- | --- |
{figures}
"""
