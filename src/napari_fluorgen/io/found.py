"""Fields that were found, each under a name of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import count

from napari_fluorgen.io.results import file_stem
from napari_fluorgen.stack import BrightfieldStack, FieldIdentity


@dataclass(frozen=True)
class FieldSource:
    """A field that can be opened.

    Attributes
    ----------
    identity : FieldIdentity
        With a name that is unique among the fields found together.
    open : callable
        Gives the stack; raises `InputError` where its files are damaged.
    """

    identity: FieldIdentity
    open: Callable[[], BrightfieldStack]


@dataclass(frozen=True)
class FoundFields:
    """What was found under some paths.

    Attributes
    ----------
    fields : tuple of FieldSource
        In natural order.
    problems : tuple of str
        A sentence for each path, field or file that cannot be used.
    unreadable : tuple of str
        Those of the given paths under which no field was found.
    left_out : tuple of str
        Those of fields and files, below paths with other fields, that are damaged or lack planes.
    """

    fields: tuple[FieldSource, ...]
    problems: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def unique_fields(sources: Iterable[FieldSource]) -> list[FieldSource]:
    """Drop fields that were given twice; number names whose files would be the same."""
    seen: dict[str, list[FieldSource]] = {}
    given = [source for source in sources if not _known(source, seen)]
    taken = set(seen)
    kept = []
    for source in given:
        name = source.identity.name
        if source is not seen[_file_key(source.identity)][0]:
            numbered = (replace(source.identity, name=f"{name}_{number}") for number in count(2))
            identity = next(one for one in numbered if _file_key(one) not in taken)
            taken.add(_file_key(identity))
            source = FieldSource(identity, partial(renamed, source.open, identity))
        kept.append(source)
    return kept


def _known(source: FieldSource, seen: dict[str, list[FieldSource]]) -> bool:
    """Whether a field was seen before; it is then."""
    same = seen.setdefault(_file_key(source.identity), [])
    if any(_same(source, other) for other in same):
        return True
    same.append(source)
    return False


def _file_key(identity: FieldIdentity) -> str:
    """What tells the files of fields apart on any disk, of which some ignore upper case."""
    return file_stem(identity).casefold()


def _same(a: FieldSource, b: FieldSource) -> bool:
    first, second = a.open, b.open
    return (
        isinstance(first, partial)
        and isinstance(second, partial)
        and first.func == second.func
        and first.args == second.args
    )


def renamed(opener: Callable[[], BrightfieldStack], identity: FieldIdentity) -> BrightfieldStack:
    """Open a field under another name than its own."""
    # Files named by the instrument would clash with those of the field of the same name.
    return replace(opener(), identity=identity, channel_files={})
