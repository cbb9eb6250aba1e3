"""A first snapshot enters the book in small steps, however its positions are spread, and in order."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from solders.pubkey import Pubkey

from engine.book.book import Book
from engine.book.filling import STEP_ROWS, Filling, in_order
from engine.book.load import SnapshotLoad
from engine.domain import Side
from engine.protocol.accounts import encode_position

sys.path.insert(0, str(Path(__file__).parent))
from populations import SYMBOLS, random_position

COUNT = 50_000
SLICE = 2_500
MOST_AT_ONCE = 20_000  # rows: a few milliseconds


def accounts_of_one_group(count: int, seed: int = 3) -> tuple[list[bytes], list[bytes]]:
    """All of one symbol, side and tier; only collateral differs."""
    rng = Random(seed)
    template = encode_position(
        replace(random_position(rng), symbol="BTC/USD", side=Side.LONG, leverage=10, size_e6=10**6)
    )
    at = 44 + len("BTC/USD") + 8
    accounts = [
        template[:at] + rng.randrange(10**9, 10**10).to_bytes(8, "little") + template[at + 8 :]
        for _ in range(count)
    ]
    return [rng.randbytes(32) for _ in range(count)], accounts


def spreads() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    trap = rng.integers(0, 2**40, COUNT)
    trap[::992] = 7  # whoever looks at every so many sees one and the same
    return {
        "random": rng.integers(0, 2**62, COUNT),
        "ascending": np.arange(COUNT),
        "descending": np.arange(COUNT)[::-1].copy(),
        "all equal": np.zeros(COUNT, dtype=np.int64),
        "two values": rng.integers(0, 2, COUNT),
        "mostly equal": np.where(rng.random(COUNT) < 0.9, 5, rng.integers(0, 10, COUNT)),
        "trap": trap,
    }


@pytest.mark.parametrize("name", list(spreads()))
def test_however_lines_are_spread_they_come_in_order_and_those_that_are_equal_as_they_were(name):
    lines = spreads()[name]
    pieces = list(in_order(lines, np.arange(COUNT)))
    assert (np.concatenate(pieces) == np.argsort(lines, kind="stable")).all()


@pytest.mark.parametrize("name", ["random", "ascending", "descending", "two values", "mostly equal"])
def test_no_more_than_a_step_is_sorted_between_two_moments_to_give_way(name, monkeypatch):
    lines, sorted_rows = spreads()[name], []
    argsort = np.argsort

    def noted(values: np.ndarray, **options: object) -> np.ndarray:
        if values.dtype == np.int64:  # the buckets are small numbers, sorted in linear time
            sorted_rows.append(len(values))
        return argsort(values, **options)

    monkeypatch.setattr(np, "argsort", noted)
    for _ in in_order(lines, np.arange(COUNT)):
        assert sum(sorted_rows) <= MOST_AT_ONCE
        sorted_rows.clear()


def test_between_two_moments_to_give_way_no_more_than_a_step_of_rows_is_entered_or_computed(monkeypatch):
    done = {"entered": 0, "computed": 0}
    enter, find_lines = Filling._enter, Filling._find_lines

    def counted_enter(self, group, whole, lines_e6, picked):
        done["entered"] += len(picked)
        enter(self, group, whole, lines_e6, picked)

    def counted_lines(self, group, rows, lines_e6):
        done["computed"] += len(rows)
        find_lines(self, group, rows, lines_e6)

    monkeypatch.setattr(Filling, "_enter", counted_enter)
    monkeypatch.setattr(Filling, "_find_lines", counted_lines)
    addresses, accounts = accounts_of_one_group(COUNT)
    book = Book(SYMBOLS, 1300)
    load = SnapshotLoad(book, 1)
    for start in range(0, COUNT, SLICE):
        load.take(addresses[start : start + SLICE], accounts[start : start + SLICE])
    total = 0
    for _ in load.finish():
        assert max(done.values()) <= MOST_AT_ONCE
        total += done["entered"]
        done.update(entered=0, computed=0)
    assert total + done["entered"] == len(book) == COUNT


def test_the_same_addresses_over_many_steps_and_groups_are_in_the_book_once_and_are_all_found():
    addresses, accounts = accounts_of_one_group(3 * STEP_ROWS)
    shorts = [
        data[: 44 + 7 + 34] + b"\0" + data[44 + 7 + 34 + 1 :]  # is_long
        for data in accounts[: STEP_ROWS // 4]
    ]
    book = Book(SYMBOLS, 1300)
    load = SnapshotLoad(book, 1)
    twice = [*addresses, *addresses[::3], *addresses[: len(shorts)]]
    data = [*accounts, *accounts[1::3], *shorts]
    for start in range(0, len(twice), SLICE):
        load.take(twice[start : start + SLICE], data[start : start + SLICE])
    for _ in load.finish():
        pass
    assert len(book) == len(addresses)
    assert len(set(book.addresses())) == len(addresses)
    assert all(book.get(Pubkey.from_bytes(address)) is not None for address in addresses)
    for number, address in enumerate(addresses[::5]):
        book.remove(Pubkey.from_bytes(address), 2)
        assert Pubkey.from_bytes(address) not in book, number
    assert len(book) == len(addresses) - len(addresses[::5])
