"""Snapshots and batches: in columns the book comes out the same as one account at a time."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

import engine.book.holdings as holdings_module
from engine.book.book import Book
from engine.book.holdings import Holdings
from engine.book.unknown import NO_FEED, NO_MAINTENANCE
from engine.domain import Generation, Position, Side
from engine.protocol.accounts import encode_position
from engine.protocol.addresses import PROGRAM_ID, SYSTEM_PROGRAM

sys.path.insert(0, str(Path(__file__).parent))
from populations import SYMBOLS, price, random_position, random_positions


def make_holdings() -> Holdings:
    return Holdings(Book(SYMBOLS, 1300), PROGRAM_ID)


def snapshot(holdings: Holdings, positions: list[Position], slot: int, slice_size: int = 700) -> None:
    load = holdings.begin_snapshot(slot)
    for start in range(0, len(positions), slice_size):
        part = positions[start : start + slice_size]
        holdings.take(load, [bytes(each.address) for each in part], [encode_position(each) for each in part])
    for _ in holdings.finish(load):
        pass


def one_by_one(positions: list[Position]) -> Holdings:
    holdings = make_holdings()
    for position in positions:
        holdings.apply(position.address, encode_position(position), PROGRAM_ID, position.slot)
    return holdings


def same_book(one: Holdings, other: Holdings, positions: list[Position]) -> None:
    assert len(one.book) == len(other.book)
    assert set(one.book.addresses()) == set(other.book.addresses())
    for position in positions:
        assert one.book.get(position.address) == other.book.get(position.address)
        assert one.book.unknown_reason(position.address) == other.book.unknown_reason(position.address)
    for symbol in SYMBOLS:
        usual = price(symbol).price_e6
        for mark_e6 in (usual * 3 // 4, usual, usual * 5 // 4):
            crossed = [set(each.book.crossed(price(symbol, mark_e6))) for each in (one, other)]
            assert crossed[0] == crossed[1]


@pytest.fixture(scope="module")
def crowd() -> list[Position]:
    positions = random_positions(21, 6_000, slot=10)
    rng = Random(2)
    # Some of everything that a program's accounts may hold.
    for index in rng.sample(range(6_000), 900):
        position = positions[index]
        positions[index] = rng.choice(
            (
                replace(position, generation=Generation.DEPLOYED, side=Side.LONG, created_at_s=0),
                replace(position, symbol=f"X{index}/USD"),
                replace(position, leverage=rng.choice((0, 1001, 65_535))),
                replace(position, is_liquidated=True),
                replace(position, size_e6=0),
                replace(position, size_e6=2**64 - 1, entry_price_e6=2**64 - 1, collateral_e6=2**64 - 1),
                replace(position, entry_price_e6=0, collateral_e6=0),
            )
        )
    return positions


def test_a_first_snapshot_makes_the_book_that_one_account_at_a_time_would_make(crowd):
    loaded = make_holdings()
    snapshot(loaded, crowd, 10)
    same_book(loaded, one_by_one(crowd), crowd)
    reasons = {loaded.book.unknown_reason(each.address) for each in crowd}
    assert reasons == {None, NO_FEED, NO_MAINTENANCE}


def test_a_second_snapshot_takes_what_changed_and_forgets_what_is_gone(crowd):
    rng = Random(4)
    later = [replace(each, slot=20) for each in crowd[300:]]
    for index in rng.sample(range(len(later)), 1_500):
        later[index] = replace(later[index], collateral_e6=rng.randrange(10**12))
    later += [random_position(rng, 20) for _ in range(800)]
    holdings = make_holdings()
    snapshot(holdings, crowd, 10)
    snapshot(holdings, later, 20)
    same_book(holdings, one_by_one(later), later + crowd)


def test_a_batch_of_news_is_taken_as_if_it_came_one_by_one(crowd):
    rng = Random(6)
    batched, single = make_holdings(), make_holdings()
    for holdings in (batched, single):
        snapshot(holdings, crowd, 10)
    updates = []
    for number in range(4_000):
        position = rng.choice(crowd) if number % 7 else random_position(rng)
        slot = rng.choice((9, 10, 11, 12))
        changed = replace(
            position, collateral_e6=position.collateral_e6 % 10**15 + rng.randrange(10**7), slot=slot
        )
        data = rng.choice((encode_position(changed),) * 8 + (encode_position(changed)[:50], b""))
        updates.append((position.address, data, PROGRAM_ID if data else SYSTEM_PROGRAM, slot))
    for start in range(0, len(updates), 160):
        part = updates[start : start + 160]
        news = set(batched.apply_many(part))
        assert news == {update[0] for update in part if single.apply(*update)}
    same_book(batched, single, crowd)


def test_a_batch_in_which_one_account_comes_several_times_leaves_its_newest_state():
    rng = Random(8)
    holdings = make_holdings()
    position = random_position(rng, 5)
    others = [random_position(rng, 5) for _ in range(20)]
    states = [
        replace(position, collateral_e6=amount, slot=slot)
        for amount, slot in ((1, 6), (2, 8), (3, 7), (4, 8))
    ]
    holdings.apply_many(
        [(each.address, encode_position(each), PROGRAM_ID, each.slot) for each in (*others, *states)]
    )
    assert holdings.book.get(position.address) == states[-1]
    assert len(holdings.book) == 21


@pytest.mark.parametrize("in_a_snapshot", [False, True])
def test_what_no_row_tells_of_a_position_is_news_all_the_same(in_a_snapshot):
    before = [replace(each, slot=10) for each in random_positions(31, 600)]
    flipped = {Side.LONG: Side.SHORT, Side.SHORT: Side.LONG}
    after = [
        (
            replace(each, side=flipped[each.side]),
            replace(each, symbol=SYMBOLS[(SYMBOLS.index(each.symbol) + 1) % 3]),
            replace(each, symbol="X/USD"),
            replace(each, is_liquidated=True),
            each,
        )[number % 5]
        for number, each in enumerate(before)
    ]
    there_and_back = make_holdings()
    snapshot(there_and_back, before, 10)
    for slot, positions in ((20, after), (30, before), (40, after)):
        later = [replace(each, slot=slot) for each in positions]
        if in_a_snapshot:
            snapshot(there_and_back, later, slot)
        else:
            there_and_back.apply_many(
                [(each.address, encode_position(each), PROGRAM_ID, slot) for each in later]
            )
        same_book(there_and_back, one_by_one(later), later)


def test_positions_that_cannot_be_decided_are_read_again_in_columns(monkeypatch):
    positions = [replace(each, symbol="X/USD", slot=10) for each in random_positions(32, 2_000)]
    positions[::3] = [replace(each, leverage=1001) for each in positions[::3]]
    loaded = make_holdings()
    snapshot(loaded, positions, 10)
    monkeypatch.setattr(Book, "apply", None)  # nobody is taken by himself
    snapshot(loaded, [replace(each, slot=20) for each in positions], 20)
    monkeypatch.undo()
    same_book(loaded, one_by_one([replace(each, slot=20) for each in positions]), positions)


def test_between_two_steps_of_a_first_snapshot_whoever_is_found_has_a_reason_or_a_group(crowd):
    holdings = make_holdings()
    load = holdings.begin_snapshot(10)
    holdings.take(load, [bytes(each.address) for each in crowd], [encode_position(each) for each in crowd])
    wanted = {each.address: each for each in crowd}
    for _ in holdings.finish(load):
        for address in holdings.book.addresses():
            assert holdings.book.get(address) == wanted[address]


def test_one_address_twice_in_a_snapshot_is_one_position():
    positions = random_positions(9, 1_200, slot=3)
    holdings = make_holdings()
    snapshot(holdings, [*positions, *positions[:500]], 3)
    same_book(holdings, one_by_one(positions), positions)


def test_news_that_come_while_the_first_snapshot_is_on_its_way_are_newer_than_it():
    positions = random_positions(12, 50, slot=10)
    closed, changed, late = positions[0], replace(positions[1], collateral_e6=77, slot=12), positions[2]
    holdings = make_holdings()
    load = holdings.begin_snapshot(10)
    assert not holdings.apply(closed.address, b"", SYSTEM_PROGRAM, 12)
    assert not holdings.apply(changed.address, encode_position(changed), PROGRAM_ID, 12)
    assert not holdings.apply(late.address, encode_position(replace(late, collateral_e6=1)), PROGRAM_ID, 9)
    holdings.take(
        load, [bytes(each.address) for each in positions], [encode_position(each) for each in positions]
    )
    for _ in holdings.finish(load):
        pass
    assert closed.address not in holdings.book
    assert holdings.book.get(changed.address) == changed
    assert holdings.book.get(late.address) == late
    assert not holdings.lost_news


def test_a_first_snapshot_that_fails_leaves_its_news_to_the_next():
    older, newer, newest = (random_position(Random(seed), slot) for seed, slot in ((1, 4), (2, 5), (3, 6)))
    holdings = make_holdings()
    holdings.begin_snapshot(3)
    for position in (older, newer):
        holdings.apply(position.address, encode_position(position), PROGRAM_ID, position.slot)
    load = holdings.begin_snapshot(5)
    holdings.apply(newest.address, encode_position(newest), PROGRAM_ID, 6)
    for _ in holdings.finish(load):
        pass
    # The older one is not in the snapshot that is newer: it was closed between the two.
    assert set(holdings.book.addresses()) == {newer.address, newest.address}


def test_news_that_waited_are_taken_in_slices_and_those_that_come_meanwhile_behind_them(monkeypatch):
    monkeypatch.setattr(holdings_module, "_DEFERRED_AT_ONCE", 10)
    holdings, positions = make_holdings(), random_positions(14, 35, slot=5)
    load = holdings.begin_snapshot(3)
    for position in positions:
        holdings.apply(position.address, encode_position(position), PROGRAM_ID, 5)
    sizes = []
    for _ in holdings.finish(load):
        if len(holdings.book) == 20:
            later = replace(positions[30], collateral_e6=9, slot=6)
            assert not holdings.apply(later.address, encode_position(later), PROGRAM_ID, 6)
        sizes.append(len(holdings.book))
    assert sizes[-4:] == [10, 20, 30, 35]
    assert holdings.book.get(later.address) == later


@pytest.mark.parametrize("in_a_snapshot", [False, True])
def test_a_position_that_cannot_be_decided_has_no_object_of_its_own(in_a_snapshot):
    count = 6_000
    positions = [
        replace(each, symbol=f"X{number}/USD", leverage=1001 if number % 3 else 10, slot=10)
        for number, each in enumerate(random_positions(33, count))
    ]
    updates = [(each.address, encode_position(each), PROGRAM_ID, 10) for each in positions]
    holdings = make_holdings()
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        if in_a_snapshot:
            snapshot(holdings, positions, 10)
        else:
            for update in updates:
                holdings.apply(*update)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The index takes eleven bytes a position here, slabs of leaves the rest; an object takes fifty or more.
    assert (kept - before) / count < 40
    assert holdings.book.unknowns.reasons == {NO_MAINTENANCE: count * 2 // 3, NO_FEED: count // 3}
    assert holdings.book.get(positions[7].address) == positions[7]


LOADING = """
import sys
sys.path.insert(0, {folder!r})
import engine.runtime
from test_load import make_holdings, snapshot
from populations import random_positions
loaded = set(sys.modules)
positions = random_positions(1, 3_000)
holdings = make_holdings()
for slot in (1, 2):
    snapshot(holdings, positions[slot:], slot)
