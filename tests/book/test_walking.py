"""Going over the book piece by piece, noticing who left, and counting why positions are unknown."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

import engine.book.book as book_module
from engine.book.book import Book
from engine.book.holdings import Holdings
from engine.book.unknown import NO_FEED, NO_MAINTENANCE
from engine.protocol.accounts import encode_position
from engine.protocol.addresses import PROGRAM_ID

sys.path.insert(0, str(Path(__file__).parent))
from populations import SYMBOLS, random_position, random_positions


@pytest.mark.parametrize("limit", [1, 7, 511, 512, 513, 100_000])
def test_piece_by_piece_the_whole_book_is_seen_once(limit):
    positions = random_positions(3, 3_000)
    book = Book(SYMBOLS, 1300)
    for position in positions:
        book.apply(position)
    for position in positions[:1_000]:
        book.remove(position.address, 2)
    seen, place, pieces = [], 0, 0
    while True:
        found, place = book.addresses_from(place, limit)
        assert len(found) <= limit
        seen += found
        pieces += 1
        if place == 0:
            break
    assert len(seen) == len(set(seen))
    assert set(seen) == {each.address for each in positions[1_000:]}
    assert pieces >= len(seen) // limit


def test_whoever_leaves_is_noted_once_and_no_more_than_fit(monkeypatch):
    monkeypatch.setattr(book_module, "CLOSED_MEMORY", 5)
    book = Book(SYMBOLS, 1300)
    positions = random_positions(4, 8)
    for position in positions:
        book.apply(position)
        book.remove(position.address, 2)
        book.remove(position.address, 3)
    assert list(book.departed) == [bytes(each.address) for each in positions[-5:]]


def test_the_unknown_are_counted_by_reason_whatever_comes_and_goes():
    rng = Random(6)
    holdings = Holdings(Book(SYMBOLS, 1300), PROGRAM_ID)
    held = {}
    for slot in range(1, 4_000):
        if held and rng.random() < 0.5:
            position = replace(held[rng.choice(tuple(held))], slot=slot)
        else:
            position = random_position(rng, slot)
        position = replace(
            position,
            symbol=rng.choice((*SYMBOLS, "DOGE/USD")),
            leverage=rng.choice((10, 10, 0, 1001)),
            size_e6=rng.choice((10**6, 10**6, 10**6, 0)),
        )
        data = encode_position(position)
        readable = rng.random() < 0.8
        holdings.apply(position.address, data if readable else data[:60], PROGRAM_ID, slot)
        if readable:
            held[position.address] = position
            if position.size_e6 == 0:
                del held[position.address]
    assert len(holdings.book) == len(held)
    recounted = Counter(holdings.book.unknown_reason(address) for address in held)
    del recounted[None]
    assert holdings.book.unknowns.reasons == recounted
    assert len(holdings.book.unknowns) == recounted.total()
    assert set(recounted) == {NO_FEED, NO_MAINTENANCE, "truncated"}
