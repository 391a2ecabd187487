from __future__ import annotations

import pytest

from napari_fluorgen.errors import Cancelled, OutputError
from napari_fluorgen.io import results
from napari_fluorgen.workflow import Stage, StainRequest, drain, run_demo
from napari_fluorgen.workflow.sample import sample_folder

REQUEST = StainRequest.build(model="tiny", device="cpu", precision="float32")


def test_demo_does_the_whole_path(plate, model, tmp_path) -> None:
    events = []
    work = run_demo(tmp_path / "demo", REQUEST, sample=plate.folder, model=model)
    result = drain(work, events.append)
    names = results.list_fields(tmp_path / "demo" / "stained")
    assert len(names) == 3
    assert result.measured.fields == tuple(names)
    assert result.exported.n_fields == 3
    assert result.exported.pipeline.is_file()
    assert set(result.evaluation.stains.stains) == {"nuclei", "lipids", "cytoplasm"}
    assert [path.name for path in result.pictures] == [f"{name}.png" for name in names]
    assert all(path.is_file() for path in result.pictures)
    assert Stage("measuring") in events
    again = run_demo(tmp_path / "demo", REQUEST, sample=plate.folder, model=model)
    with pytest.raises(OutputError, match="--overwrite"):
        drain(again)
    options = {"sample": plate.folder, "model": model, "overwrite": True}
    drain(run_demo(tmp_path / "demo", REQUEST, **options))


def test_stopped_demo_says_so(plate, model, tmp_path) -> None:
    work = run_demo(
        tmp_path / "demo", REQUEST, sample=plate.folder, model=model, should_stop=lambda: True
    )
    with pytest.raises(Cancelled):
        drain(work)
    assert not (tmp_path / "demo").exists()


def test_sample_data_is_found_and_says_that_it_is_simulated() -> None:
    readme = sample_folder() / "README.md"
    if not readme.is_file():
        pytest.skip("this checkout has no sample data yet")
    assert "simulated" in readme.read_text(encoding="utf-8").lower()
