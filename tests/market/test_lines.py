"""Lines in heaps: exactly who crossed is told, once, at a cost that does not grow with the others."""

from __future__ import annotations

import heapq
from random import Random
from typing import Any

import pytest
from solders.pubkey import Pubkey

from engine.domain import Side
from engine.sandbox.market import lines as lines_module
from engine.sandbox.market.lines import Lines


def address(number: int) -> Pubkey:
    return Pubkey.from_bytes(number.to_bytes(32))


def is_beyond(side: Side, threshold_e6: int, mark_e6: int) -> bool:
    return mark_e6 <= threshold_e6 if side is Side.LONG else mark_e6 >= threshold_e6


@pytest.mark.parametrize("seed", range(6))
def test_lines_are_crossed_and_recovered_exactly_as_comparing_each_of_them_would_tell(seed: int) -> None:
    rng = Random(seed)
    lines = Lines()
    drawn: dict[int, tuple[str, Side, int]] = {}
    told: set[int] = set()
    mark_e6 = {"A": 500, "B": 500}
    for _ in range(3_000):
        number, action = rng.randrange(60), rng.random()
        if action < 0.4:
            drawn[number] = rng.choice("AB"), rng.choice(list(Side)), rng.randint(1, 1_000)
            lines.put(address(number), *drawn[number])
            told.discard(number)
        elif action < 0.5:
            drawn.pop(number, None)
            lines.drop(address(number))
            told.discard(number)
        else:
            symbol = rng.choice("AB")
            mark_e6[symbol] = rng.randint(1, 1_000)
            found = lines.cross(symbol, mark_e6[symbol])
            beyond = {
                each
                for each, (name, side, threshold) in drawn.items()
                if name == symbol and is_beyond(side, threshold, mark_e6[symbol])
            }
            before = {each for each in told if drawn[each][0] == symbol}
            assert sorted(map(bytes, found)) == sorted(bytes(address(each)) for each in beyond - before)
            told = (told - before) | beyond
        assert len(lines) == len(drawn)


def test_of_one_side_the_farthest_beyond_comes_first() -> None:
    lines = Lines()
    for number, threshold in enumerate((300, 500, 400)):
        lines.put(address(number), "A", Side.LONG, threshold)
        lines.put(address(10 + number), "A", Side.SHORT, threshold)
    assert lines.cross("A", 350) == [address(1), address(2), address(10)]


def test_a_price_that_crosses_nobody_moves_nobody_however_many_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = Lines()
    for number in range(20_000):
        lines.put(address(number), "A", Side.LONG, 1_000 + number)
    lines.cross("A", 15_000)
    moved: list[Any] = []

    def pop(heap: list[Any]) -> Any:
        moved.append(heap[0])
        return heapq.heappop(heap)

    monkeypatch.setattr(lines_module, "heapq", _Counted(pop))
    assert lines.cross("A", 15_000) == []
    assert moved == []
    assert len(lines.cross("A", 14_997)) == 3
    assert len(moved) == 3


class _Counted:
    """heapq with a heappop that tells."""

    def __init__(self, pop: Any) -> None:
        self.heappop = pop
        self.heappush = heapq.heappush
        self.heapify = heapq.heapify


def test_lines_that_move_again_and_again_leave_nothing_behind() -> None:
    lines = Lines()
    for turn in range(5_000):
        for number in range(10):
            lines.put(address(number), "A", Side.LONG, 1_000 + turn)
    (ladder,) = lines._ladders.values()
    assert len(ladder.standing) + len(ladder.crossed) < 100
