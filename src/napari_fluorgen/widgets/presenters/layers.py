"""The layers that show a stack and its result, as data.

A layer is described by a `LayerSpec`; the docks and the reader turn it into a napari layer.
Every layer carries ``metadata["fluorgen"]``, by which the docks find it again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.stack import BrightfieldStack, FieldIdentity, StainedField
from napari_fluorgen.widgets.presenters.spatial import Spatial

KEY = "fluorgen"
"""Name of our record in ``layer.metadata``."""

STAINING = "staining"
"""Mark in the record of a brightfield layer while it is stained: the layer must not be closed."""

COLORMAPS = {"nuclei": "blue", "lipids": "green", "cytoplasm": "red"}
"""The convention of the field for the three stains."""

OUTLINES = ((0.0, 0.0, 0.0, 0.0), (1.0, 1.0, 1.0, 1.0))
"""Clear background, all nuclei white: that is seen on each stain and on brightfield.

A cycle of colours is drawn by the graphics card, twice as fast as colours by label.
"""

TRUE_LABELS = "labels"
"""Key of the nuclei labels beside the true stains of a stack."""

TRUE_OUTLINES = ((0.0, 0.0, 0.0, 0.0), (0.80, 0.47, 0.65, 1.0))
"""Purple, as no outlines of a result are."""

DERIVED = ("run", "regions_of", "objects_of", "difference_of")
"""Keys of a record that name the run which a layer was made in, or from."""

WIDTH = "width "
"""Start of the role of a map of interval widths; the stain follows."""

RESULT_ORDER = ("cytoplasm", "lipids", "nuclei")
"""Stains from the bottom of the layer list upwards."""


@dataclass(frozen=True)
class LayerSpec:
    """What to add to the viewer.

    Attributes
    ----------
    kind : str
        ``"image"`` or ``"labels"``.
    data : array-like
        Pixels, passed on without a copy.
    kwargs : dict
        Keywords of ``viewer.add_<kind>``.
    attributes : dict
        Set after the layer exists, for properties that are no keyword (``contour``).
    """

    kind: str
    data: Any
    kwargs: dict[str, Any]
    attributes: dict[str, Any] = field(default_factory=dict)

    def as_tuple(self) -> tuple[Any, dict[str, Any], str]:
        """Return napari's LayerData tuple, as readers give it."""
        return (self.data, dict(self.kwargs), self.kind)


