"""Reading of rdf.yaml, which may be anybody's file: bounded, and one sentence where it fails."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from pathlib import Path
from typing import Any

from napari_fluorgen.errors import ModelError

UNREADABLE_ARRAYS = (
    OSError, ValueError, TypeError, EOFError, LookupError, MemoryError, RuntimeError,
    zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
"""What numpy raises for files that are damaged, encrypted, or hold something else than arrays."""

MAX_BYTES = 4_000_000
MAX_DEPTH = 64
"""Lists in lists up to which PyYAML's recursion is safe; ours hold a dozen."""


def damaged(path: Path, what: str) -> str:
    """Sentence about a file of a package."""
    return f"Model file {path} {what}; install the model package again."


def read_description(path: Path) -> dict[str, Any]:
    """Read an rdf.yaml.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    ModelError
        It is missing, unreadable, too large, nested too deeply or no description of a model.
    """
    import yaml

    try:
        if not path.is_file():
            raise ModelError(
                f"{path.parent} holds no rdf.yaml, so it is no model package; give the folder of "
                "a package or the name of an installed model."
            )
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(damaged(path, f"is larger than {MAX_BYTES // 10**6} MB"))
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read ({error.strerror}); check that you have the permission, or "
            "give another model."
        ) from error
    except UnicodeDecodeError as error:
        raise ModelError(damaged(path, "is not readable YAML")) from error
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # Events come without recursion; building what they describe would exhaust the stack.
        deep = _depth(text, loader) > MAX_DEPTH
        record = None if deep else yaml.load(text, Loader=loader)
    except Exception as error:  # PyYAML raises many kinds for values that are none
        raise ModelError(damaged(path, "is not readable YAML")) from error
    if not isinstance(record, dict):
        raise ModelError(damaged(path, "is no BioImage.IO model description"))
    return record


def _depth(text: str, loader: Any) -> int:
    """Greatest number of lists and mappings within each other, as far as just too deep."""
    import yaml

    depth = greatest = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.events.CollectionStartEvent):
            depth += 1
            greatest = max(greatest, depth)
            if greatest > MAX_DEPTH:
                break
        elif isinstance(event, yaml.events.CollectionEndEvent):
            depth -= 1
    return greatest
