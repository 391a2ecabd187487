"""Which tiles of a run are finished, on disk, so that a stopped run goes on where it stood.

The journal is a folder: ``journal.json`` names the run, and ``tile-000012.npz`` is written after
the results of tile 12 and holds the ramps that still wait for its neighbours. Of older tiles than
one row no file is needed.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.io.atomic import atomic_path
from napari_fluorgen.staining.plan import Plan

_FILE = "journal.json"
_TILE = re.compile(r"tile-(\d{6})\.npz")


class Journal:
    """Journal of one run.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    key : mapping
        JSON-ready; all that decides what the tiles hold, except for how the run was planned. A
        journal of another key is not used.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        self._folder = folder
        self._key = json.loads(json.dumps(key))
        self._old = self._read()
        self._across = 1
        self.done = 0

    @property
    def tile_shape(self) -> tuple[int, int] | None:
        """Rows and columns of the tiles of the stopped run; None where there is none."""
        shape = self._old.get("tile_shape")
        return None if shape is None else (int(shape[0]), int(shape[1]))

    def begin(self, plan: Plan, facts: Mapping[str, Any]) -> int:
        """Compare a plan with the stopped run's and note it.

        Parameters
        ----------
        plan : Plan
            What is about to be done.
        facts : mapping
            JSON-ready; what else must be the same, such as device and precision.

        Returns
        -------
        int
            Number of tiles that are finished already; 0 where anything differs.
        """
        state = {
            "key": self._key,
            "tile_shape": list(plan.tile_shape),
            "tiles": len(plan.tiles),
            "canvas_shape": list(plan.canvas_shape),
            "facts": json.loads(json.dumps(facts)),
        }
        first = plan.tiles[0].rows.start
        self._across = sum(tile.rows.start == first for tile in plan.tiles)
        self.done = self._finished() if state == self._old else 0
        if not self.done:
            for path in self._tiles().values():
                path.unlink()
            with atomic_path(self._folder / _FILE, overwrite=True) as temporary:
                temporary.write_text(json.dumps(state), encoding="utf-8")
        return self.done

    def record(self, number: int, waiting: Mapping[str, NDArray[np.float32]]) -> None:
        """Note that a tile is finished; its results must be on disk by now."""
        with (
            atomic_path(self._path(number), overwrite=True) as temporary,
            temporary.open("wb") as file,
        ):
            arrays: dict[str, Any] = dict(waiting)
            np.savez(file, **arrays)
        self.done = number + 1
        if number >= self._across:
            self._path(number - self._across).unlink(missing_ok=True)

    def waiting(self, number: int) -> dict[str, NDArray[np.float32]]:
        """What was recorded with a tile."""
        with (
            self._path(number).open("rb") as file,
            np.load(file, allow_pickle=False) as held,
        ):
            return dict(held)

    def _finished(self) -> int:
        """Number of finished tiles whose ramps are all there."""
        found = self._tiles()
        done = max(found, default=-1) + 1
        needed = range(max(0, done - self._across), done)
        try:
            for number in needed:
                self.waiting(number)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return 0
        return done

    def _tiles(self) -> dict[int, Path]:
        if not self._folder.is_dir():
            return {}
        matches = ((_TILE.fullmatch(path.name), path) for path in self._folder.iterdir())
        return {int(match[1]): path for match, path in matches if match}

    def _path(self, number: int) -> Path:
        return self._folder / f"tile-{number:06d}.npz"

    def _read(self) -> dict[str, Any]:
        try:
            state = json.loads((self._folder / _FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) and state.get("key") == self._key else {}
