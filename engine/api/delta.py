"""What differs between two snapshots: on the wire a few fields and rows instead of everything.

Fields are named; the rows of a table are matched by their key, and those that stay are told as runs of the
table before. `applied(difference(a, b), a) == b` for any two snapshots: what is told of a value is how to
make the new one out of the old, or else the new one itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from engine.api import wire
from engine.api.message import Message

MOST_ROWS = 2_000  # of a table that a reader accepts; no table of a snapshot comes near
_MOST_NEW = 8  # values at the end of a course that are worth looking for
# By what the rows of a table are known from one snapshot to the next.
_KEYS: Mapping[type[Message], str] = {
    wire.AlertRow: "id",
    wire.EndpointRow: "name",
    wire.EventRow: "seq",
    wire.FailedRow: "liquidation_id",
    wire.PositionRow: "address",
    wire.PriceRow: "symbol",
    wire.QueueRow: "liquidation_id",
    wire.RungRow: "move_bps",
    wire.SymbolRiskRow: "symbol",
}

M = TypeVar("M", bound=Message)


class NotApplicable(ValueError):
    """A change that was made against something else than what it is applied to."""


class Put(msgspec.Struct, frozen=True, array_like=True, tag="="):
    """The value itself."""

    value: Any


class Fields(msgspec.Struct, frozen=True, array_like=True, tag="~"):
    """The fields of one message that changed, by name."""

    changes: dict[str, Change]


class Rows(msgspec.Struct, frozen=True, array_like=True, tag="#"):
    """A table: its rows as runs [start, count] of the table before and new ones; null: those of before.

    `changes` are those of the kept rows, each with the row's place in the new table.
    """

    pieces: list[tuple[int, int] | dict[str, Any]] | None
    changes: list[tuple[int, dict[str, Change]]] = []


class Window(msgspec.Struct, frozen=True, array_like=True, tag=">"):
    """A course, oldest first: so many values fell out at its beginning, these came at its end."""

    dropped: int
    added: list[Any]


Change = Union[Put, Fields, Rows, Window]  # noqa: UP007 - msgspec resolves the name in the classes above


def difference(before: Message, after: Message) -> dict[str, Change]:
    """How to make `after` out of `before`, two messages of one type; empty when they are equal."""
    changes: dict[str, Change] = {}
    for name in after.__struct_fields__:
        change = _change(getattr(before, name), getattr(after, name))
        if change is not None:
            changes[name] = change
    return changes


def applied(changes: Mapping[str, Change], before: M) -> M:
    """The message that the changes make out of `before`; what is unchanged is the same object.

    Fields that this side does not know are passed over. Raises NotApplicable.
    """
    types = _types(type(before))
    values = {
        name: _applied(change, getattr(before, name), types[name])
        for name, change in changes.items()
        if name in types
    }
    return msgspec.structs.replace(before, **values) if values else before


def _change(before: Any, after: Any) -> Change | None:
    if before is after or before == after:
        return None
    if isinstance(before, Message) and type(before) is type(after):
        return Fields(difference(before, after))
    if isinstance(before, list) and isinstance(after, list) and before and after:
        told = _rows(before, after) if isinstance(after[0], Message) else _window(before, after)
        if told is not None:
            return told
    return Put(after)


def _rows(before: list[Message], after: list[Message]) -> Rows | None:
    """None for a table whose rows cannot be told apart."""
    name = _KEYS.get(type(after[0]))
    if name is None:
        return None
    places = {getattr(row, name): place for place, row in enumerate(before)}
    if len(places) < len(before):
        return None
    pieces: list[Any] = []
    changes: list[tuple[int, dict[str, Change]]] = []
    for place, row in enumerate(after):
        was = places.get(getattr(row, name))
        if was is None:
            pieces.append(row)
            continue
        if pieces and isinstance(pieces[-1], tuple) and sum(pieces[-1]) == was:
            pieces[-1] = (pieces[-1][0], pieces[-1][1] + 1)
        else:
            pieces.append((was, 1))
        if change := difference(before[was], row):
            changes.append((place, change))
    stays = pieces == [(0, len(before))]
    return Rows(None if stays else pieces, changes)


def _window(before: list[Any], after: list[Any]) -> Window | None:
    """None when the new course is not the old one gone on by a few."""
    for added in range(1, min(_MOST_NEW, len(after)) + 1):
        kept = len(after) - added
        dropped = len(before) - kept
        if dropped >= 0 and before[dropped:] == after[:kept]:
            return Window(dropped, after[kept:])
    return None


def _applied(change: Change, before: Any, kind: Any) -> Any:
    match change:
        case Put(value):
            try:
                return msgspec.convert(value, kind)
            except msgspec.ValidationError as error:
                raise NotApplicable(f"a value of another type: {error}") from error
        case Fields(changes) if isinstance(before, Message):
            return applied(changes, before)
        case Rows(pieces, changes) if isinstance(before, list) and get_origin(kind) is list:
            return _table(pieces, changes, before, get_args(kind)[0])
        case Window(dropped, added) if isinstance(before, list) and 0 <= dropped <= len(before):
            return [*before[dropped:], *_applied(Put(added), None, kind)]
    raise NotApplicable(f"a {type(change).__name__} for a {type(before).__name__}")


def _table(
    pieces: list[tuple[int, int] | dict[str, Any]] | None,
    changes: list[tuple[int, dict[str, Change]]],
    before: list[Any],
    kind: Any,
) -> list[Any]:
    rows = list(before) if pieces is None else list(_bounded(_laid(pieces, before, kind)))
    for place, change in changes:
        if not 0 <= place < len(rows) or not isinstance(rows[place], Message):
            raise NotApplicable(f"row {place} of {len(rows)}")
        rows[place] = applied(change, rows[place])
    return rows


def _laid(pieces: list[tuple[int, int] | dict[str, Any]], before: list[Any], kind: Any) -> Iterator[Any]:
    for piece in pieces:
        if isinstance(piece, dict):
            yield _applied(Put(piece), None, kind)
            continue
        start, count = piece
        if start < 0 or count < 0 or start + count > len(before):
            raise NotApplicable(f"rows {start} to {start + count} of {len(before)}")
        yield from before[start : start + count]


def _bounded(rows: Iterator[Any]) -> Iterator[Any]:
    for number, row in enumerate(rows):
        if number >= MOST_ROWS:
            raise NotApplicable(f"a table of more than {MOST_ROWS} rows")
        yield row


@cache
def _types(kind: type[Message]) -> Mapping[str, Any]:
    """The types of a message's fields by name."""
    return get_type_hints(kind)
