from __future__ import annotations

import os

from qtpy.QtCore import QObject

from napari_fluorgen.widgets.docks.preview import Preview
from napari_fluorgen.workflow import StainRequest

from .conftest import MODEL, WAIT


def test_a_model_stays_loaded_until_its_package_is_written_anew(qtbot, models, stack):
    shown = []
    owner = QObject()
    preview = Preview(owner, lambda *said: shown.append(said))
    preview.ask(stack, StainRequest.build(model=MODEL, device="cpu"))
    qtbot.waitUntil(lambda: bool(shown), timeout=WAIT)
    model = preview.model(MODEL)
    assert model is not None
    assert preview.model(MODEL) is model
    assert preview.model("another") is None
    description = model.path / "rdf.yaml"
    times = description.stat()
    os.utime(description, ns=(times.st_atime_ns, times.st_mtime_ns + 1_000_000_000))
    try:
        assert preview.model(MODEL) is None
    finally:
        os.utime(description, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert preview.model(MODEL) is model
