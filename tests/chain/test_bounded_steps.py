"""Reading everything again into a book that is full: between two turns of the loop no more than a slice."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from aiohttp import web
from solders.pubkey import Pubkey

import engine.book.load as load_module
from engine.book.book import Book
from engine.book.holdings import Holdings
from engine.book.leaf import LEAF_ROWS
from engine.chain.json_array import SLICE_BYTES
from engine.chain.snapshot import read_positions
from engine.domain import Generation, Position, Side
from engine.protocol.accounts import encode_position
from engine.protocol.addresses import PROGRAM_ID

COUNT = 12_000
ENTRY_BYTES = 300  # none is shorter


def positions(slot: int) -> list[Position]:
    rng = Random(5)
    return [
        Position(
            address=Pubkey.from_bytes(rng.randbytes(32)),
            owner=Pubkey.default(),
            symbol=f"S{rng.randrange(20):02d}/USD",
            side=rng.choice(tuple(Side)),
            size_e6=rng.randrange(1, 10**9),
            collateral_e6=rng.randrange(10**9),
            entry_price_e6=100 * 10**6,
            leverage=10,
            maintenance_margin_e6=0,
            is_liquidated=False,
            created_at_s=0,
            generation=Generation.DOCUMENTED,
            slot=slot,
        )
        for _ in range(COUNT)
    ]


def answer(told: list[Position]) -> str:
    entries = (
        f'{{"pubkey":"{each.address}","account":{{"lamports":1,"data":'
        f'["{base64.b64encode(encode_position(each)).decode()}","base64"],"owner":"{PROGRAM_ID}",'
        f'"executable":false,"rentEpoch":18446744073709551615,"space":120}}}}'
        for each in told
    )
    return f'{{"jsonrpc":"2.0","result":[{",".join(entries)}],"id":1}}'


class Turns:
    """Counts the turns of the loop, and what was done in each."""

    def __init__(self) -> None:
        self.number = 0
        self.rows: Counter[int] = Counter()
        self.removed: Counter[int] = Counter()

    async def run(self) -> None:
        while True:
            self.number += 1
            await asyncio.sleep(0)


async def read_into(holdings: Holdings, told: list[Position], slot: int) -> None:
    async def serve(_request: web.Request) -> web.Response:
        return web.Response(text=answer(told), content_type="application/json")

    app = web.Application()
    app.router.add_post("/", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        load = holdings.begin_snapshot(slot)
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        async for addresses, accounts in read_positions(url, PROGRAM_ID, slot):
            holdings.take(load, addresses, accounts)
            await asyncio.sleep(0)
        for _ in holdings.finish(load):
            await asyncio.sleep(0)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("share_gone", [0.0, 0.5])
async def test_a_full_book_is_read_again_in_slices_however_much_changed_or_went(monkeypatch, share_gone):
    before = positions(1)
    holdings = Holdings(Book([f"S{number:02d}/USD" for number in range(20)], 1300), PROGRAM_ID)
    await read_into(holdings, before, 1)
    assert len(holdings.book) == COUNT

    turns = Turns()
    apply_many, remove = load_module.apply_many, Book.remove

    def counted_apply(book: Any, addresses: Any, columns: Any, *rest: Any) -> Any:
        turns.rows[turns.number] += len(addresses)
        return apply_many(book, addresses, columns, *rest)

    def counted_remove(book: Book, address: Pubkey, slot: int) -> None:
        turns.removed[turns.number] += 1
        remove(book, address, slot)

    monkeypatch.setattr(load_module, "apply_many", counted_apply)
    monkeypatch.setattr(Book, "remove", counted_remove)
    left = before[round(share_gone * COUNT) :]
    after = [replace(each, collateral_e6=each.collateral_e6 + 1, slot=2) for each in left]
    counting = asyncio.ensure_future(turns.run())
    try:
        await read_into(holdings, after, 2)
    finally:
        counting.cancel()
    assert sum(turns.rows.values()) == len(after)
    assert sum(turns.removed.values()) == COUNT - len(after)
    assert max(turns.rows.values()) <= 2 * SLICE_BYTES // ENTRY_BYTES
    assert max(turns.removed.values(), default=0) <= LEAF_ROWS
    assert holdings.book.get(after[7].address) == after[7]
