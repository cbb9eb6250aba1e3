"""A million positions of twenty symbols, as accounts: what the benchmarks of the book are made on."""

from __future__ import annotations

import numpy as np
from solders.pubkey import Pubkey

from engine.book.book import Book
from engine.book.holdings import Holdings
from engine.domain import Price, Verdict
from engine.protocol.accounts import DOCUMENTED_POSITION_SIZE, POSITION_DISCRIMINATOR
from engine.protocol.addresses import PROGRAM_ID

SYMBOLS = tuple(f"S{number:02d}/USD" for number in range(20))
MARK_E6 = 100 * 10**6
SLICE = 4096

_LEVERAGES = np.array([1, 5, 10, 20, 25, 50, 75, 100, 200, 500])
_LAYOUT = np.dtype(
    [
        ("discriminator", "V8"),
        ("owner", "V32"),
        ("symbol_length", "<u4"),
        ("symbol", "S7"),
        ("size_e6", "<u8"),
        ("collateral_e6", "<u8"),
        ("entry_price_e6", "<u8"),
        ("leverage", "<u2"),
        ("maintenance_margin_e6", "<u8"),
        ("is_long", "u1"),
        ("is_liquidated", "u1"),
        ("created_at_s", "<i8"),
        ("padding", "V25"),
    ]
)


def make_accounts(count: int, seed: int = 5) -> tuple[list[bytes], list[bytes]]:
    """Addresses and data; around the mark, none of them liquidatable at it."""
    assert _LAYOUT.itemsize == DOCUMENTED_POSITION_SIZE
    rng = np.random.default_rng(seed)
    rows = np.zeros(count, _LAYOUT)
    rows["discriminator"] = np.void(POSITION_DISCRIMINATOR)
    rows["owner"] = np.frombuffer(rng.bytes(32 * count), dtype="V32")
    rows["symbol_length"] = len(SYMBOLS[0])
    rows["symbol"] = np.array([each.encode() for each in SYMBOLS])[rng.integers(0, len(SYMBOLS), count)]
    entry_e6 = (MARK_E6 * rng.uniform(0.97, 1.03, count)).astype(np.int64)
    notional_e6 = (rng.lognormal(8.5, 1.1, count) * 1e6).astype(np.int64)
    leverage = _LEVERAGES[rng.integers(0, len(_LEVERAGES), count)]
    size_e6 = np.maximum(1, (notional_e6 * 1e6 / entry_e6).astype(np.int64))
    # Enough for the worst entry, its maintenance and one percent more.
    margin = np.maximum(rng.uniform(1.0, 2.0, count) / leverage, 0.03 + 0.035)
    rows["size_e6"], rows["entry_price_e6"], rows["leverage"] = size_e6, entry_e6, leverage
    rows["collateral_e6"] = (notional_e6 * margin).astype(np.int64)
    rows["is_long"] = rng.integers(0, 2, count)
    rows["created_at_s"] = 1_750_000_000
    keys = np.frombuffer(rng.bytes(32 * count), dtype="V32")
    return keys.tolist(), rows.view(f"V{_LAYOUT.itemsize}").tolist()


def loaded(count: int) -> Holdings:
    """A book that holds so many of them."""
    addresses, accounts = make_accounts(count)
    holdings = Holdings(Book(SYMBOLS, 1300), PROGRAM_ID)
    load = holdings.begin_snapshot(1)
    for start in range(0, count, SLICE):
        holdings.take(load, addresses[start : start + SLICE], accounts[start : start + SLICE])
    for _ in holdings.finish(load):
        pass
    return holdings


def price(symbol: str, price_e6: int = MARK_E6) -> Price:
    """A price that may be acted on."""
    return Price(symbol, price_e6, 0, price_e6, -6, 1, 1, Verdict.OK)


def address_of(raw: bytes) -> str:
    """Base58."""
    return str(Pubkey.from_bytes(raw))
