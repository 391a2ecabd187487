"""The fields of a plate while they are stained: a row each, and what is said of them all."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from napari_fluorgen.errors import InputError
from napari_fluorgen.stack import FieldIdentity
from napari_fluorgen.widgets.presenters import staining as words
from napari_fluorgen.widgets.presenters.plate import pixel_text

COLUMNS = (
    ("Well", "As the instrument names it"),
    ("Site", "Field of view within the well; t counts time points"),
    ("State", "How far the field is"),
    ("Nuclei", "Number of nuclei that were found"),
    ("Time", "Seconds that the field took"),
    ("Remarks", "Warnings, or why a field was skipped or failed"),
)
"""Titles of the table with their tooltips, in the order of `FieldRow.cells`."""


class State(Enum):
    """What is known of a field."""

    WAITING = "waiting"
    WORKING = "in work"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    LEFT = "not done"


@dataclass(frozen=True)
class FieldRow:
    """A row of the table.

    Attributes
    ----------
    identity : FieldIdentity
        The field; its name is that of its result.
    state : State
        Where it stands.
    doing : str
        What is being done to it while it is in work.
    nuclei : int or None
        Their number, once it is stained.
    seconds : float or None
        How long it took.
    remarks : tuple of str
        Warnings, or the reason why it was skipped or failed.
    """

    identity: FieldIdentity
    state: State = State.WAITING
    doing: str = ""
    nuclei: int | None = None
    seconds: float | None = None
    remarks: tuple[str, ...] = ()

    @property
    def has_result(self) -> bool:
        """Whether a finished result lies in the folder."""
        return self.state in (State.DONE, State.SKIPPED)

    @property
    def cells(self) -> tuple[str, ...]:
        """Texts of the row, by `COLUMNS`."""
        place = self.identity
        site = "" if place.site is None else str(place.site)
        return (
            place.well or place.name,
            site if place.timepoint == 1 else f"{site} t{place.timepoint}",
            self.doing or self.state.value,
            "" if self.nuclei is None else str(self.nuclei),
            "" if self.seconds is None else f"{self.seconds:.1f} s",
            " ".join(self.remarks),
        )

    @property
    def tooltip(self) -> str:
        """The remarks in full, a line each, and what can be done."""
        hint = ("Double-click or press Enter to see the result",) if self.has_result else ()
        return "\n".join((*self.remarks, *hint))


class PlateRun:
    """Sorts the events of `napari_fluorgen.workflow.stain_batch` into rows.

    Parameters
    ----------
    identities : iterable of FieldIdentity
        The fields, in the order in which they are stained.
    """

    def __init__(self, identities: Iterable[FieldIdentity]) -> None:
        self.rows = [FieldRow(identity) for identity in identities]
        self._current = 0
        self._tiles = (0, 0)  # done and planned of the field in work
        self._tiles_before = 0  # of the fields that were stained before it
        self._begun: float | None = None  # when the first tile could begin

    def take(self, event: Any, now: float) -> int | None:
        """Take an event at a time in seconds; return the row that it changed, if any."""
        from napari_fluorgen.staining import Planned, TileDone
        from napari_fluorgen.workflow import (
            FieldFailed,
            FieldSkipped,
            FieldStarted,
            FieldWritten,
            Stage,
        )

        match event:
            case FieldStarted():
                self._current = event.index
                return self._set(state=State.WORKING, doing="reading")
            case Planned():
                self._begun = now if self._begun is None else self._begun
                return self._show_tiles(0, len(event.plan.tiles))
            case TileDone():
                return self._show_tiles(event.done, event.total)
            case Stage():
                doing = words.STAGES.get(event.name, event.name)
                return self._set(doing=doing[:1].lower() + doing[1:])
            case FieldWritten():
                return self._end(
                    State.DONE, event.messages, nuclei=event.nuclei, seconds=event.seconds
                )
            case FieldSkipped():
                return self._end(State.SKIPPED, (event.reason,))
            case FieldFailed():
                return self._end(State.FAILED, (event.reason,))
        return None

    def end(self) -> None:
        """No more events come: what is not finished is left."""
        for index, row in enumerate(self.rows):
            if row.state in (State.WAITING, State.WORKING):
                self.rows[index] = replace(row, state=State.LEFT, doing="")

    @property
    def share(self) -> float:
        """Part of the work that is done, 0 to 1; a field in work counts by its tiles."""
        if not self.rows:
            return 0.0
        done, planned = self._tiles
        return (self._ended + (done / planned if planned else 0.0)) / len(self.rows)

    def progress_text(self, now: float) -> str:
        """Say how far the plate is, and how long the rest takes at the pace so far."""
        number = min(self._ended + 1, len(self.rows))
        text = f"Field {number} of {len(self.rows)}"
        if self._begun is None:
            return text
        done, planned = self._tiles
        ended = self._tiles_before + done
        fields_before = sum(row.state is State.DONE for row in self.rows)
        a_field = planned or (self._tiles_before / fields_before if fields_before else 0)
        waiting = sum(row.state is State.WAITING for row in self.rows)
        total = ended + planned - done + round(waiting * a_field)
        left = words.time_left(ended, total, now - self._begun)
        return text if left is None else f"{text} · {words.duration(left)} left"

    def end_text(self, *, stopped: bool) -> str:
        """Say in a sentence what became of the fields."""
        count = Counter(row.state for row in self.rows)
        text = (
            f"{count[State.DONE]} of {fields_text(len(self.rows))} stained, "
            f"{count[State.SKIPPED]} skipped, {count[State.FAILED]} failed"
        )
        if count[State.LEFT]:
            ending = f", {count[State.LEFT]} not done; press Stain again to go on."
            return f"Stopped: {text}{ending}" if stopped else f"{text}{ending}"
        if count[State.DONE] or count[State.SKIPPED]:
            return f"{text}; double-click a row to see its result."
        return f"{text}."

    @property
    def _ended(self) -> int:
        return sum(row.has_result or row.state is State.FAILED for row in self.rows)

    def _set(self, **changes: Any) -> int:
        self.rows[self._current] = replace(self.rows[self._current], **changes)
        return self._current

    def _show_tiles(self, done: int, total: int) -> int:
        self._tiles = (done, total)
        tiles = "1 tile" if total == 1 else f"{total} tiles"
        return self._set(doing=f"staining {done} of {tiles}")

    def _end(self, state: State, remarks: tuple[str, ...], **found: Any) -> int:
        self._tiles_before += self._tiles[0]
        self._tiles = (0, 0)
        return self._set(state=state, doing="", remarks=remarks, **found)


def plate_folder(record: dict[str, Any]) -> Path | None:
    """Folder of the plate that a layer with this record comes from; None for other layers."""
    identity = record.get("identity")
    on_plate = isinstance(identity, FieldIdentity) and identity.well is not None
    return Path(record["source"]) if on_plate and record.get("source") else None


def plate_request(request: Any, corrected_um: tuple[float, float] | None) -> Any:
    """Take over for all fields a pixel size that the user corrected on the layer of one.

    Parameters
    ----------
    request : StainRequest
        Settings of the dock.
    corrected_um : tuple of float (y, x) or None
        Micrometres a pixel of the layer, where they are not as its files say.

    Raises
    ------
    InputError
        The corrected pixels are not square.
    """
    if request.pixel_size_um is not None or corrected_um is None:
        return request
    if not math.isclose(*corrected_um, rel_tol=1e-3):
        raise InputError(
            f"The layer's pixels were changed to {pixel_text(corrected_um)} but a plate is stained "
            "with one size for both axes: enter it under Advanced > Pixel size."
        )
    return request.model_copy(update={"pixel_size_um": corrected_um[0]})


def settings_text(request: Any) -> str:
    """Say with which settings of *Virtual stain* the plate is stained."""
    parts = [f"Model {request.model}", f"device {request.device}"]
    parts += [
        f"focus: {title.lower()}" for title, key in words.FOCUS_CHOICES if key == request.focus
    ]
    if request.pixel_size_um is not None:
        parts.append(f"{request.pixel_size_um:g} µm a pixel")
    if request.tile_px is not None:
        parts.append(f"tiles of {request.tile_px} px")
    if request.intervals:
        parts.append("interval widths")
    return " · ".join(parts)


def fields_text(count: int) -> str:
    """Write a number of fields."""
    return "1 field" if count == 1 else f"{count} fields"


def question_text(folder: Path, existing: int, total: int) -> str:
    """Ask what to do with results that are there already."""
    return (
        f"{folder} already holds results of {existing} of these {fields_text(total)}. Resume keeps "
        "those that were made with the same settings and stains the others; Replace stains "
        f"all {total} again."
    )
