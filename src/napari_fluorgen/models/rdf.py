"""The rdf.yaml of a package: BioImage.IO model description, format 0.5."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_fluorgen.errors import ModelError
from napari_fluorgen.models.reading import read_description
from napari_fluorgen.models.spec import PROBABILITY, ModelSpec

FORMAT_VERSION = "0.5.4"
MIN_SIZE = 64

_CITE = [
    {
        "text": "Wieslander et al., Learning to see colours: biologically relevant virtual "
        "staining for adipocyte cell images, PLOS ONE 2021.",
        "doi": "10.1371/journal.pone.0258546",
    },
    {"text": "BioImage Model Zoo, bioRxiv 2022.", "doi": "10.1101/2022.06.07.495102"},
]


def sha256(path: Path) -> str:
    """Digest of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def package_files(folder: Path) -> frozenset[str]:
    """Names of the files of the package in a folder, none where it holds no package of ours.

    They are rdf.yaml and the files that it names: what somebody put beside them is not among them.
    """
    try:
        record = read_description(folder / "rdf.yaml")
        record["config"]["fluorgen"]
    except (ModelError, KeyError, TypeError):
        return frozenset()
    return frozenset({"rdf.yaml", *_texts(record)})


def rename(folder: Path, name: str) -> None:
    """Give the package in a folder another name; its files stay as they are."""
    record = read_description(folder / "rdf.yaml")
    record["name"] = record["config"]["fluorgen"]["name"] = name
    write(folder, record)


def write(folder: Path, record: dict[str, Any]) -> None:
    """Write the rdf.yaml of a package."""
    import yaml

    text = yaml.safe_dump(record, sort_keys=False, allow_unicode=True, width=100)
    (folder / "rdf.yaml").write_text(text, encoding="utf-8")


def _texts(record: Any) -> Iterator[str]:
    """All texts in a record, among which are the names of its files."""
    if isinstance(record, str):
        yield record
    elif isinstance(record, dict | list):
        for value in record.values() if isinstance(record, dict) else record:
            yield from _texts(value)


def describe(
    spec: ModelSpec,
    folder: Path,
    *,
    weights: dict[str, Any],
    attachments: list[str],
    license_id: str,
) -> dict[str, Any]:
    """Describe the package whose other files lie in `folder`.

    Parameters
    ----------
    spec : ModelSpec
        Stored under ``config.fluorgen``.
    folder : Path
        Holds README.md, the weights, ``input.npy`` and ``output_<name>.npy``.
    weights : dict of str to dict
        Weights that BioImage.IO tools run, by format, without digests.
    attachments : list of str
        File names of what else belongs to the package.
    license_id : str
        SPDX identifier.

    Returns
    -------
    dict
        What rdf.yaml holds.
    """

    def file(name: str) -> dict[str, str]:
        return {"source": name, "sha256": sha256(folder / name)}

    return {
        "format_version": FORMAT_VERSION,
        "type": "model",
        "name": spec.name,
        "description": spec.description or f"Virtual staining at {spec.magnification}.",
        "version": spec.version,
        "authors": [{"name": "napari-fluorgen developers"}],
        "license": license_id,
        "cite": _CITE,
        "tags": ["brightfield", "virtual-staining", "image-translation", "nuclei", "2d"]
        + (["simulated"] if spec.simulated else []),
        "documentation": "README.md",
        "timestamp": _now(),
        "inputs": [_input(spec, file("input.npy"))],
        "outputs": [_output(spec, name, file(f"output_{name}.npy")) for name in spec.output_names],
        "weights": {kind: {**entry, **file(entry["source"])} for kind, entry in weights.items()},
        "attachments": [file(name) for name in attachments],
        "config": {"fluorgen": spec.model_dump(mode="json")},
    }


def describe_copy(
    record: dict[str, Any], spec: ModelSpec, folder: Path, attachment: str
) -> dict[str, Any]:
    """Describe a package that has the networks of another.

    Parameters
    ----------
    record : dict
        What the rdf.yaml of the other holds.
    spec : ModelSpec
        Of the new package.
    folder : Path
        Holds its files.
    attachment : str
        Name of the file that takes the place of the other package's of that name.

    Returns
    -------
    dict
        What rdf.yaml holds.
    """
    entries = record.get("attachments")
    kept = [
        entry
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and entry.get("source") != attachment
    ]
    config = record.get("config")
    own = {"source": attachment, "sha256": sha256(folder / attachment)}
    return {
        # A zoo's number belongs to the other package.
        **{key: value for key, value in record.items() if key not in ("id", "version_number")},
        "name": spec.name,
        "documentation": "README.md",
        "timestamp": _now(),
        "attachments": [*kept, own],
        "config": {
            **(config if isinstance(config, dict) else {}),
            "fluorgen": spec.model_dump(mode="json"),
        },
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _input(spec: ModelSpec, test_tensor: dict[str, str]) -> dict[str, Any]:
    step = spec.divisor
    smallest = -(-MIN_SIZE // step) * step
    scaling = (
        f"(plane / background - 1) * {spec.input.gain:g}"
        if spec.input.kind == "background"
        else "(plane - min) / (max - min)"
    )
    return {
        "id": "brightfield",
        "description": f"Brightfield planes from below to above focus, {scaling}",
        "axes": [
            {"type": "batch"},
            {"type": "channel", "channel_names": [f"z{i + 1}" for i in range(spec.planes)]},
            *(
                {
                    "type": "space",
                    "id": axis,
                    "size": {"min": smallest, "step": step},
                    "unit": "micrometer",
                    "scale": spec.pixel_size_um,
                }
                for axis in "yx"
            ),
        ],
        "test_tensor": test_tensor,
        "data": {"type": "float32"},
    }


def _output(spec: ModelSpec, name: str, test_tensor: dict[str, str]) -> dict[str, Any]:
    if name == PROBABILITY:
        description = "Probability of nucleus"
    else:
        counts = spec.outputs[name]
        description = f"Stain of {name}; 0..1 is {counts.minimum:g}..{counts.maximum:g} counts"
    return {
        "id": name,
        "description": description,
        "axes": [
            {"type": "batch"},
            {"type": "channel", "channel_names": [name]},
            *(
                {
                    "type": "space",
                    "id": axis,
                    "size": {"tensor_id": "brightfield", "axis_id": axis},
                    "unit": "micrometer",
                    "scale": spec.pixel_size_um,
                }
                for axis in "yx"
            ),
        ],
        "test_tensor": test_tensor,
        "data": {"type": "float32", "range": [0.0, 1.0]},
    }
