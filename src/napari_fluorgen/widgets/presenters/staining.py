"""What the *Virtual stain* dock says, and which run a late result belongs to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from napari_fluorgen.stack import BrightfieldStack

FOCUS_CHOICES = (
    ("Find from the stack", "auto"),
    ("First plane is below focus", "as-is"),
    ("First plane is above focus", "flipped"),
)
"""Labels of the focus direction and the words of the request."""


@dataclass(frozen=True)
class RunTicket:
    """A started run.

    Attributes
    ----------
    layer_id : str
        ``unique_id`` of the layer that is stained.
    key : str
        Name under which the layers of this run are found again. No other run has it, not even one
        that another dock started: the layers outlive the dock.
    """

    layer_id: str
    key: str = field(default_factory=lambda: uuid4().hex)


class RunBook:
    """Hands out tickets and knows which one still counts."""

    def __init__(self) -> None:
        self._current: RunTicket | None = None

    def open(self, layer_id: str) -> RunTicket:
        """Start a run; every earlier ticket is out of date from here on."""
        self._current = RunTicket(layer_id)
        return self._current

    def close(self) -> None:
        """End or abandon the current run."""
        self._current = None

    def is_current(self, ticket: RunTicket) -> bool:
        """Whether news about this ticket still matters."""
        return ticket == self._current

    @property
    def running(self) -> bool:
        """Whether a run is open."""
        return self._current is not None


def time_left(done: int, total: int, elapsed_s: float) -> float | None:
    """Seconds that the remaining tiles take at the pace so far; None before the first tile."""
    if done < 1 or total < 1:
        return None
    return elapsed_s / done * max(0, total - done)


def progress_text(done: int, total: int, elapsed_s: float) -> str:
    """Write how far the run is."""
    left = time_left(done, total, elapsed_s)
    text = f"tile {done} of {total}"
    return text if left is None else f"{text} · {duration(left)} left"


def duration(seconds: float) -> str:
    """Write a time the way one says it."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 90 * 60:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Write a number of bytes."""
    return f"{count / 1e9:.1f} GB" if count >= 5e7 else f"{max(1, count / 1e6):.0f} MB"


def estimate_text(seconds: float | None, count_bytes: float | None, tiles: int | None) -> str:
    """Write what the run will take."""
    parts = []
    if seconds is not None:
        parts.append(duration(seconds))
    if count_bytes is not None:
        parts.append(f"{size(count_bytes)} of memory")
    if tiles is not None:
        parts.append("1 tile" if tiles == 1 else f"{tiles} tiles")
    return ", ".join(parts)


def first_run_text(estimate: str, *, warm: bool) -> str:
    """Add to an estimate that the first run also starts the engine."""
    return estimate if warm or not estimate else f"{estimate}; the first run also loads the model"


def warning_lines(messages: Iterable[str], *, simulated: bool) -> list[str]:
    """Sentences to show before the click, without repetition."""
    lines = list(dict.fromkeys(message for message in messages if message))
    if simulated and not any("simulated" in line for line in lines):
        lines.append(
            "This model was trained on simulated adipocytes: check the result against a real stain."
        )
    return lines


def unit_doubts(
    scale: Sequence[float], pixel_size_um: tuple[float, float] | None
) -> tuple[str, ...]:
    """Ask back where a layer has a scale but no length unit: many readers mean micrometres."""
    y, x = (abs(float(step)) for step in scale)
    if pixel_size_um is not None or y == x == 1.0:
        return ()
    found = f"{x:.4g}" if math.isclose(y, x, rel_tol=0.01) else f"{y:.4g} × {x:.4g}"
    return (
        f"The layer has a scale of {found} but no unit of length: if these are micrometres, "
        "enter them under Advanced > Pixel size.",
    )


def run_suffix(layer_names: Iterable[str], stem: str) -> str:
    """Ending for the layer names of a further run of the same stack: ``" (2)"``, ``" (3)"``."""
    names = set(layer_names)
    if f"{stem} nuclei outlines" not in names:
        return ""
    number = 2
    while f"{stem} nuclei outlines ({number})" in names:
        number += 1
    return f" ({number})"


def python_call(
    stack: BrightfieldStack,
    request: Any,
    *,
    corrected: Mapping[str, Any] | None = None,
    saved: bool = True,
) -> str:
    """Write the call of the Python API that gives the same result.

    Parameters
    ----------
    stack : BrightfieldStack
        What is stained; only its source and identity are looked at.
    request : StainRequest
        Settings of the run.
    corrected : mapping of str to value, optional
        Attributes of the stack that are not as its file says (see `corrections`); those that the
        request overrides are not repeated.
    saved : bool
        Whether the source is a file or folder, not a layer that lives in napari alone.

    Returns
    -------
    str
        A script; settings left at their default are not repeated.
    """
    settings = request.model_dump()
    fields = type(request).model_fields
    changed = {
        name: value
        for name, value in settings.items()
        if name != "model" and value != fields[name].default
    }
    known = {k: v for k, v in (corrected or {}).items() if settings.get(k) is None}
    hint = "" if saved else "  # no file yet: save the layer and give its path here"
    lines = [
        "import napari_fluorgen as fluorgen",
        f"stack = fluorgen.{_reading(stack)}{hint}",
        f"model = fluorgen.load_model({settings['model']!r})",
        f"field = fluorgen.stain(stack, model{_keywords(changed)})",
    ]
    if known:
        lines.insert(0, "from dataclasses import replace\n")
        lines.insert(3, f"stack = replace(stack{_keywords(known)})")
    return "\n".join(lines) + "\n"


def _keywords(values: Mapping[str, Any]) -> str:
    return "".join(f", {name}={value!r}" for name, value in values.items())


def _reading(stack: BrightfieldStack) -> str:
    """Write the call that opens a stack."""
    place = stack.identity
    # Fields of an OME-Zarr plate have a well, too, but are opened by their own folder; only the
    # instrument's plates name a file for each stain.
    if place.well is None or not stack.channel_files:
        return f"read_stack({stack.source!r})"
    # The time point is always said: which one comes first depends on what the folder holds.
    return (
        f"read_plate({stack.source!r})"
        f".read({place.well!r}, {place.site!r}, timepoint={place.timepoint!r})"
    )


STAGES = {
    "confidence": "Computing confidence maps …",
    "segmentation": "Outlining nuclei …",
    "writing": "Writing …",
}
"""What is shown while a stage after the networks runs."""


def done_text(nuclei: int, seconds: float, *, shown: bool = True) -> str:
    """Say that a run is done, and what can be seen of it."""
    noun = "1 nucleus" if nuclei == 1 else f"{nuclei} nuclei"
    took = f"{seconds:.1f} s" if seconds < 10 else duration(seconds).removeprefix("about ")
    if not shown:
        return f"Done in {took}: {noun}. Its layers are hidden, because another stack is shown."
    return (
        f"Done in {took}: {noun}. Brightfield is hidden below the stains; "
        "the Confidence dock shows where the nuclei are certain."
    )


def dropped_text(name: str) -> str:
    """Say why a result does not appear."""
    return f"The layer of {name} was removed while it was stained: its result was dropped."
