"""Staining on request for another program: a line of JSON in, a line of JSON out.

CellProfiler lives in an environment of its own, so that arrays cross as ``.npy`` files in a
temporary folder. A worker keeps its models open from one request to the next.

A request is an object with ``command`` and, if wanted, an ``id`` that comes back in the answer:

``{"command": "hello"}``
    Answered with ``protocol``, ``version``, ``folder`` (for arrays; it goes with the worker) and
    ``process``.
``{"command": "check", "settings": {...}}``
    Whether a model and a device exist; nothing is stained.
``{"command": "stain", "settings": {...}, "path": PATH}``
    Stain the field of a file (with all its planes); or ``"array": NAME``, a file of the folder
    with axes (Z, Y, X), with ``z_step_um`` where it is known. ``settings`` are those of
    `StainRequest`. Answered with names of files in the folder, for ``images`` and ``labels``,
    and with ``objects``, ``verdict``, ``messages``, ``model``, ``device`` and ``seconds``.

An answer has ``ok``; where it is false, ``error`` is one sentence.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen import __version__
from napari_fluorgen.errors import FluorgenError, InputError, ModelError
from napari_fluorgen.stack import STAINS, BrightfieldStack, FieldIdentity, StainedField
from napari_fluorgen.workflow.field import drain, stain_field
from napari_fluorgen.workflow.request import StainRequest

if TYPE_CHECKING:
    from napari_fluorgen.models import Model, ModelSpec

PROTOCOL = 1
OBJECT_COLUMNS = ("probability_mean", "p_value", "confidence", "decision")
"""Columns of the answer's ``objects``: one entry a nucleus, in the order of the labels."""

_MODELS = 2

Message = dict[str, Any]


