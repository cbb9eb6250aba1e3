"""Whatever bytes an account holds: counted by reason, nobody crosses, nothing crashes or is printed raw."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from random import Random

import pytest
from hostile_accounts import U64_MAX, fund_bytes, position_bytes, price_bytes, usual_position
from solders.pubkey import Pubkey
from structlog.testing import capture_logs

from engine.api.clean import clean
from engine.book.book import Book
from engine.book.holdings import Holdings
from engine.book.risk import symbol_risk
from engine.domain import Position, Price, Side, Verdict
from engine.fund import FundWatcher
from engine.liquidation.decide import decide
from engine.oracle.board import PriceBoard
from engine.price_feeds import watched_feeds
from engine.protocol.accounts import (
    DOCUMENTED_POSITION_SIZE,
    FUND_DISCRIMINATOR,
    FUND_SIZES,
    AccountRefused,
    decode_position,
    encode_position,
)
from engine.protocol.addresses import BTC_USD, PROGRAM_ID, PYTH_RECEIVER, SYSTEM_PROGRAM
from engine.protocol.margin import is_liquidatable
from engine.protocol.position_columns import PositionColumns, decode_positions
from engine.protocol.pyth import PRICE_DISCRIMINATOR, PriceUpdate, encode_price_update
from engine.settings import load_settings

SEED = int(os.environ.get("EXACTNESS_SEED", "20260722"))
FEW = (12_000, 8_000, 4_000)  # positions, prices, funds
MANY = (600_000, 300_000, 110_000)
START_S = 1_760_000_000
SYMBOLS = ("BTC/USD", "SOL/USD")
POSITION_REASONS = {
    "foreign discriminator",
    "truncated",
    "wrong length",
    "symbol too long",
    "symbol is not UTF-8",
    "symbol is empty or has control characters",
    "flag is neither 0 nor 1",
}
PRICE_REASONS = {
    "foreign discriminator",
    "truncated",
    "not fully verified",
    "wrong owner",
    "wrong feed id",
    "price is not positive",
    "published in the future",
    "exponent out of range",
    "price out of range",
    "price truncates to zero",
}


@dataclass
class StandingClock:
    """Time that only the test moves."""

    now_s: int = START_S

    def now_ns(self) -> int:
        return self.now_s * 10**9

    def monotonic_ns(self) -> int:
        return self.now_s * 10**9

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")


def must_be_clean(logged: list[dict[str, object]]) -> None:
    for entry in logged:
        for value in entry.values():
            text = str(value)
            assert text.isprintable(), repr(text)


def scalar(address: Pubkey, data: bytes) -> Position | str:
    """The position, or the reason why it is none; anything but a refusal is a fault of the decoder."""
    try:
        position = decode_position(address, data, 1)
    except AccountRefused as refusal:
        assert refusal.reason in POSITION_REASONS
        return refusal.reason
    # What is accepted holds exactly what was read, and a name that may be printed.
    encoded = encode_position(position)
    read = len(encoded) if len(data) != DOCUMENTED_POSITION_SIZE else 54 + len(position.symbol.encode()) + 34
    assert encoded[:read] == data[:read]
    assert position.symbol.isprintable()
    assert clean(position.symbol, 32)
    return position


def check_columns(columns: PositionColumns, read: list[Position | str]) -> None:
    """In columns the same accounts are accepted with the same numbers and refused for the same reasons."""
    assert dict(columns.refused) == {n: each for n, each in enumerate(read) if isinstance(each, str)}
    assert len(columns.origin) + len(columns.refused) == len(read)
    for row, index in zip(columns.rows, columns.origin.tolist(), strict=True):
        position = read[index]
        assert isinstance(position, Position)
        assert columns.symbols[int(row["symbol"])] == position.symbol
        assert (int(row["size_e6"]), int(row["collateral_e6"])) == (position.size_e6, position.collateral_e6)
        assert int(row["entry_price_e6"]) == position.entry_price_e6
        assert int(row["maintenance_margin_e6"]) == position.maintenance_margin_e6
        assert (int(row["leverage"]), bool(row["is_short"])) == (
            position.leverage,
            position.side is Side.SHORT,
        )
        assert (bool(row["is_liquidated"]), int(row["created_at_s"])) == (
            position.is_liquidated,
            position.created_at_s,
        )


def price_at(mark_e6: int) -> Price:
    return Price("BTC/USD", mark_e6, 0, mark_e6, -6, 1, 1, Verdict.OK)


def check_crossing(book: Book) -> None:
    """At any price only positions that are whole and liquidatable by the exact arithmetic cross."""
    for mark_e6 in (1, 58_000 * 10**6, 60_000 * 10**6, 2**63, U64_MAX):
        price = price_at(mark_e6)
        for address in book.crossed(price):
            position = book.get(address)
            assert position is not None
            assert book.unknown_reason(address) is None
            decision = decide(position, price)
            assert is_liquidatable(decision.health) or mark_e6 >= 2**63 - 1
        bands = symbol_risk(book, price).bands
        assert bands.monitored == sum(len(flank) for flank in book.shelves.flanks("BTC/USD"))


def hostile_positions(seed: int, cases: int) -> Counter[str]:
    """Half of the bytes come to addresses that are held, half to strangers; one by one and in batches."""
    rng = Random(seed)
    ended: Counter[str] = Counter()
    batch_size = 200
    while ended.total() < cases:
        holdings = Holdings(Book(SYMBOLS, 1300), PROGRAM_ID)
        addresses = [Pubkey.from_bytes(rng.randbytes(32)) for _ in range(batch_size)]
        held = set(addresses[::2])
        for address in held:
            holdings.apply(address, encode_position(usual_position(address)), PROGRAM_ID, 0)
        accounts = [position_bytes(rng, address) for address in addresses]
        read = [scalar(address, data) for address, data in zip(addresses, accounts, strict=True)]
        check_columns(decode_positions(accounts), read)
        updates = [
            (address, data, PROGRAM_ID, 1) for address, data in zip(addresses, accounts, strict=True) if data
        ]
        if rng.random() < 0.5:
            holdings.apply_many(updates)
        else:
            for update in updates:
                holdings.apply(*update)
        refused = Counter(
            each for each, data in zip(read, accounts, strict=True) if data and isinstance(each, str)
        )
        assert holdings.skipped == refused
        for address, data, each in zip(addresses, accounts, read, strict=True):
            if isinstance(each, str) and data:
                assert (address in holdings.book) == (address in held)
                assert holdings.decidable(address) is None
                assert holdings.book.unknown_reason(address) == (each if address in held else None)
            elif isinstance(each, Position):
                assert (address in holdings.book) == (not each.is_liquidated and each.size_e6 > 0)
        check_crossing(holdings.book)
        ended.update(each if isinstance(each, str) else "a position" for each in read)
    return ended


def new_board(clock: StandingClock) -> PriceBoard:
    return PriceBoard(watched_feeds(load_settings({"SOLANA_RPC_URL": "http://127.0.0.1:1"})), clock)


def is_price(data: bytes, owner: Pubkey, now_s: int) -> bool:
    """Written from the account's layout: whether these bytes are a price of the feed at all."""
    if owner != PYTH_RECEIVER or data[:8] != PRICE_DISCRIMINATOR or len(data) < 133 or data[40] != 1:
        return False
    price, exponent = _number(data, 73, 8), _number(data, 89, 4)
    return (
        data[41:73] == BTC_USD.feed_id
        and price > 0
        and -18 <= exponent <= 6
        and 1 <= Fraction(price) * Fraction(10) ** (exponent + 6) < 2**64
        and _number(data, 93, 8) <= now_s + 60
    )


