"""What a run would do to a stack, found out in the background before the click."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject

from napari_fluorgen.errors import FluorgenError
from napari_fluorgen.stack import BrightfieldStack
from napari_fluorgen.widgets.docks.job import Job, report
from napari_fluorgen.widgets.presenters.staining import estimate_text, warning_lines
from napari_fluorgen.widgets.steps import Steps, StopCheck

Show = Callable[[tuple[str, ...], str], None]


class Preview:
    """Asks for adaptations and estimate; only the answer to the last question is shown.

    Parameters
    ----------
    dock : QObject
        Owner of the background work.
    show : callable
        Takes the warning lines and the estimate line.
    """

    def __init__(self, dock: QObject, show: Show) -> None:
        self._dock = dock
        self._show = show
        self._question = 0
        self._model: Any = None
        self._as_of = 0  # when its package was written

    def model(self, name: str) -> Any | None:
        """Return the loaded model of this name, so that it stays warm between clicks."""
        model = self._model
        if model is None or model.spec.name != name or _written(model) != self._as_of:
            return None
        return model

    def ask(self, stack: BrightfieldStack, request: Any, doubts: tuple[str, ...] = ()) -> None:
        """Find out how the stack would be matched and how long a run takes.

        `doubts` are warnings that are known already; they are shown first.
        """
        self._question += 1
        question = self._question
        known = self.model(request.model)

        def work(_stop: StopCheck) -> Steps:
            return look_ahead(stack, request, known)

        def value(answer: tuple[Any, tuple[str, ...], str]) -> None:
            self._model, self._as_of = answer[0], _written(answer[0])
            if question == self._question:
                self._show((*doubts, *answer[1]), answer[2])

        def error(problem: Exception) -> None:
            if question != self._question:
                return
            if isinstance(problem, FluorgenError):
                self._show((*doubts, str(problem)), "")
            else:
                report(problem)

        Job(self._dock, work, on_value=value, on_error=error)


def _written(model: Any) -> int:
    """When the package of a model was written, -1 where it is gone."""
    try:
        return int((model.path / "rdf.yaml").stat().st_mtime_ns)
    except OSError:
        return -1


def look_ahead(stack: BrightfieldStack, request: Any, model: Any = None) -> Steps:
    """Return the model, the sentences to show and the estimate; loads no networks."""
    from napari_fluorgen.models import load_model
    from napari_fluorgen.staining import estimate

    model = model or load_model(request.model)
    yield None
    expected = estimate(
        stack,
        model,
        request.device,
        precision=request.precision,
        focus=request.focus,
        pixel_size_um=request.pixel_size_um,
        tile_px=request.tile_px,
    )
    lines = warning_lines(expected.adaptation.messages, simulated=model.spec.simulated)
    return model, tuple(lines), estimate_text(expected.seconds, expected.bytes, expected.tiles)


def discover() -> tuple[list[Any], list[tuple[str, str]]]:
    """Find models and devices; imports torch, so it runs in a thread."""
    from napari_fluorgen.models import list_models
    from napari_fluorgen.staining import available_devices

    devices = [(device.label, device.name) for device in available_devices()]
    return list_models(), devices
