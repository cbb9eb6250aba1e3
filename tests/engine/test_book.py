"""The book: who crossed is exactly who the margin arithmetic says, whatever comes, goes, or lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from simulated import make_position
from solders.pubkey import Pubkey

import engine.book.book as book_module
from engine.book.book import Book, terms_of
from engine.book.holdings import Holdings
from engine.book.risk import band_counts, riskiest
from engine.domain import Generation, Position, Price, Side, Verdict
from engine.protocol.accounts import encode_position
from engine.protocol.addresses import FEEDS, PROGRAM_ID, SYSTEM_PROGRAM
from engine.protocol.margin import health_at, is_below, is_liquidatable, threshold_e6

U64_MAX = 2**64 - 1
U64 = st.one_of(st.integers(0, U64_MAX), st.sampled_from([1, 2, 10**6, 2**63 - 1, 2**63, U64_MAX]))
POSITIVE = U64.filter(bool)


def mark(price_e6: int, symbol: str = "BTC/USD", verdict: Verdict = Verdict.OK) -> Price:
    return Price(symbol, price_e6, 0, price_e6, -6, 1, 1, verdict)


def make_book() -> Book:
    return Book(FEEDS, 1300)


@pytest.fixture
def book() -> Book:
    return make_book()


@pytest.fixture
def holdings(book) -> Holdings:
    return Holdings(book, PROGRAM_ID)


def read_snapshot(holdings: Holdings, positions: Sequence[Position], slot: int) -> None:
    load = holdings.begin_snapshot(slot)
    holdings.take(
        load, [bytes(each.address) for each in positions], [encode_position(each) for each in positions]
    )
    for _ in holdings.finish(load):
        pass


POSITIONS = st.builds(
    make_position,
    side=st.sampled_from(Side),
    size_e6=POSITIVE,
    entry_price_e6=U64,
    collateral_e6=U64,
    leverage=st.sampled_from([1, 20, 21, 50, 51, 100, 101, 500, 501, 1000]),
    symbol=st.sampled_from(sorted(FEEDS)),
)


@settings(max_examples=400, deadline=None)
@given(POSITIONS, POSITIVE)
@example(make_position(size_e6=U64_MAX, entry_price_e6=U64_MAX, collateral_e6=U64_MAX), U64_MAX)
@example(make_position(size_e6=1, entry_price_e6=0, collateral_e6=U64_MAX, side=Side.SHORT), U64_MAX)
def test_who_crossed_is_exactly_who_is_liquidatable_around_the_threshold_and_anywhere(position, anywhere):
    book = make_book()
    book.apply(position)
    line = threshold_e6(terms_of(position))
    for price_e6 in {anywhere, *(line + step for step in range(-2, 3))}:
        if not 0 < price_e6 <= U64_MAX:
            continue
        health = health_at(terms_of(position), price_e6)
        crossed = book.crossed(mark(price_e6, position.symbol))
        if is_liquidatable(health):
            assert crossed == [position.address]
        elif price_e6 < 2**63 - 1:  # beyond it the exact decision sorts out what the columns offer
            assert crossed == []
            counts = band_counts(book, [mark(price_e6, position.symbol)])
            assert counts.at_risk == is_below(health, 1300)
            assert counts.liquidatable == 0


# Few addresses on one side of one symbol, so that closings meet openings and extremes come and go.
NEIGHBOURS = st.builds(
    make_position,
    side=st.sampled_from([Side.LONG, Side.LONG, Side.SHORT]),
    collateral_e6=st.integers(0, 50_000 * 10**6),
    symbol=st.sampled_from(["BTC/USD", "BTC/USD", "BTC/USD", "SOL/USD"]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), NEIGHBOURS, st.booleans()), max_size=60), st.data())
def test_after_any_history_of_openings_changes_and_closings_the_crossed_are_the_liquidatable(history, data):
    addresses = [Pubkey.from_bytes(bytes([number] * 32)) for number in range(31)]
    book, model = make_book(), {}
    for slot, (number, position, is_closing) in enumerate(history, start=1):
        if is_closing:
            book.remove(addresses[number], slot)
            model.pop(addresses[number], None)
        else:
            model[addresses[number]] = replace(position, address=addresses[number], slot=slot)
            book.apply(model[addresses[number]])
    assert len(book) == len(model)
    for symbol in FEEDS:
        lines = [threshold_e6(terms_of(each)) for each in model.values() if each.symbol == symbol]
        for price_e6 in [*lines, data.draw(st.integers(1, 2**63 - 2)), 1, 2**63 - 2]:
            if not 0 < price_e6 < 2**63 - 1:
                continue
            expected = {
                each.address
                for each in model.values()
                if each.symbol == symbol and is_liquidatable(health_at(terms_of(each), price_e6))
            }
            assert set(book.crossed(mark(price_e6, symbol))) == expected


@pytest.mark.parametrize("side", Side)
def test_after_the_extreme_is_gone_the_others_are_found_and_a_quiet_tick_costs_one_comparison(book, side):
    direction = 1 if side is Side.LONG else -1
    positions = [make_position(side=side, collateral_e6=(3_000 + 100 * step) * 10**6) for step in range(5)]
    for position in positions:
        book.apply(position)
    lines = [threshold_e6(terms_of(position)) for position in positions]
    assert book.crossed(mark(lines[0] + direction)) == []
    book.remove(positions[0].address, 5)
    assert book.crossed(mark(lines[1])) == [positions[1].address]
    flank = book.shelves.flanks("BTC/USD")[side is Side.SHORT]
    assert flank.front_e6 == lines[1]
    flank.groups = None  # a look at any position would break
    assert book.crossed(mark(lines[1] + direction)) == []


@given(POSITIONS)
def test_a_position_comes_out_of_the_columns_as_it_went_in(position):
    position = replace(position, slot=U64_MAX, created_at_s=-(2**63), maintenance_margin_e6=U64_MAX)
    book = make_book()
    book.apply(position)
    assert book.get(position.address) == position


def test_no_price_but_an_ok_one_makes_anybody_cross(book):
    book.apply(make_position())
    for verdict in Verdict:
        assert bool(book.crossed(mark(1, verdict=verdict))) == (verdict is Verdict.OK)


def test_an_update_of_an_older_slot_is_ignored_and_one_of_the_same_slot_taken(book):
    position = make_position(slot=10)
    book.apply(position)
    assert not book.apply(replace(position, slot=9, size_e6=5))
    assert book.get(position.address).size_e6 == 1_000_000
    assert book.apply(replace(position, size_e6=7))
    assert book.get(position.address).size_e6 == 7


def test_a_closed_position_does_not_come_back_by_a_late_notification_but_may_open_anew(book):
    position = make_position(slot=10)
    book.apply(position)
    book.remove(position.address, 12)
    assert not book.apply(replace(position, slot=11))
    assert position.address not in book
    assert book.apply(replace(position, slot=13))
    book.remove(position.address, 12)
    assert position.address in book


@pytest.mark.parametrize("changes", [{"is_liquidated": True}, {"size_e6": 0}])
def test_a_liquidated_or_empty_position_leaves_the_book(book, changes):
    position = make_position(slot=1)
    book.apply(position)
    book.apply(replace(position, slot=2, **changes))
    assert len(book) == 0
    assert book.crossed(mark(1)) == []


def test_rows_of_closed_positions_are_used_again(book):
    leaves = len(book.shelves.memory)
    for slot in range(1, 5000):
        position = make_position(slot=slot)
        book.apply(position)
        book.remove(position.address, slot)
    assert len(book.shelves.memory) == leaves
    assert len(book.shelves.index._table) <= 4096


def test_the_memory_of_closings_is_bounded_even_without_a_snapshot(book, monkeypatch):
    monkeypatch.setattr(book_module, "CLOSED_MEMORY", 100)
    last = [Pubkey.new_unique() for _ in range(1000)]
    for slot, address in enumerate(last):
        book.remove(address, slot)
    assert len(book._closed) <= 100
    assert not book.apply(make_position(address=last[-1], slot=998))


def test_any_number_of_invented_symbols_is_held_as_unknown_and_forgotten_with_its_positions(book):
    count = 66_000  # more than two bytes can number
    addresses = []
    for number in range(count):
        addresses.append(Pubkey.from_bytes(number.to_bytes(32, "little")))
        book.apply(make_position(address=addresses[-1], symbol=f"X{number}/USD", slot=1))
    assert band_counts(book, [mark(1)]).unknown == count
    assert book.get(addresses[-1]).symbol == f"X{count - 1}/USD"
    assert book.unknown_reason(addresses[0]) == "no price feed for the symbol"
    for address in addresses:
        book.remove(address, 2)
    for _ in book.sweep(3):
        pass
    assert not any(len(kept) for kept in (book.shelves.index, book.unknowns, book._closed))
    book.apply(make_position(slot=3))
    assert len(book.crossed(mark(1))) == 1


@pytest.mark.parametrize("leverage", [0, 1001, 65_535])
def test_a_leverage_without_a_maintenance_ratio_is_unknown_and_never_crosses(book, leverage):
    position = make_position(leverage=leverage, slot=1)
    book.apply(position)
    assert book.unknown_reason(position.address) == "unsupported leverage"
    assert book.crossed(mark(1)) == []
    assert band_counts(book, [mark(1)]).unknown == 1
    book.apply(replace(position, leverage=20, slot=2))
    assert book.unknown_reason(position.address) is None
    assert book.crossed(mark(1)) == [position.address]


def test_bands_at_held_prices_are_unknown_and_not_healthy(book):
    book.apply(make_position())
    counts = band_counts(book, [mark(60_000 * 10**6, verdict=Verdict.STALE)])
    assert (counts.monitored, counts.healthy, counts.unknown) == (1, 0, 1)


def test_the_riskiest_come_first(book):
    for collateral in (3_000, 1_900, 1_000, 9_000):
        book.apply(make_position(collateral_e6=collateral * 10**6))
    worst = [
        book.get(address).collateral_e6 // 10**6 for address in riskiest(book, [mark(60_000 * 10**6)], 9)
    ]
    assert worst == [1_000, 1_900]
    assert len(riskiest(book, [mark(60_000 * 10**6)], 1)) == 1


# --- holdings: the door ---


def test_a_closed_account_and_one_that_another_program_owns_leave_the_book(holdings):
    for data, owner in (
        (b"", SYSTEM_PROGRAM),
        (None, None),
        (encode_position(make_position()), SYSTEM_PROGRAM),
    ):
        position = make_position()
        holdings.apply(position.address, encode_position(position), PROGRAM_ID, 5)
        assert holdings.decidable(position.address) is not None
        assert holdings.apply(position.address, data, owner, 6)
        assert position.address not in holdings.book


def test_a_held_account_that_cannot_be_read_any_more_is_unknown_and_no_longer_decidable(holdings):
    position = make_position()
    data = encode_position(position)
    holdings.apply(position.address, data, PROGRAM_ID, 5)
    holdings.apply(position.address, data[:50], PROGRAM_ID, 6)
    assert holdings.decidable(position.address) is None
    assert holdings.book.crossed(mark(1)) == []
    assert band_counts(holdings.book, [mark(1)]).unknown == 1
    holdings.apply(position.address, data, PROGRAM_ID, 7)
    assert holdings.decidable(position.address) is not None


def test_unreadable_bytes_of_an_older_slot_do_not_make_a_known_position_unknown(holdings):
    position = make_position()
    data = encode_position(position)
    holdings.apply(position.address, data, PROGRAM_ID, 5)
    holdings.apply(position.address, data[:50], PROGRAM_ID, 4)
    assert holdings.decidable(position.address) is not None


def test_readable_bytes_of_an_older_slot_do_not_make_an_unknown_position_known(holdings):
    position = make_position()
    data = encode_position(position)
    holdings.apply(position.address, data, PROGRAM_ID, 5)
    holdings.apply(position.address, data[:50], PROGRAM_ID, 9)
    holdings.apply(position.address, data, PROGRAM_ID, 8)
    assert holdings.decidable(position.address) is None


def test_foreign_and_truncated_accounts_are_skipped_and_counted_by_reason_once_each(holdings):
    good = encode_position(make_position())
    for data in (good[:77], good[:-1], b"\0" * 120, good[:40] + b"\xff" * 4 + good[44:]):
        assert not holdings.apply(Pubkey.new_unique(), data, PROGRAM_ID, 1)
    assert holdings.skipped == {
        "truncated": 1,
        "wrong length": 1,
        "foreign discriminator": 1,
        "symbol too long": 1,
    }
    assert len(holdings.book) == 0


def test_both_generations_are_held_and_counted_once_however_often_they_are_read(holdings):
    old, new = make_position(generation=Generation.DEPLOYED, created_at_s=0), make_position(side=Side.SHORT)
    for slot in (1, 2, 2, 3):
        for position in (old, new):
            holdings.apply(position.address, encode_position(position), PROGRAM_ID, slot)
    assert len(holdings.book) == 2
    assert holdings.decidable(old.address) == replace(old, slot=3)
    assert holdings.decidable(new.address) == replace(new, slot=3)


def test_what_a_complete_snapshot_lacks_is_closed_unless_it_is_newer(holdings):
    kept, gone, newer = (make_position() for _ in range(3))
    for position, slot in ((kept, 5), (gone, 5), (newer, 11)):
        holdings.apply(position.address, encode_position(position), PROGRAM_ID, slot)
    read_snapshot(holdings, [kept], 10)
    assert kept.address in holdings.book
    assert gone.address not in holdings.book
    assert newer.address in holdings.book


def test_a_snapshot_does_not_bring_back_what_was_closed_while_it_was_taken(holdings):
    position = make_position()
    holdings.apply(position.address, encode_position(position), PROGRAM_ID, 5)
    holdings.apply(position.address, b"", SYSTEM_PROGRAM, 12)
    read_snapshot(holdings, [position], 10)
    assert position.address not in holdings.book


@given(st.binary(max_size=150))
def test_no_bytes_whatever_break_the_door(data):
    holdings = Holdings(make_book(), PROGRAM_ID)
    holdings.apply(Pubkey.new_unique(), data, PROGRAM_ID, 1)
    assert len(holdings.book) == 0
