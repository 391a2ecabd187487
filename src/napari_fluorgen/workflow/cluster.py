"""Many fields on the machines of a Dask cluster, one field a task."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_fluorgen import __version__
from napari_fluorgen.errors import Cancelled, ConfigError, DeviceError
from napari_fluorgen.workflow.batch import BatchSummary, Tally, prepare_batch, reason_of
from napari_fluorgen.workflow.batch_field import one_field
from napari_fluorgen.workflow.events import FieldEnded, FieldFailed, FieldStarted
from napari_fluorgen.workflow.field import StopCheck, drain
from napari_fluorgen.workflow.request import StainRequest

if TYPE_CHECKING:
    from napari_fluorgen.io import FieldSource, FoundFields
    from napari_fluorgen.models import Model

_CONNECT_SECONDS = 10
_LOOK_EVERY = 0.2

# The engine uses all cores itself: a worker stains one field at a time, whatever its threads.
_one_at_a_time = threading.Lock()


def stain_on_cluster(
    found: FoundFields,
    request: StainRequest,
    folder: str | Path,
    scheduler: str,
    *,
    format: str = "tiff",
    overwrite: bool = False,
    resume: bool = False,
    should_stop: StopCheck | None = None,
) -> Generator[Any, None, BatchSummary]:
    """Stain and write every field that was found, on the workers of a Dask scheduler.

    The workers read the inputs and write the results themselves, so that all paths must mean the
    same there as here, and they need this version of the package and the model.

    Parameters
    ----------
    found, request, folder, format, overwrite, resume
        As in `stain_batch`.
    scheduler : str
        Address, such as ``"tcp://node1:8786"``.
    should_stop : callable, optional
        Once true, no further field is begun and those under way end with their tile.

    Yields
    ------
    FieldStarted, then FieldWritten, FieldSkipped or FieldFailed
        Both when a field has ended; fields come in the order in which they end.

    Returns
    -------
    BatchSummary

    Raises
    ------
    InputError, OutputError, ModelError
        As `stain_batch`, before any work. What goes wrong on a worker fails its field alone.
    ConfigError
        ``distributed`` is missing, no scheduler answers, or a worker lacks this version.
    DeviceError
        The scheduler went away.
    """
    folder = Path(folder).resolve()
    prepare_batch(found, request, folder, allowed=overwrite or resume)
    tally = Tally()
    total = len(found.fields)
    cancelled = threading.Event()
    with _connected(scheduler) as client:
        from distributed import Event

        stop = Event(client=client)
        arguments = (request.to_record(), str(folder), format, overwrite, resume, stop.name)
        futures = {
            client.submit(_stain_one, source, *arguments, pure=False): source.identity
            for source in found.fields
        }
        ending = _as_they_end(client, futures, stop, should_stop, cancelled)
        with contextlib.closing(ending):  # while the client still is there to stop the workers
            for number, future in enumerate(ending):
                ended = _end_of(future, futures[future])
                if ended is not None:
                    yield FieldStarted(ended.identity, number, total)
                    tally.add(ended)
                    yield ended
                elif not cancelled.is_set():
                    raise DeviceError(
                        f"The Dask scheduler at {scheduler} went away: the finished fields stay; "
                        "start it and its workers again and use --resume."
                    )
    return tally.summary(folder, found, cancelled=cancelled.is_set())


def _as_they_end(
    client: Any,
    futures: Iterable[Any],
    stop: Any,
    should_stop: StopCheck | None,
    cancelled: threading.Event,
) -> Generator[Any, None, None]:
    """Yield each future once it has ended; where the caller leaves early, the workers stop.

    `cancelled` is set as soon as `should_stop` says yes.
    """
    pending = set(futures)
    try:
        while pending:
            if should_stop is not None and should_stop():
                cancelled.set()
                stop.set()
                client.cancel(list(pending))
            else:  # `distributed.wait` would ask for a default client, for all of the process
                time.sleep(_LOOK_EVERY)
            for future in [one for one in pending if one.status != "pending"]:
                pending.remove(future)
                yield future
    finally:
        if pending:
            stop.set()


@contextlib.contextmanager
def _connected(scheduler: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError as error:
        raise ConfigError(
            "A Dask scheduler needs the package distributed: install 'napari-fluorgen[cluster]'."
        ) from error
    try:
        if ":" not in scheduler:  # Dask would look for a cluster manager of that name
            raise ValueError("no port")
        client = Client(scheduler, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"No Dask scheduler answers at '{scheduler}': start one with 'dask scheduler' and give "
            "the address that it prints, such as tcp://node1:8786."
        ) from error
    with client:
        for worker, version in client.run(_version, on_error="return").items():
            if version != __version__:
                found = version if isinstance(version, str) else f"no usable one ({version})"
                raise ConfigError(
                    f"Worker {worker} has {found} of napari-fluorgen, expected {__version__}: "
                    "install the same version on all machines."
                )
        yield client


def _version() -> str:
    import napari_fluorgen

    return napari_fluorgen.__version__


def _stain_one(
    source: FieldSource,
    record: dict[str, Any],
    folder: str,
    format: str,
    overwrite: bool,
    resume: bool,
    stop: str,
) -> FieldEnded | None:
    """Stain and write one field on a worker; None where it was cancelled."""
    import dask
    from distributed import Event

    event = Event(stop)
    request = StainRequest.model_validate(record)
    with _one_at_a_time:
        if event.is_set():  # opens the worker's own client, which makes Dask ask the cluster
            return None
        # A lazy stack that asked the cluster for its pixels would wait for the worker that reads.
        with dask.config.set(scheduler="threads"):
            try:
                return drain(
                    one_field(
                        source,
                        request,
                        Path(folder),
                        format,
                        overwrite,
                        resume,
                        _model(request.model),
                        event.is_set,
                    )
                )
            except Cancelled:
                return None
            except Exception as error:  # a fault in one field must not end a night's run
                return FieldFailed(source.identity, reason_of(source.identity.name, error))


@lru_cache(maxsize=2)
def _model(name: str) -> Model:
    from napari_fluorgen.models import load_model

    return load_model(name)


def _end_of(future: Any, identity: Any) -> FieldEnded | None:
    """What became of a field; None where it was cancelled."""
    if future.status == "finished":
        return future.result()
    if future.status == "error":  # the worker died, or could not read the task
        return FieldFailed(identity, reason_of(identity.name, future.exception()))
    return None