class Worker:
    """Answers requests, one after the other.

    Parameters
    ----------
    folder : Path
        Where arrays are exchanged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open_model = lru_cache(_MODELS)(_open_model)
        self._commands: dict[str, Callable[[Message], Message]] = {
            "hello": self._hello,
            "check": self._check,
            "stain": self._stain,
        }

    def serve(self, lines: Iterable[str], answer: Callable[[str], None]) -> None:
        """Answer each line until there is none; no request ends the worker."""
        for line in lines:
            if line.strip():
                # What JSON lacks (NaN) is null already; ASCII passes through any console.
                answer(json.dumps(self.handle(line), allow_nan=False))

    def handle(self, line: str) -> Message:
        """Answer one request; never raises for a bad one."""
        number: Any = None
        try:
            request = _parse(line)
            number = request.get("id")
            answer = self._commands.get(str(request.get("command")))
            if answer is None:
                raise InputError(f"The request has no 'command' of {', '.join(self._commands)}.")
            return {"id": number, "ok": True} | answer(request)
        except FluorgenError as error:
            sentence = str(error)
        except MemoryError:
            sentence = (
                "The memory of this machine is used up: let fewer image sets run at a time or "
                "stain smaller images."
            )
        except OSError as error:
            sentence = (
                f"{error.filename or self.folder} cannot be used ({error.strerror or error})."
            )
        except Exception as error:
            sentence = f"A fault in fluorgen, {type(error).__name__}: {error}; please report it."
        return {"id": number, "ok": False, "error": " ".join(sentence.split())}

    def _hello(self, request: Message) -> Message:
        return {
            "protocol": PROTOCOL,
            "version": __version__,
            "folder": str(self.folder),
            "process": os.getpid(),
        }

    def _check(self, request: Message) -> Message:
        from napari_fluorgen.staining.devices import resolve_device

        wanted = _settings(request)
        model = self._open_model(wanted.model)
        check_stains(model.spec)
        return {"model": model.spec.name, "device": resolve_device(wanted.device).name}

    def _stain(self, request: Message) -> Message:
        started = time.perf_counter()
        wanted = _settings(request)
        model = self._open_model(wanted.model)
        check_stains(model.spec)
        stack = self._stack(request)
        check_planes(stack.shape[0], model.spec)
        field = drain(stain_field(stack, wanted, model=model))
        images = {stain: self._write(stain, field.images[stain]) for stain in STAINS}
        return {
            "images": images,
            "labels": self._write("labels", field.nuclei_labels),
            "objects": object_columns(field),
            "verdict": field.verdict,
            "messages": field.provenance["messages"],
            "model": f"{model.spec.name} {model.spec.version}",
            "device": field.provenance["device"],
            "seconds": round(time.perf_counter() - started, 3),
        }

    def _stack(self, request: Message) -> BrightfieldStack:
        if request.get("path"):
            from napari_fluorgen.io import read_stack

            return read_stack(str(request["path"]))
        name = Path(str(request.get("array", ""))).name
        path = self.folder / name
        if not path.is_file():
            raise InputError(
                f"The request names no 'path' and no 'array' in {self.folder}: give one of them."
            )
        try:
            data = np.load(path, allow_pickle=False)
        except ValueError as error:
            raise InputError(f"{path} is no .npy file of numbers ({error}).") from None
        if data.ndim != 3:
            raise InputError(
                f"The brightfield array has the shape {data.shape}: planes, rows, columns were "
                "expected."
            )
        step = request.get("z_step_um") or None
        return BrightfieldStack(
            data=data,
            identity=FieldIdentity(str(request.get("name") or "image")),
            z_um=tuple(float(step) * plane for plane in range(len(data))) if step else None,
            source=path.name,
        )

    def _write(self, name: str, data: NDArray) -> str:
        file = f"{name}.npy"
        np.save(self.folder / file, np.ascontiguousarray(data), allow_pickle=False)
        return file


def check_planes(depth: int, spec: ModelSpec) -> None:
    """Refuse fewer planes than a model needs: in a pipeline nobody would see the warning.

    Raises
    ------
    InputError
        Fewer than the model's number, unless the model was trained on varied planes; then one
        plane, unless it was trained on single planes.
    """
    varied = spec.training.get("plane_range_um")
    least = spec.planes if not varied else 1 if varied[0] == 0 else 2
    if depth < least:
        planes = "1 brightfield plane" if depth == 1 else f"{depth} brightfield planes"
        raise InputError(
            f"{planes} came in where model '{spec.name}' needs {least}: give all planes of the "
            "focus series, or choose a model for fewer planes."
        )


def check_stains(spec: ModelSpec) -> None:
    """Refuse a model that lacks a stain: the modules that follow count on all of them.

    Raises
    ------
    ModelError
        Naming what is missing.
    """
    missing = [stain for stain in STAINS if stain not in spec.stains]
    if missing:
        raise ModelError(
            f"Model '{spec.name}' stains {', '.join(spec.stains)}, not {', '.join(missing)}: "
            "choose a model of all three stains."
        )


def object_columns(field: StainedField) -> dict[str, list[Any]]:
    """Return the columns of `OBJECT_COLUMNS` that a field has, NaN as None."""
    return {
        name: [_plain(value) for value in field.nuclei[name].tolist()]
        for name in OBJECT_COLUMNS
        if name in field.nuclei
    }


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _open_model(name: str) -> Model:
    from napari_fluorgen.models import load_model

    return load_model(name)


def _settings(request: Message) -> StainRequest:
    settings = request.get("settings") or {}
    if not isinstance(settings, dict):
        raise InputError(f"The request's settings are {settings!r}: expected names and values.")
    return StainRequest.build(**settings)


def _parse(line: str) -> Message:
    try:
        request = json.loads(line)
    except ValueError:
        raise InputError(f"The request is no line of JSON: {line.strip()[:80]!r}.") from None
    if not isinstance(request, dict):
        raise InputError(f"The request is no object of JSON: {line.strip()[:80]!r}.")
    return request
