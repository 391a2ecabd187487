"""A model package on disk, opened."""

from __future__ import annotations

import hashlib
import json
import zipfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import ModelError
from napari_fluorgen.models.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from napari_fluorgen.networks.combined import CombinedNetwork


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
        self._record = _read_rdf(self.path / "rdf.yaml")
        self.spec = _read_spec(self.path, self._record)
        self._networks: dict[str, nn.Module] = {}

    def __repr__(self) -> str:
        return f"Model({self.spec.name!r}, {str(self.path)!r})"

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the weights of all stains, in hexadecimal."""
        total = hashlib.sha256()
        for stain in self.spec.stains:
            total.update(self._checked_file(f"{stain}.safetensors").read_bytes())
        return total.hexdigest()

    @cached_property
    def card(self) -> str:
        """The model card, Markdown."""
        return self._checked_file("README.md", verify=False).read_text(encoding="utf-8")

    @property
    def license_id(self) -> str:
        """SPDX identifier of the weights' licence, that of this package where none is named."""
        return str(self._record.get("license") or "BSD-3-Clause")

    @cached_property
    def calibration(self) -> dict[str, Any] | None:
        """Conformal calibration: sorted scores by class and ``"meta"``, or None."""
        if not (self.path / "calibration.npz").exists():
            return None
        path = self._checked_file("calibration.npz")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return {name: _plain(arrays[name]) for name in arrays.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise ModelError(_damaged(path, "is no table of calibration scores")) from error

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

    def combined(self) -> CombinedNetwork:
        """Return all networks as one module, with outputs as ``spec.output_names``."""
        from napari_fluorgen.networks.combined import CombinedNetwork

        return CombinedNetwork(self.networks()).eval()

    def test_tensors(self) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """Return the stored input (1, planes, Y, X) and output (1, 1, Y, X) of each name."""
        outputs = {name: self._array(f"output_{name}.npy") for name in self.spec.output_names}
        return self._array("input.npy"), outputs

    def _array(self, name: str) -> NDArray[np.float32]:
        path = self._checked_file(name, verify=False)
        try:
            return np.asarray(np.load(path, allow_pickle=False), dtype=np.float32)
        except (OSError, ValueError, EOFError) as error:
            raise ModelError(_damaged(path, "is no numeric array")) from error

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
            raise ModelError(_damaged(path, "does not hold the weights described")) from error
        return network.eval().requires_grad_(False)

    def _checked_file(self, name: str, *, verify: bool = True) -> Path:
        """Path of a file of the package, whose digest must be the recorded one."""
        path = self.path / name
        if not path.is_file():
            raise ModelError(_damaged(path, "is missing"))
        if verify:
            entries = self._record.get("attachments") or []
            recorded = {
                str(entry.get("source")): entry.get("sha256")
                for entry in entries
                if isinstance(entry, dict)
            }
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if recorded.get(name) != found:
                raise ModelError(_damaged(path, "is not the file that rdf.yaml lists"))
        return path


def _damaged(path: Path, what: str) -> str:
    return f"Model file {path} {what}; install the model package again."


def _plain(array: NDArray[Any]) -> Any:
    """Array as it is; text, which holds JSON, as the value it stands for."""
    return json.loads(str(array)) if array.dtype.kind == "U" else array


def _read_rdf(path: Path) -> dict[str, Any]:
    import yaml

    if not path.is_file():
        raise ModelError(
            f"{path.parent} holds no rdf.yaml, so it is no model package; give the folder of a "
            "package or the name of an installed model."
        )
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        record = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ModelError(_damaged(path, "is not readable YAML")) from error
    if not isinstance(record, dict):
        raise ModelError(_damaged(path, "is no BioImage.IO model description"))
    return record


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
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ModelError(
            f"{folder / 'rdf.yaml'}: config.fluorgen is invalid at {place}: {first['msg']}; "
            "install the model package again."
        ) from error
