"""Writing of a model package."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from napari_fluorgen.errors import ModelError
from napari_fluorgen.io.atomic import atomic_path
from napari_fluorgen.models.exchange import export_weights, halve_weights
from napari_fluorgen.models.package import CALIBRATION, Model
from napari_fluorgen.models.rdf import describe, describe_copy, package_files, write
from napari_fluorgen.models.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn


def save_package(
    folder: str | Path,
    spec: ModelSpec,
    networks: Mapping[str, nn.Module],
    *,
    calibration: Mapping[str, Any] | None = None,
    test_input: ArrayLike,
    card: str,
    overwrite: bool = False,
    license_id: str = "BSD-3-Clause",
    half_weights: bool = False,
) -> Path:
    """Write a model package: a folder that is also a BioImage.IO model.

    Parameters
    ----------
    folder : str or Path
        Where to; appears only when it is complete.
    spec : ModelSpec
        Description of the model.
    networks : mapping of str to Module
        The network of each stain of the spec; left on their device and in their mode.
    calibration : mapping, optional
        Conformal calibration: arrays by name and JSON-ready values such as ``"meta"``.
    test_input : array-like, shape (1, planes, Y, X), float32
        Scaled brightfield whose outputs are stored, so that an installation can be tested.
    card : str
        Model card in Markdown, becomes README.md.
    overwrite : bool
        Whether an existing package may be replaced. A folder with other files is left alone.
    license_id : str
        SPDX identifier of the weights' licence.
    half_weights : bool
        Round the weights of convolutions to half precision and store them so, in half the space;
        the networks still compute in float32. Everything in the package, its test tensors too,
        is of the rounded weights.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    ModelError
        The networks do not fit the spec.
    OutputError
        The folder exists or cannot be written.
    """
    import torch

    from napari_fluorgen.networks.combined import CombinedNetwork

    folder = Path(folder)
    combined = CombinedNetwork(_clean_copies(spec, networks)).eval()
    if half_weights:
        for weight in combined.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.half().float()
    if combined.output_names != spec.output_names:
        raise ModelError(
            f"{spec.name}: the networks give {', '.join(combined.output_names)} where the "
            f"specification names {', '.join(spec.output_names)}; pass the networks it describes."
        )
    x = np.ascontiguousarray(test_input, dtype=np.float32)
    if x.ndim != 4 or x.shape[1] != spec.planes or any(n % spec.divisor for n in x.shape[2:]):
        raise ModelError(
            f"{spec.name}: the test input has shape {x.shape}, expected (1, {spec.planes}, Y, X) "
            f"with Y and X multiples of {spec.divisor}."
        )
    with torch.no_grad():
        outputs = combined(torch.from_numpy(x))
    with atomic_path(folder, overwrite=overwrite, own=package_files(folder)) as temporary:
        temporary.mkdir()
        np.save(temporary / "input.npy", x)
        for name, output in zip(combined.output_names, outputs, strict=True):
            np.save(temporary / f"output_{name}.npy", output.numpy())
        attachments = [
            _save_weights(temporary, stain, network, half_weights)
            for stain, network in combined.networks.items()
        ]
        if calibration is not None:
            _save_calibration(temporary / CALIBRATION, calibration)
            attachments.append(CALIBRATION)
        weights = export_weights(combined, temporary, planes=spec.planes, divisor=spec.divisor)
        if half_weights and "onnx" in weights:
            halve_weights(temporary / weights["onnx"]["source"])
        (temporary / "README.md").write_text(card, encoding="utf-8")
        record = describe(
            spec, temporary, weights=weights, attachments=attachments, license_id=license_id
        )
        write(temporary, record)
    return folder


def save_recalibrated(
    folder: str | Path,
    model: Model,
    *,
    calibration: Mapping[str, Any],
    card: str,
    name: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a package with the networks of another, byte by byte, and a calibration of its own.

    Parameters
    ----------
    folder : str or Path
        Where to; appears only when it is complete.
    model : Model
        Its weights and test tensors are copied, so that the digest stays.
    calibration : mapping
        As in `save_package`.
    card : str
        Model card in Markdown.
    name : str, optional
        Of the new model; that of `model` by default.
    overwrite : bool
        Whether an existing folder may be replaced.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    ModelError
        A file of `model` is missing or damaged.
    OutputError
        The folder exists or cannot be written.
    """
    folder = Path(folder)
    spec = model.spec if name is None else model.spec.model_copy(update={"name": name})
    files = model.network_files()
    with atomic_path(folder, overwrite=overwrite, own=package_files(folder)) as temporary:
        temporary.mkdir()
        for file in files:
            shutil.copyfile(file, temporary / file.name)
        _save_calibration(temporary / CALIBRATION, calibration)
        (temporary / "README.md").write_text(card, encoding="utf-8")
        record = describe_copy(model.record, spec, temporary, CALIBRATION)
        write(temporary, record)
    return folder


def _clean_copies(spec: ModelSpec, networks: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Float32 copies on the CPU, contiguous, in the spec's order."""
    import torch

    from napari_fluorgen.networks.architecture import build_network

    if set(networks) != set(spec.architectures):
        raise ModelError(
            f"{spec.name}: got networks for {', '.join(sorted(networks)) or 'nothing'}, expected "
            f"{', '.join(spec.stains)}."
        )
    copies = {}
    for stain in spec.stains:
        copy = build_network(spec.architectures[stain])
        state = {
            name: value.detach().to("cpu", torch.float32 if value.is_floating_point() else None)
            for name, value in networks[stain].state_dict().items()
        }
        try:
            copy.load_state_dict(state)
        except RuntimeError as error:
            raise ModelError(
                f"{spec.name}: the {stain} network does not have the architecture that the "
                f"specification gives it; describe the network that was trained."
            ) from error
        copies[stain] = copy.eval()
    return copies


def _save_weights(folder: Path, stain: str, network: nn.Module, half: bool) -> str:
    from safetensors.torch import save

    name = f"{stain}.safetensors"
    state = {
        key: value.half() if half and value.ndim == 4 else value
        for key, value in network.state_dict().items()
    }
    (folder / name).write_bytes(save(state))
    return name


def _save_calibration(path: Path, calibration: Mapping[str, Any]) -> None:
    arrays: dict[str, Any] = {
        name: value if isinstance(value, np.ndarray) else np.array(json.dumps(value))
        for name, value in calibration.items()
    }
    np.savez_compressed(path, **arrays)
