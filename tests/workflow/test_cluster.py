from __future__ import annotations

import socket
from functools import partial
from pathlib import Path

import dask
import dask.array
import numpy as np
import pytest
import tifffile

from napari_fluorgen.errors import ConfigError, InputError, OutputError
from napari_fluorgen.io import FieldSource, FoundFields, find_fields, results
from napari_fluorgen.stack import BrightfieldStack, FieldIdentity
from napari_fluorgen.workflow import (
    FieldFailed,
    FieldSkipped,
    FieldStarted,
    FieldWritten,
    StainRequest,
    drain,
    stain_batch,
    stain_on_cluster,
)
from napari_fluorgen.workflow import cluster as cluster_module

from .conftest import brightfield

distributed = pytest.importorskip("distributed", reason="distributed is not installed")

REQUEST = StainRequest.build(model="tiny", device="cpu", precision="float32")


@pytest.fixture(scope="module")
def scheduler():
    """Address of a scheduler with two workers in threads of this process."""
    with (
        dask.config.set(scheduler=None),  # workers set it for their process; undone at the end
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            dashboard_address=None,
            protocol="tcp",
        ) as cluster,
    ):
        yield cluster.scheduler_address


@pytest.fixture
def run(scheduler, installed):
    def run(source: Path, folder: Path, **options):
        events: list = []
        work = stain_on_cluster(find_fields(source), REQUEST, folder, scheduler, **options)
        return drain(work, events.append), events

    return run


def test_results_are_those_of_one_machine(run, plate, model, tmp_path):
    summary, events = run(plate.folder, tmp_path / "cluster")
    drain(stain_batch(find_fields(plate.folder), REQUEST, tmp_path / "alone", model=model))
    names = results.list_fields(tmp_path / "alone")
    assert results.list_fields(tmp_path / "cluster") == names
    assert sorted(summary.done) == sorted(names)
    assert [type(event) for event in events] == [FieldStarted, FieldWritten] * 3
    assert [event.index for event in events[::2]] == [0, 1, 2]
    for name in names:
        here, there = (results.read_field(tmp_path / kind, name) for kind in ("alone", "cluster"))
        np.testing.assert_array_equal(here.nuclei_labels, there.nuclei_labels)
        for stain, image in here.images.items():
            np.testing.assert_array_equal(image, there.images[stain])
        assert here.provenance["request"] == there.provenance["request"]


def test_a_damaged_field_fails_alone_and_resume_does_the_rest(run, plate, tmp_path):
    damaged = plate.files("D04", 2)[3]
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    summary, events = run(plate.folder, tmp_path / "out")
    assert len(summary.done) == 2
    failed = next(event for event in events if isinstance(event, FieldFailed))
    assert summary.failed == (failed.identity.name,)
    assert damaged.name in failed.reason
    with pytest.raises(OutputError, match="--resume"):
        run(plate.folder, tmp_path / "out")
    damaged.write_bytes(whole)
    summary, events = run(plate.folder, tmp_path / "out", resume=True)
    assert summary.done == (failed.identity.name,)
    assert sum(isinstance(event, FieldSkipped) for event in events) == 2


def test_a_cancelled_run_begins_no_further_field(run, plate, tmp_path):
    summary, events = run(plate.folder, tmp_path / "out", should_stop=lambda: True)
    assert summary.cancelled
    assert not summary.failed
    assert len(summary.done) == sum(isinstance(event, FieldWritten) for event in events)


def test_nothing_to_stain(run, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no images"):
        run(tmp_path / "empty", tmp_path / "out")


def test_nobody_answers(plate, installed, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_module, "_CONNECT_SECONDS", 0.5)
    with socket.socket() as held:  # bound, so that nobody else listens there
        held.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{held.getsockname()[1]}"
        for name in (address, "nowhere"):
            with pytest.raises(ConfigError, match="No Dask scheduler answers"):
                drain(stain_on_cluster(find_fields(plate.folder), REQUEST, tmp_path / "out", name))


def test_workers_of_another_version_are_refused(run, plate, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_module, "__version__", "0.0.1")
    with pytest.raises(ConfigError, match=r"expected 0\.0\.1"):
        run(plate.folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def lazy_stack(number: int) -> BrightfieldStack:
    return BrightfieldStack(
        dask.array.from_array(brightfield(number), chunks=(1, 64, 64)),
        FieldIdentity(f"lazy{number}"),
        (0.325, 0.325),
        (-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0),
    )


@pytest.mark.timeout(120)
def test_lazy_stacks_do_not_wait_for_their_own_worker(installed, scheduler, tmp_path):
    sources = [
        FieldSource(FieldIdentity(f"lazy{number}"), partial(lazy_stack, number))
        for number in range(3)
    ]
    work = stain_on_cluster(FoundFields(tuple(sources)), REQUEST, tmp_path / "out", scheduler)
    assert sorted(drain(work).done) == ["lazy0", "lazy1", "lazy2"]


def test_stacks_beside_a_plate_can_be_sent_to_workers(run, tmp_path):
    (tmp_path / "stacks").mkdir()
    tifffile.imwrite(tmp_path / "stacks" / "a.tif", brightfield(1), metadata={"axes": "ZYX"})
    summary, _ = run(tmp_path / "stacks", tmp_path / "out")
    assert summary.done == ("a",)
