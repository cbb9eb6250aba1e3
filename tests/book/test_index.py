"""The index: it grows little by little, and whoever was entered is found all the while."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import numpy as np

from engine.book.book import Book

sys.path.insert(0, str(Path(__file__).parent))
from populations import SYMBOLS, random_position, random_positions

MOST_FINDS = 1_000  # rows looked at for one that comes or goes; replacing a table at once would look at all


def all_found(book, positions):
    index = book.shelves.index
    addresses = [bytes(each.address) for each in positions]
    keys = np.frombuffer(b"".join(addresses), dtype="V32")
    places = index.get_many(addresses, keys)
    assert places.tolist() == [index.get(address) for address in addresses]
    assert len(set(places.tolist())) == len(addresses) == len(index)
    memory = book.shelves.memory
    for address, place in zip(addresses, places.tolist(), strict=True):
        leaf, row = memory.find(place)
        assert leaf.address(row) == address


def test_growing_through_several_tables_everybody_is_found_and_nobody_pays_for_it(monkeypatch):
    rng, book = Random(7), Book(SYMBOLS, 1300)
    index, memory = book.shelves.index, book.shelves.memory
    finds, tables, held = [0], set(), {}
    find = memory.find

    def counted(place):
        finds[0] += 1
        return find(place)

    monkeypatch.setattr(memory, "find", counted)
    growing_checked = 0
    for number, position in enumerate(random_positions(5, 16_000)):
        finds[0] = 0
        book.apply(position)
        assert finds[0] <= MOST_FINDS
        held[position.address] = position
        tables.add(len(index._table))
        if number % 10 == 0:
            gone = next(iter(held))
            del held[gone]
            finds[0] = 0
            book.remove(gone, 2)
            assert finds[0] <= MOST_FINDS
            assert gone not in book
        if index._old is not None and rng.random() < 0.004:
            growing_checked += 1
            all_found(book, held.values())
    assert len(tables) >= 5
    assert growing_checked >= 3
    all_found(book, held.values())


def test_a_book_whose_positions_come_and_go_for_long_keeps_a_table_of_their_number():
    rng, book, held = Random(9), Book(SYMBOLS, 1300), []
    for slot in range(1, 15_001):
        position = random_position(rng, slot)
        book.apply(position)
        held.append(position)
        if len(held) > 300:
            book.remove(held.pop(0).address, slot)
    all_found(book, held)
    assert len(book.shelves.index._table) == 1024