def stack_layers(stack: BrightfieldStack, *, show_truth: bool = False) -> list[LayerSpec]:
    """Describe the layers of a stack: brightfield, and what is true of it hidden above.

    Parameters
    ----------
    stack : BrightfieldStack
        A field as it was read; labels of its true nuclei may lie under `TRUE_LABELS` in its
        `truth`.
    show_truth : bool
        Whether true stains and outlines are visible at once.

    Returns
    -------
    list of LayerSpec
        Brightfield first, then one layer a true stain, then the outlines of the true nuclei.
    """
    spatial = Spatial.of_stack(stack)
    name = short_name(stack.identity)
    record = {
        "role": "brightfield",
        "identity": stack.identity,
        "pixel_size_um": stack.pixel_size_um,
        "z_um": stack.z_um,
        "source": stack.source,
        "channel_files": dict(stack.channel_files),
    }
    middle = stack.data[stack.shape[0] // 2]
    specs = [
        LayerSpec(
            "image",
            stack.data,
            {
                "name": f"{name} brightfield",
                "colormap": "gray",
                "contrast_limits": percentile_limits(middle, 0.1, 99.9),
                "metadata": {KEY: record},
                **spatial.kwargs(),
            },
        )
    ]
    for stain in RESULT_ORDER:
        if stain not in stack.truth:
            continue
        plane = stack.truth[stain]
        specs.append(
            LayerSpec(
                "image",
                plane,
                {
                    "name": f"{name} true {stain}",
                    "colormap": COLORMAPS[stain],
                    "blending": "additive",
                    "visible": show_truth,
                    "contrast_limits": percentile_limits(plane),
                    "metadata": {KEY: {**record, "role": f"true {stain}"}},
                    **spatial.plane().kwargs(),
                },
            )
        )
    if TRUE_LABELS in stack.truth:
        specs.append(
            LayerSpec(
                "labels",
                stack.truth[TRUE_LABELS],
                {
                    "name": f"{name} true nuclei outlines",
                    "opacity": 0.9,
                    "colormap": list(TRUE_OUTLINES),
                    "visible": show_truth,
                    "metadata": {KEY: {**record, "role": f"true {TRUE_LABELS}"}},
                    **spatial.plane().kwargs(),
                },
                {"contour": 2},
            )
        )
    return specs


def result_layers(
    result: StainedField,
    spatial: Spatial,
    *,
    run: str,
    source_id: str | None = None,
    suffix: str = "",
) -> list[LayerSpec]:
    """Describe the layers of a result, from the bottom of the layer list upwards.

    Parameters
    ----------
    result : StainedField
        Stains, labels and p-values of one field.
    spatial : Spatial
        Grid of a plane of the source (``Spatial.of_layer(layer).plane()``).
    run : str
        Name of the run; layers of the same run belong together.
    source_id : str, optional
        ``unique_id`` of the brightfield layer.
    suffix : str
        Appended to the layer names, to tell a second run from the first.

    Returns
    -------
    list of LayerSpec
        Cytoplasm, lipids and nuclei (additive), nuclei outlines, and the hidden confidence and
        width maps.
    """
    name = short_name(result.identity)
    record = {
        "run": run,
        "source_id": source_id,
        "identity": result.identity,
        "pixel_size_um": result.pixel_size_um,
        "channel_files": dict(result.channel_files),
        "provenance": result.provenance,
    }

    def metadata(role: str) -> dict[str, Any]:
        return {KEY: {**record, "role": role}}

    place = spatial.kwargs()
    specs = [
        LayerSpec(
            "image",
            result.images[stain],
            {
                "name": f"{name} {stain}{suffix}",
                "colormap": COLORMAPS[stain],
                "blending": "additive",
                "contrast_limits": percentile_limits(result.images[stain]),
                "metadata": metadata(stain),
                **place,
            },
        )
        for stain in RESULT_ORDER
        if stain in result.images
    ]
    maps = {"nuclei probability": result.nuclei_probability}
    maps |= {f"p-value {hypothesis}": values for hypothesis, values in result.p_values.items()}
    specs += [
        LayerSpec(
            "image",
            values,
            {
                "name": f"{name} {role}{suffix}",
                "colormap": "viridis",
                "contrast_limits": (0.0, 1.0),
                "visible": False,
                "metadata": metadata(role),
                **place,
            },
        )
        for role, values in maps.items()
    ]
    specs += [
        LayerSpec(
            "image",
            values,
            {
                "name": f"{name} {stain} interval width{suffix}",
                "colormap": "cividis",
                "contrast_limits": percentile_limits(values),
                "visible": False,
                "metadata": metadata(f"{WIDTH}{stain}"),
                **place,
            },
        )
        for stain, values in result.widths.items()
    ]
    outlines = metadata("nuclei labels")
    outlines[KEY]["verdict"] = result.verdict
    specs.append(
        LayerSpec(
            "labels",
            result.nuclei_labels,
            {
                "name": f"{name} nuclei outlines{suffix}",
                "opacity": 0.9,
                "colormap": list(OUTLINES),
                "features": _nuclei_features(result),
                "metadata": outlines,
                **place,
            },
            {"contour": 2},
        )
    )
    return specs


def _nuclei_features(result: StainedField) -> dict[str, Any]:
    """Table of the nuclei with the ``index`` column by which napari finds the row of a label."""
    if not result.nuclei:
        return {"index": np.arange(1, int(result.nuclei_labels.max(initial=0)) + 1)}
    columns = {name: values for name, values in result.nuclei.items() if name != "label"}
    return {"index": np.asarray(result.nuclei["label"], np.int64), **columns}


def short_name(identity: FieldIdentity, width: int = 18) -> str:
    """Name a field so that a layer list shows what comes after it.

    A field of a plate goes by its well and site, others by their name, cut in the middle.
    """
    if identity.well is not None:
        name = identity.well if identity.site is None else f"{identity.well} s{identity.site}"
        return name if identity.timepoint == 1 else f"{name} t{identity.timepoint}"
    name = identity.name
    half = (width - 1) // 2
    return name if len(name) <= width else f"{name[:half]}…{name[-half:]}"


def percentile_limits(plane: Any, low: float = 0.5, high: float = 99.7) -> tuple[float, float]:
    """Contrast limits from percentiles of about a quarter of a million pixels.

    The pixels themselves stay as they are: limits belong to the display.
    """
    height, width = plane.shape[-2:]
    step = max(1, int(np.sqrt(height * width / 250_000)))
    sample: NDArray[Any] = np.asarray(plane[..., ::step, ::step], dtype=np.float32)
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return (0.0, 1.0)
    lower, upper = np.percentile(sample, (low, high))
    if upper <= lower:
        upper = lower + 1.0
    return (float(lower), float(upper))


def record_of(layer_metadata: Any) -> dict[str, Any]:
    """Return our record of a layer's metadata, empty where the layer is not ours."""
    record = layer_metadata.get(KEY) if hasattr(layer_metadata, "get") else None
    return record if isinstance(record, dict) else {}


def identity_of(record: dict[str, Any], fallback: str) -> FieldIdentity:
    """Return the identity in a record, or one made from a layer's name."""
    identity = record.get("identity")
    return identity if isinstance(identity, FieldIdentity) else FieldIdentity(name=fallback)


def key_of(layer: Any) -> str:
    """Name of a layer that it keeps when it is renamed."""
    return str(layer.unique_id)
