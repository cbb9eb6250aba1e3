"""Answers that no node should give: any JSON, and true ones with a few places changed."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

HOSTILE = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**53,
    2**63,
    2**64,
    -(2**63),
    10**30,
    1.5,
    -0.0,
    1e300,
    "",
    "0",
    "null",
    "\x1b[2J\x1b]0;owned\x07",
    "\u202egnp.exe",
    "a" * 5000,
    "1" * 44,
    "\ud800",
    [],
    {},
    [[]],
    [None],
    {"Ok": None},
    {"value": None},
    {"context": {"slot": 1}, "value": None},
    {"InstructionError": [0, {"Custom": 2**40}]},
)


def anything(draw: random.Random, depth: int = 3) -> Any:
    """Some JSON."""
    kind = draw.randrange(6)
    if kind == 0 and depth:
        return [anything(draw, depth - 1) for _ in range(draw.randrange(4))]
    if kind == 1 and depth:
        names = ("context", "value", "slot", "err", "data", "result", "lamports", "a")
        return {draw.choice(names): anything(draw, depth - 1) for _ in range(draw.randrange(4))}
    if kind == 2:
        return draw.randint(-(2**70), 2**70)
    return copy.deepcopy(draw.choice(HOSTILE))  # else what is changed in one answer is changed in all


def mutated(draw: random.Random, truth: Any) -> Any:
    """The true answer with one to three places changed: replaced, removed, doubled, or off."""
    answer = {"root": copy.deepcopy(truth)}
    for _ in range(draw.randint(1, 3)):
        places = list(_places(answer))
        inside, key = draw.choice(places)
        value = inside[key]
        how = draw.randrange(4)
        if how == 0 and inside is not answer:
            del inside[key]
        elif how == 1 and isinstance(value, list) and value:
            value.append(copy.deepcopy(draw.choice(value)))
        elif how == 2 and type(value) is int:
            inside[key] = value + draw.choice((-1, 1)) * draw.choice((1, 200, 10**4, 2**40, 2**63))
        elif how == 3 and isinstance(value, str) and value:
            at = draw.randrange(len(value))
            inside[key] = value[:at] + draw.choice(("A", "0", "=", "\x07", "")) + value[at + 1 :]
        else:
            inside[key] = anything(draw)
    return answer["root"]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])