print(*sorted(set(sys.modules) - loaded))
"""


def test_no_code_is_loaded_while_positions_are():
    script = LOADING.format(folder=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == ""


def test_more_news_than_may_wait_are_admitted_to_be_lost(monkeypatch):
    monkeypatch.setattr(holdings_module, "MAX_DEFERRED", 3)
    holdings = make_holdings()
    load = holdings.begin_snapshot(3)
    for position in random_positions(1, 4, slot=4):
        holdings.apply(position.address, encode_position(position), PROGRAM_ID, 4)
    for _ in holdings.finish(load):
        pass
    assert holdings.lost_news
    assert len(holdings.book) == 3


def test_an_account_that_the_next_snapshot_cannot_read_is_unknown_and_not_forgotten():
    positions = random_positions(13, 30, slot=5)
    holdings = make_holdings()
    snapshot(holdings, positions, 5)
    load = holdings.begin_snapshot(8)
    accounts = [encode_position(each) for each in positions]
    accounts[4] = accounts[4][:60]
    holdings.take(load, [bytes(each.address) for each in positions], accounts)
    for _ in holdings.finish(load):
        pass
    assert len(holdings.book) == 30
    assert holdings.book.unknown_reason(positions[4].address) == "truncated"
    assert holdings.decidable(positions[4].address) is None
