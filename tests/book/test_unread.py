"""An account that calls itself a position and was never readable is unknown until it is readable or gone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import engine.book.unread as unread_module
from engine.book.book import Book
from engine.book.holdings import Holdings
from engine.protocol.accounts import encode_position
from engine.protocol.addresses import PROGRAM_ID, SYSTEM_PROGRAM

sys.path.insert(0, str(Path(__file__).parent))
from populations import SYMBOLS, random_positions

POSITIONS = [replace(each, slot=5) for each in random_positions(41, 20)]
KEYS = [bytes(each.address) for each in POSITIONS]
GOOD = [encode_position(each) for each in POSITIONS]
BROKEN = [GOOD[0][:70], GOOD[1] + b"\0", *GOOD[2:]]


def snapshot(holdings: Holdings, accounts: Sequence[bytes], slot: int, without: int = 0) -> None:
    load = holdings.begin_snapshot(slot)
    holdings.take(load, KEYS[without:], list(accounts)[without:])
    for _ in holdings.finish(load):
        pass


def news(holdings: Holdings, accounts: Sequence[bytes], slot: int, *, in_a_batch: bool) -> None:
    updates = [
        (position.address, data, PROGRAM_ID if data else SYSTEM_PROGRAM, slot)
        for position, data in zip(POSITIONS, accounts, strict=True)
    ]
    if in_a_batch:
        holdings.apply_many(updates)
    else:
        for update in updates:
            holdings.apply(*update)


@pytest.fixture(params=["first snapshot", "later snapshot", "batch", "one by one"])
def holdings(request) -> Holdings:
    holdings = Holdings(Book(SYMBOLS, 1300), PROGRAM_ID)
    if request.param == "later snapshot":
        snapshot(holdings, GOOD, 4, without=2)
    if "snapshot" in request.param:
        snapshot(holdings, BROKEN, 5)
    else:
        news(holdings, BROKEN, 5, in_a_batch=request.param == "batch")
    return holdings


def test_it_is_counted_once_by_its_reason_and_is_nobody_in_the_book(holdings):
    for slot in (6, 7):
        snapshot(holdings, BROKEN, slot)
    assert dict(holdings.unread.reasons) == {"truncated": 1, "wrong length": 1}
    assert len(holdings.book) == 18


@pytest.mark.parametrize("how", ["snapshot", "batch", "one by one"])
def test_it_is_a_position_as_soon_as_it_can_be_read(holdings, how):
    if how == "snapshot":
        snapshot(holdings, GOOD, 8)
    else:
        news(holdings, GOOD, 8, in_a_batch=how == "batch")
    assert (len(holdings.unread), len(holdings.book)) == (0, 20)
    assert not holdings.unread.reasons


def test_it_is_gone_when_it_is_closed_or_missing_in_a_snapshot(holdings):
    news(holdings, [b"", *BROKEN[1:]], 8, in_a_batch=True)
    assert dict(holdings.unread.reasons) == {"wrong length": 1}
    snapshot(holdings, BROKEN, 9, without=2)
    assert len(holdings.unread) == 0


def test_one_that_was_held_is_unknown_in_the_book_and_not_counted_twice():
    holdings = Holdings(Book(SYMBOLS, 1300), PROGRAM_ID)
    snapshot(holdings, GOOD, 4)
    snapshot(holdings, BROKEN, 5)
    assert (len(holdings.unread), len(holdings.book)) == (0, 20)
    assert holdings.book.unknowns.reasons == {"truncated": 1, "wrong length": 1}


def test_what_is_no_position_at_all_is_not_an_unknown_one():
    holdings = Holdings(Book(SYMBOLS, 1300), PROGRAM_ID)
    news(holdings, [b"\x01" * 72, *GOOD[1:]], 5, in_a_batch=False)
    assert holdings.skipped == {"foreign discriminator": 1}
    assert len(holdings.unread) == 0


def test_no_more_are_kept_than_fit(monkeypatch):
    monkeypatch.setattr(unread_module, "MOST_UNREAD", 5)
    holdings = Holdings(Book(SYMBOLS, 1300), PROGRAM_ID)
    news(holdings, [data[:70] for data in GOOD], 5, in_a_batch=True)
    assert (len(holdings.unread), dict(holdings.unread.reasons)) == (5, {"truncated": 5})
