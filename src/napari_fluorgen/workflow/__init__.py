"""One frozen request in, events along the way, a result out: for a field and for a plate."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from napari_fluorgen.workflow.events import (
    FieldDone,
    FieldFailed,
    FieldSkipped,
    FieldStarted,
    FieldWritten,
    Stage,
)

if TYPE_CHECKING:
    from napari_fluorgen.workflow.batch import BatchSummary, stain_batch
    from napari_fluorgen.workflow.cluster import stain_on_cluster
    from napari_fluorgen.workflow.demo import DemoResult, run_demo
    from napari_fluorgen.workflow.estimate import estimate_field
    from napari_fluorgen.workflow.field import drain, stain, stain_field
    from napari_fluorgen.workflow.fine_tuning import fine_tune
    from napari_fluorgen.workflow.fine_tuning_request import (
        FineTuneRequest,
        FineTuneResult,
        FineTuneScores,
    )
    from napari_fluorgen.workflow.recalibration import recalibrate
    from napari_fluorgen.workflow.request import DEFAULT_MODEL, StainRequest

_HOME_OF = {
    "BatchSummary": "batch",
    "stain_batch": "batch",
    "stain_on_cluster": "cluster",
    "DemoResult": "demo",
    "run_demo": "demo",
    "estimate_field": "estimate",
    "drain": "field",
    "stain": "field",
    "stain_field": "field",
    "FineTuneRequest": "fine_tuning_request",
    "FineTuneResult": "fine_tuning_request",
    "FineTuneScores": "fine_tuning_request",
    "fine_tune": "fine_tuning",
    "recalibrate": "recalibration",
    "DEFAULT_MODEL": "request",
    "StainRequest": "request",
}

__all__ = [
    "DEFAULT_MODEL",
    "BatchSummary",
    "DemoResult",
    "FieldDone",
    "FieldFailed",
    "FieldSkipped",
    "FieldStarted",
    "FieldWritten",
    "FineTuneRequest",
    "FineTuneResult",
    "FineTuneScores",
    "Stage",
    "StainRequest",
    "drain",
    "estimate_field",
    "fine_tune",
    "recalibrate",
    "run_demo",
    "stain",
    "stain_batch",
    "stain_field",
    "stain_on_cluster",
]


def __getattr__(name: str) -> Any:
    """Load a name when it is first used: requests need pydantic, events need nothing."""
    if name in _HOME_OF:
        module = importlib.import_module(f"napari_fluorgen.workflow.{_HOME_OF[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
