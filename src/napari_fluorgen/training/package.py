"""Trained networks to a model package: calibration, figures, test tensors, card."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_fluorgen.confidence import INTERVAL_STAINS, calibrate, calibrate_intervals
from napari_fluorgen.models import ModelSpec, save_package
from napari_fluorgen.models.free_names import write_beside
from napari_fluorgen.segmentation import segment_nuclei
from napari_fluorgen.stack import STAINS
from napari_fluorgen.training.config import TrainingConfig
from napari_fluorgen.training.data import Pair
from napari_fluorgen.training.reading import load_part, plane_record

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
        The package's folder: `folder`, or one beside it where that is taken, so that no training
        is lost.
    """
    divisor = math.lcm(*(network.architecture.divisor for network in config.networks.values()))

    validation = load_part(config, "validation")
    calibration = None
    if config.data.calibration is not None and "nuclei" in networks:
        pairs = load_part(config, "calibration")
        found = found_nuclei(networks["nuclei"], pairs, config, divisor)
        intervals = calibrate_intervals(
            {
                stain: predicted_stains(network, pairs, stain, divisor)
                for stain, network in networks.items()
                if stain in INTERVAL_STAINS
            }
        )
        calibration = calibrate(found).with_intervals(intervals).to_arrays()
    correlations = correlation(networks, validation, divisor)
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
        divisor=divisor,
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
        }
        | plane_record(config),
        simulated=config.simulated,
        general=config.general,
    )
    planes = validation[0].planes
    rows, columns = (
        max(divisor, min(n, _TEST_SIZE)) // spec.divisor * spec.divisor for n in planes.shape[1:]
    )
    return write_beside(
        Path(folder),
        lambda place, replace: save_package(
            place,
            spec,
            networks,
            calibration=calibration,
            test_input=planes[None, :, :rows, :columns],
            card=model_card(config, correlations, calibration),
            overwrite=replace,
            half_weights=config.half_weights,
        ),
        overwrite=overwrite,
    )


def found_nuclei(
    network: nn.Module, pairs: list[Pair], config: TrainingConfig, divisor: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint32], NDArray[np.uint32]]]:
    """Yield the nuclei probability (Y, X) of each field, its true nuclei and those found."""
    for pair in pairs:
        probability = _predict(network, pair.planes, divisor)[1].softmax(0)[1].numpy()
        found = segment_nuclei(
            probability,
            pixel_size_um=config.pixel_size_um,
            **config.nuclei.model_dump(),
        )
        yield probability, pair.labels, found


def predicted_stains(
    network: nn.Module, pairs: list[Pair], stain: str, divisor: int
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return prediction and truth (Y, X) of a stain for each field that has it."""
    return [
        (_predict(network, pair.planes, divisor)[0][0].numpy(), pair.stains[stain])
        for pair in pairs
        if stain in pair.stains
    ]


def correlation(
    networks: Mapping[str, nn.Module], pairs: list[Pair], divisor: int
) -> dict[str, float]:
    """Mean Pearson correlation of each stain over the fields that have it."""
    means = {}
    for stain, network in networks.items():
        values = []
        for pair in (pair for pair in pairs if stain in pair.stains):
            predicted = _predict(network, pair.planes, divisor)[0][0].numpy()
            values.append(np.corrcoef(predicted.ravel(), pair.stains[stain].ravel())[0, 1])
        means[stain] = round(float(np.mean(values)), 4)
    return means


def _predict(network: nn.Module, planes: NDArray[np.float32], divisor: int) -> list[torch.Tensor]:
    """Outputs of a network on a whole field, each (channels, Y, X)."""
    _, height, width = planes.shape
    padding = ((0, 0), (0, -height % divisor), (0, -width % divisor))
    padded = torch.from_numpy(np.pad(planes, padding, mode="edge"))[None]
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
    scaling = (
        "divided by their own background"
        if config.input.kind == "background"
        else "scaled by fixed ranges of camera counts"
    )
    views = {stain: config.networks[stain].architecture.views for stain in config.networks}
    stains = ", ".join(
        stain + (f" (mean over {views[stain]} mirrored views)" if views[stain] > 1 else "")
        for stain in STAINS
        if stain in views
    )
    probability = ", and the probability of nucleus" if "nuclei" in views else ""
    return f"""Trained on {data}: {config.description}.

# {config.name} {config.version}

{warning}

- Input: {len(config.z_um)} brightfield planes at {", ".join(f"{z:g}" for z in config.z_um)} µm
  around focus, {config.pixel_size_um:g} µm a pixel, {scaling}.
- Output: {stains} in camera counts{probability}.
- Training: {parameters}; configuration in `rdf.yaml` under `config.fluorgen.training`.
- {confidence}

## Validation

Mean Pearson correlation with the true stain on the validation fields, which were watched while
training but not learned from:

| stain | r |
| --- | --- |
{figures}
"""
