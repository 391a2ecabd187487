"""How the pairs of a configuration are read: to learn from, and as staining will read stacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from napari_fluorgen.staining import focus
from napari_fluorgen.training.augment import spread_planes
from napari_fluorgen.training.config import TrainingConfig
from napari_fluorgen.training.data import Pair, load_pairs
from napari_fluorgen.training.pairs import find_pairs

_SMALLEST_WINDOW = 0.3  # of a stack, that `augment.draw_planes` draws from
_JUDGED_FIELDS = 24

Part = Literal["train", "validation", "calibration"]


def load_part(
    config: TrainingConfig, part: Part, on_note: Callable[[str], None] | None = None
) -> list[Pair]:
    """Read the pairs of one of the folders that a configuration names.

    Fields to learn from keep all their planes where crops draw from them. The others get planes
    as staining chooses them, and those of the calibration true stains that are not cut off.

    Parameters
    ----------
    config : TrainingConfig
        Names the folder.
    part : {"train", "validation", "calibration"}
        Which of them.
    on_note : callable, optional
        Gets each sentence on what was assumed or found, once.

    Raises
    ------
    InputError
        As `load_pairs`.
    """
    learned = part == "train" and _draws_planes(config)
    return load_pairs(
        getattr(config.data, part),
        config.input,
        config.outputs,
        config.pixel_size_um,
        None if learned else len(config.z_um),
        z_um=config.z_um,
        plane_range_um=None if learned else plane_range(config),
        nuclei=config.nuclei,
        clipped=part != "calibration",
        registration=config.data.registration,
        cache=config.data.cache,
        on_note=on_note,
    )


def plane_record(config: TrainingConfig) -> dict[str, Any]:
    """Describe what staining must know of the planes that networks were trained on.

    Returns
    -------
    dict
        For `ModelSpec.training`: ``"plane_range_um"`` where planes were drawn from deeper stacks,
        and of real pairs ``"focus_order"``, the direction of focus in which they were read.
        Simulated ones run as `focus.SIMULATED_ORDER` says, which staining takes for granted.
    """
    span = plane_range(config)
    record: dict[str, Any] = {} if span is None else {"plane_range_um": list(span)}
    if not config.simulated:
        sources = find_pairs(config.data.train)
        drawn = np.unique(spread_planes(len(sources), min(len(sources), _JUDGED_FIELDS)))
        record["focus_order"] = focus.order_of_stacks(
            (sources[index].open()[0] for index in drawn), config.input, config.pixel_size_um
        )
    return record


def plane_range(config: TrainingConfig) -> tuple[float, float] | None:
    """Smallest and largest span in µm of the planes that networks see; None where it is fixed."""
    if not _draws_planes(config):
        return None
    stack, _ = find_pairs(config.data.train)[0].open()
    if stack.z_um is None:
        return None
    span = float(np.ptp(stack.z_um))
    return round(_SMALLEST_WINDOW * span, 3), round(span, 3)


def _draws_planes(config: TrainingConfig) -> bool:
    return any(config.data_for(stain).augment.planes == "random" for stain in config.networks)