def may_be_acted_on(data: bytes, now_s: int) -> bool:
    """Whether such a price is narrow and fresh enough."""
    conf = int.from_bytes(data[81:89], "little")
    return conf * 100 <= _number(data, 73, 8) and abs(now_s - _number(data, 93, 8)) <= 60


def _number(data: bytes, offset: int, size: int) -> int:
    return int.from_bytes(data[offset : offset + size], "little", signed=True)


def honest_price(clock: StandingClock) -> bytes:
    update = PriceUpdate(
        write_authority=PYTH_RECEIVER,
        feed_id=BTC_USD.feed_id,
        price=60_000 * 10**8,
        conf=0,
        exponent=-8,
        publish_time_s=clock.now_s,
        prev_publish_time_s=clock.now_s,
        ema_price=0,
        ema_conf=0,
        posted_slot=0,
    )
    return encode_price_update(update)


def check_recovery(board: PriceBoard, clock: StandingClock, slot: int) -> int:
    """Whatever came before: honest prices are believed again, after a jump the third of them."""
    for _ in range(3):
        clock.now_s += 121
        slot += 1
        board.apply(BTC_USD.account, honest_price(clock), PYTH_RECEIVER, slot)
    assert board.current("BTC/USD").verdict is Verdict.OK
    assert board.current("BTC/USD").price_e6 == 60_000 * 10**6
    return slot


