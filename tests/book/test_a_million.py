"""A million positions: going over them, and their risk figures, hold up nobody and keep no second list."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from solders.pubkey import Pubkey

from engine.book.book import Book
from engine.book.leaf import ADDRESS_BYTES
from engine.book.load import SnapshotLoad
from engine.book.risk import LADDER_BPS, symbol_risk
from engine.domain import Generation, Position, Price, Side, Verdict
from engine.protocol.accounts import encode_position

COUNT = 1_000_000
SLICE = 5_000
SYMBOLS = tuple(f"S{number}/USD" for number in range(20))
MARK_E6 = 100 * 10**6
LONGEST_PIECE_S = 0.005
LONGEST_SYMBOL_S = 0.015
MOST_KEPT_BYTES = 200_000


def price(symbol: str) -> Price:
    return Price(symbol, MARK_E6, 0, MARK_E6, -6, 1, 1, Verdict.OK)


def account(symbol: str, side: Side, entry_e6: int) -> bytes:
    position = Position(
        address=Pubkey.from_bytes(bytes(32)),
        owner=Pubkey.from_bytes(bytes(32)),
        symbol=symbol,
        side=side,
        size_e6=10**6,
        collateral_e6=5 * 10**6,
        entry_price_e6=entry_e6,
        leverage=20,
        maintenance_margin_e6=0,
        is_liquidated=False,
        created_at_s=0,
        generation=Generation.DOCUMENTED,
        slot=1,
    )
    return encode_position(position)


@pytest.fixture(scope="module")
def million() -> Book:
    """Evenly over 20 symbols and both sides, with entries around the mark."""
    rng = np.random.default_rng(3)
    book = Book(SYMBOLS, 1300)
    load = SnapshotLoad(book, 1)
    for start in range(0, COUNT, SLICE):
        symbol = SYMBOLS[start // SLICE % len(SYMBOLS)]
        entries = rng.integers(97 * 10**6, 103 * 10**6, SLICE).tolist()
        accounts = [account(symbol, tuple(Side)[n % 2], entry) for n, entry in enumerate(entries)]
        load.take([rng.bytes(ADDRESS_BYTES) for _ in range(SLICE)], accounts)
    for _ in load.finish():
        pass
    assert len(book) == COUNT
    return book


def shortest(work: object, times: int = 5) -> float:
    """The least of some runs: the machine does other things as well."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        work()  # type: ignore[operator]
        taken.append(time.perf_counter() - begun)
    return min(taken)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_walk_over_a_million_goes_in_short_pieces_and_keeps_nothing(million: Book) -> None:
    seen, place = 0, 0
    tracemalloc.start()
    while True:
        found, place = million.addresses_from(place, 500)
        seen += len(found)
        if place == 0:
            break
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen == COUNT
    assert kept < MOST_KEPT_BYTES
    assert shortest(lambda: million.addresses_from(COUNT // 2, 500)) < LONGEST_PIECE_S


@pytest.mark.long
@pytest.mark.timeout(600)
def test_one_symbol_of_a_million_costs_a_turn_of_the_loop_no_more_than_a_few_milliseconds(
    million: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    symbol = SYMBOLS[7]
    first_s = shortest(lambda: symbol_risk(million, price(symbol)), times=1)
    again_s = shortest(lambda: symbol_risk(million, price(symbol)))
    some = million.addresses_from(0, 1)[0][0]

    def after_a_change() -> None:
        position = million.get(some)
        assert position is not None
        million.apply(position)
        symbol_risk(million, price(position.symbol))

    changed_s = shortest(after_a_change)
    risk = symbol_risk(million, price(symbol))
    assert risk.bands.monitored == COUNT // len(SYMBOLS)
    assert len(risk.ladder) == 2 * len(LADDER_BPS)
    assert max(first_s, again_s, changed_s) < LONGEST_SYMBOL_S
    with capsys.disabled():
        print(
            f"\none symbol of 20 in {COUNT:,}: first {first_s * 1e3:.1f} ms, "
            f"price changed {again_s * 1e3:.1f} ms, one position changed {changed_s * 1e3:.1f} ms"
        )
