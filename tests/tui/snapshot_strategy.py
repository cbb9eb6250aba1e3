"""Snapshots out of thin air, and ones that follow on others: values of the wire's own types, by a seed.

Hypothesis chooses the seeds: a snapshot has too many fields for it to choose each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from engine.api import wire

MOST_ROWS = 6
SEEDS = st.integers(0, 2**64)
_LETTERS = 'aB1µ–€😀\u202e"\\ \x00{['
_PLAIN: dict[Any, Callable[[Random], Any]] = {
    int: lambda dice: dice.choice((dice.randrange(-3, 4), dice.randrange(-(2**53), 2**53))),
    str: lambda dice: "".join(dice.choices(_LETTERS, k=dice.randrange(4))),
    bool: lambda dice: dice.random() < 0.5,
    NoneType: lambda _: None,
}
_fields = cache(get_type_hints)


def snapshot(seed: int) -> wire.Snapshot:
    """The snapshot of a seed."""
    made = value(wire.Snapshot, Random(seed))
    assert isinstance(made, wire.Snapshot)
    return made


def value(kind: Any, dice: Random) -> Any:
    """A value of a type of the wire."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind in _PLAIN:
        return _PLAIN[kind](dice)
    if origin is list:
        return [value(inner[0], dice) for _ in range(dice.randrange(MOST_ROWS))]
    if origin is dict:
        return {value(inner[0], dice): value(inner[1], dice) for _ in range(dice.randrange(3))}
    if origin in (Union, UnionType):
        return value(dice.choice(inner), dice)
    assert issubclass(kind, wire.Message), kind
    return kind(**{name: value(hint, dice) for name, hint in _fields(kind).items()})


def following(before: Any, kind: Any, dice: Random) -> Any:
    """A value that follows on another as on the wire: much stays, rows move, some come, some go."""
    if dice.random() < 0.1:
        return value(kind, dice)
    if isinstance(before, wire.Message):
        hints = _fields(type(before))
        names = dice.sample(sorted(hints), k=min(len(hints), dice.randrange(8)))
        changes = {name: following(getattr(before, name), hints[name], dice) for name in names}
        return msgspec.structs.replace(before, **changes)
    if isinstance(before, list) and before:
        row = get_args(kind)[0]
        after = [following(each, row, dice) if dice.random() < 0.5 else each for each in before]
        if dice.random() < 0.3:
            dice.shuffle(after)
        kept = after[dice.randrange(2) : len(after) - dice.randrange(2)]
        return [*kept, *(value(row, dice) for _ in range(dice.randrange(3)))]
    return value(kind, dice) if dice.random() < 0.5 else before