def hostile_prices(seed: int, cases: int) -> Counter[str]:
    """Prices one after another into one board; only what may be acted on is OK, and it always recovers."""
    rng = Random(seed)
    clock = StandingClock()
    board, book = new_board(clock), Book(SYMBOLS, 1300)
    crosser = usual_position(Pubkey.from_bytes(bytes([7] * 32)))
    book.apply(crosser)
    ended: Counter[str] = Counter()
    slot = check_recovery(board, clock, 1)
    for case in range(cases):
        slot += 1
        clock.now_s += rng.choice((0, 0, 1, 70))
        data = price_bytes(rng, BTC_USD.feed_id, clock.now_s)
        owner = PYTH_RECEIVER if rng.random() < 0.95 else SYSTEM_PROGRAM
        before = board.current("BTC/USD")
        board.apply(BTC_USD.account, data, owner, slot)
        now = board.current("BTC/USD")
        if not is_price(data, owner, clock.now_s):
            assert now.verdict in (Verdict.INVALID, Verdict.STALE), data.hex()
        elif now.verdict is Verdict.OK and now != before:
            assert may_be_acted_on(data, clock.now_s), data.hex()
        if now.verdict is not Verdict.OK:
            assert book.crossed(now) == []
            assert decide(crosser, now).action.value == "hold"
        assert now.verdict is Verdict.MISSING or 0 <= now.price_e6 <= U64_MAX
        ended[now.verdict.value] += 1
        if case % 500 == 0:
            slot = check_recovery(board, clock, slot)
    reasons = {key.removeprefix("BTC/USD: ") for key in board.refused}
    assert reasons == PRICE_REASONS
    assert set(ended) >= {"ok", "stale", "wide confidence", "invalid account"}
    return ended


def hostile_funds(seed: int, cases: int) -> Counter[str]:
    """The fund's state is what a well-formed account said last, whatever else came."""
    rng = Random(seed)
    fund = FundWatcher(None, None, PROGRAM_ID, StandingClock())  # type: ignore[arg-type]  # neither is asked
    ended: Counter[str] = Counter()
    for slot in range(1, cases + 1):
        data = fund_bytes(rng)
        owner = PROGRAM_ID if rng.random() < 0.95 else SYSTEM_PROGRAM
        before = fund.state
        fund.apply(data, owner, slot)
        if owner == PROGRAM_ID and data[:8] == FUND_DISCRIMINATOR and len(data) in FUND_SIZES:
            assert fund.state is not None
            assert fund.state.balance_lamports == int.from_bytes(data[40:48], "little")
            ended["a fund"] += 1
        else:
            assert fund.state is before
            ended["not the fund"] += 1
    assert set(fund.refused) == {"foreign discriminator", "wrong length", "foreign owner"}
    assert sum(fund.refused.values()) == ended["not the fund"]
    return ended


def run(amounts: tuple[int, int, int], seed: int) -> tuple[Counter[str], Counter[str], Counter[str]]:
    positions, prices, funds = amounts
    with capture_logs() as logged:
        ended = (
            hostile_positions(seed, positions),
            hostile_prices(seed, prices),
            hostile_funds(seed, funds),
        )
    assert logged, "the first of each kind is told"
    must_be_clean(logged)
    return ended


def test_hostile_accounts_are_counted_and_held_back() -> None:
    positions, _, funds = run(FEW, SEED)
    assert set(positions) == POSITION_REASONS | {"a position"}
    assert min(positions.values()) >= 20
    assert min(funds.values()) > FEW[2] // 20


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_million_hostile_accounts_are_counted_and_held_back(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(MANY, SEED + 100)
    total = sum(each.total() for each in ended)
    assert total >= 1_000_000
    with capsys.disabled():
        print(f"\nhostile accounts read: {total:,}: {[dict(each) for each in ended]}")
