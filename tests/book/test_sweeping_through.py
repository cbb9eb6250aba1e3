"""A market that goes through a whole book: whoever is reached is closed, and the next are found too."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from engine.book.book import Book
from engine.book.holdings import Holdings
from engine.domain import Side
from engine.protocol.accounts import encode_position
from engine.protocol.addresses import PROGRAM_ID

sys.path.insert(0, str(Path(__file__).parent))
from populations import SYMBOLS, liquidatable_at, price, random_position

COUNT = 1_400  # three leaves, filled by a snapshot as full as that makes them


@pytest.mark.parametrize("side", list(Side))
def test_whole_leaves_may_empty_at_the_front_and_those_behind_are_still_found(side):
    rng = Random(8)
    held = [
        replace(
            random_position(rng),
            symbol="BTC/USD",
            side=side,
            size_e6=10**6,
            leverage=20,
            entry_price_e6=(60_000 - number if side is Side.LONG else 60_000 + number) * 10**6,
            collateral_e6=3_000 * 10**6,
        )
        for number in range(COUNT)
    ]
    holdings = Holdings(Book(SYMBOLS, 1300), PROGRAM_ID)
    load = holdings.begin_snapshot(1)
    holdings.take(load, [bytes(each.address) for each in held], [encode_position(each) for each in held])
    for _ in holdings.finish(load):
        pass
    mark_e6, slot = 60_000 * 10**6, 1
    while held:
        mark_e6 += -20 * 10**6 if side is Side.LONG else 20 * 10**6
        expected = {each.address for each in held if liquidatable_at(each, mark_e6)}
        found = {each.address for each in holdings.book.crossers(price("BTC/USD", mark_e6))}
        assert found == expected
        held = [each for each in held if each.address not in found]
        for address in found:
            slot += 1
            holdings.apply(address, None, None, slot)
