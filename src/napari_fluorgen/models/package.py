"""A model package on disk, opened."""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import ModelError, first_problem
from napari_fluorgen.models.exchange import ONNX_NAME
from napari_fluorgen.models.rdf import sha256
from napari_fluorgen.models.reading import UNREADABLE_ARRAYS, damaged, read_description
from napari_fluorgen.models.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from napari_fluorgen.networks.combined import CombinedNetwork

CALIBRATION = "calibration.npz"
"""File of the calibration of a package."""


class Model:
    """A model package: its description at once, its networks when asked for.

    Parameters
    ----------
    path : str or Path
        Folder of the package.

    Attributes
    ----------
    spec : ModelSpec
        Description of the model.
    path : Path
        Folder of the package.

    Raises
    ------
    ModelError
        The folder is no package, or its description is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._record = read_description(self.path / "rdf.yaml")
        self.spec = _read_spec(self.path, self._record)
        self._networks: dict[str, nn.Module] = {}

    def __repr__(self) -> str:
        return f"Model({self.spec.name!r}, {str(self.path)!r})"

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the weights of all stains and any further views, in hexadecimal.

        The same weights answer otherwise through more views: what is kept by this key must differ.
        """
        total = hashlib.sha256()
        for stain in self.spec.stains:
            total.update(self._checked_file(f"{stain}.safetensors").read_bytes())
            views = self.spec.architectures[stain].views
            if views > 1:
                total.update(f"{views} views".encode())
        return total.hexdigest()

    @cached_property
    def onnx(self) -> Path | None:
        """File of all networks, checked against its digest; None where the package has none."""
        return self._checked_file(ONNX_NAME) if (self.path / ONNX_NAME).exists() else None

    @cached_property
    def card(self) -> str:
        """The model card, Markdown."""
        text = self._existing_file("README.md").read_bytes()
        try:
            return text.decode("utf-8")
        except UnicodeDecodeError:  # of an older editor, in which every byte is a letter
            return text.decode("latin-1")

    @property
    def license_id(self) -> str:
        """SPDX identifier of the weights' licence, that of this package where none is named."""
        return str(self._record.get("license") or "BSD-3-Clause")

    @cached_property
    def calibration(self) -> dict[str, Any] | None:
        """Conformal calibration: sorted scores by class and ``"meta"``, or None."""
        if not (self.path / CALIBRATION).exists():
            return None
        path = self._checked_file(CALIBRATION)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return {name: _plain(arrays[name]) for name in arrays.files}
        except UNREADABLE_ARRAYS as error:
            raise ModelError(damaged(path, "is no table of calibration scores")) from error

    def network(self, stain: str) -> nn.Module:
        """Return the network of a stain, in eval mode on the CPU; the same one each time.

        Parameters
        ----------
        stain : str
            One of ``spec.stains``.

        Raises
        ------
        ModelError
            The model has no such stain, or its weights are missing, damaged or do not fit.
        """
        if stain not in self._networks:
            self._networks[stain] = self._load(stain)
        return self._networks[stain]

    def networks(self) -> dict[str, nn.Module]:
        """Return the network of each stain."""
        return {stain: self.network(stain) for stain in self.spec.stains}

    def weights(self, stain: str) -> dict[str, NDArray[np.float32]]:
        """Return the state of the network of a stain by name, read without torch.

        Raises
        ------
        ModelError
            The weights are missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = self._checked_file(f"{stain}.safetensors")
        try:
            found = load_file(path)
        except (SafetensorError, OSError) as error:
            raise ModelError(damaged(path, "does not hold the weights described")) from error
        return {name: value.astype(np.float32) for name, value in found.items()}

    def combined(self) -> CombinedNetwork:
        """Return all networks as one module, with outputs as ``spec.output_names``."""
        from napari_fluorgen.networks.combined import CombinedNetwork

        return CombinedNetwork(self.networks()).eval()

    def test_tensors(self) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """Return the stored input (1, planes, Y, X) and output (1, 1, Y, X) of each name."""
        outputs = {name: self._array(f"output_{name}.npy") for name in self.spec.output_names}
        return self._array("input.npy"), outputs

    @property
    def record(self) -> dict[str, Any]:
        """What rdf.yaml holds; a copy."""
        return deepcopy(self._record)

    def network_files(self) -> list[Path]:
        """Return the files of the networks and of their test, found to be those recorded.

        Raises
        ------
        ModelError
            One is missing or another than rdf.yaml lists.
        """
        listed = {name for name in self._recorded if Path(name).name == name}
        needed = {f"{stain}.safetensors" for stain in self.spec.stains}
        return [self._sound_file(name) for name in sorted(listed | needed) if name != CALIBRATION]

    def _array(self, name: str) -> NDArray[np.float32]:
        path = self._sound_file(name)
        try:
            return np.asarray(np.load(path, allow_pickle=False), dtype=np.float32)
        except UNREADABLE_ARRAYS as error:
            raise ModelError(damaged(path, "is no numeric array")) from error

    def _load(self, stain: str) -> nn.Module:
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from napari_fluorgen.networks.architecture import build_network

        if stain not in self.spec.architectures:
            raise ModelError(
                f"Model {self.spec.name} has no network for {stain!r}; it stains "
                f"{', '.join(self.spec.stains)}."
            )
        path = self._checked_file(f"{stain}.safetensors")
        with torch.device("meta"):
            network = build_network(self.spec.architectures[stain])
        try:
            weights = {  # half_weights of save_package
                name: value.float() if value.is_floating_point() else value
                for name, value in load_file(path).items()
            }
            network.load_state_dict(weights, assign=True)
        except (SafetensorError, RuntimeError, OSError) as error:
            raise ModelError(damaged(path, "does not hold the weights described")) from error
        return network.eval().requires_grad_(False)

    @cached_property
    def _recorded(self) -> dict[str, Any]:
        """What rdf.yaml says to be the SHA-256 of each file that it lists, by name."""
        record = self._record
        tensors = [
            entry.get("test_tensor")
            for key in ("inputs", "outputs")
            for entry in _dicts(record, key)
        ]
        listed = [*_dicts(record, "attachments"), *_dicts(record, "weights"), *tensors]
        return {
            str(entry.get("source")): entry.get("sha256")
            for entry in listed
            if isinstance(entry, dict)
        }

    def _existing_file(self, name: str) -> Path:
        path = self.path / name
        if not path.is_file():
            raise ModelError(damaged(path, "is missing"))
        return path

    def _sound_file(self, name: str) -> Path:
        """As `_checked_file`, but packages of other hands may leave digests of test tensors out."""
        recorded = name.endswith(".safetensors") or self._recorded.get(name) is not None
        return self._checked_file(name) if recorded else self._existing_file(name)

    def _checked_file(self, name: str) -> Path:
        """Path of a file of the package, whose digest must be the recorded one."""
        path = self._existing_file(name)
        if self._recorded.get(name) != sha256(path):
            raise ModelError(damaged(path, "is not the file that rdf.yaml lists"))
        return path


def _dicts(record: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the entries of a list or mapping of the description that hold more than a name."""
    entries = record.get(key)
    if isinstance(entries, dict):
        entries = list(entries.values())
    return (
        [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    )


def _plain(array: NDArray[Any]) -> Any:
    """Array as it is; text, which holds JSON, as the value it stands for."""
    return json.loads(str(array)) if array.dtype.kind == "U" else array


def _read_spec(folder: Path, record: dict[str, Any]) -> ModelSpec:
    from pydantic import ValidationError

    config = record.get("config")
    ours = config.get("fluorgen") if isinstance(config, dict) else None
    if ours is None:
        raise ModelError(
            f"{folder} is a BioImage.IO model of another program: its rdf.yaml has no section "
            "config.fluorgen; use a package that napari-fluorgen wrote."
        )
    try:
        return ModelSpec.model_validate(ours)
    except ValidationError as error:
        where, _, said = first_problem(error)
        raise ModelError(
            f"{folder / 'rdf.yaml'}: config.fluorgen is invalid at {where or 'the whole'}: {said}; "
            "install the model package again."
        ) from error
