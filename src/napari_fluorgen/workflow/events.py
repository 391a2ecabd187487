"""What a run tells its watcher, in the order it happens: plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass

from napari_fluorgen.stack import FieldIdentity, StainedField


@dataclass(frozen=True)
class Stage:
    """A step after the networks begins: ``"confidence"``, ``"segmentation"``, ``"writing"``."""

    name: str


@dataclass(frozen=True)
class FieldDone:
    """A field is stained."""

    field: StainedField


@dataclass(frozen=True)
class FieldStarted:
    """A batch opens its next field; `index` counts from 0 of `total`."""

    identity: FieldIdentity
    index: int
    total: int


@dataclass(frozen=True)
class FieldWritten:
    """A field of a batch lies on disk."""

    identity: FieldIdentity
    files: tuple[str, ...]
    nuclei: int
    messages: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class FieldSkipped:
    """A field of a batch is left as it is, with the reason."""

    identity: FieldIdentity
    reason: str


@dataclass(frozen=True)
class FieldFailed:
    """A field of a batch could not be stained; the batch goes on."""

    identity: FieldIdentity
    reason: str


FieldEnded = FieldWritten | FieldSkipped | FieldFailed
"""The last event of each field of a batch."""


@dataclass(frozen=True)
class Measuring:
    """CellProfiler has measured `done` of `total` images."""

    done: int
    total: int
