"""What is shown of refused fund accounts and of the loop; what is newer stays; memory is settled."""

from __future__ import annotations

import asyncio
import gc
import threading
from dataclasses import replace

import msgspec
from solders.pubkey import Pubkey

from engine import memory
from engine.api import wire
from engine.book import holdings as doors
from engine.chain.frames import AccountNews
from engine.cli.status import status_lines
from engine.memory import leave_alone, settle, settle_beside
from engine.protocol.accounts import encode_position
from engine.protocol.addresses import PROGRAM_ID, SYSTEM_PROGRAM
from engine.runtime import _settle_memory
from engine.telemetry.loop_lag import BOUNDS_US


async def test_what_is_refused_of_the_funds_account_is_counted_in_the_picture_and_in_status(rig):
    fund = rig.parts.fund.address
    for data, owner in ((b"x" * 72, PROGRAM_ID), (b"x" * 72, PROGRAM_ID), (b"", SYSTEM_PROGRAM)):
        rig.parts.ingest.on_accounts([AccountNews(fund, data, owner, rig.ledger.slot, 1)])
    snapshot = rig.parts.snapshots.take()
    assert snapshot.fund_refused == {"foreign discriminator": 2, "foreign owner": 1}
    assert "fund        account refused 2 times: foreign discriminator" in list(status_lines(snapshot))
    told = msgspec.json.decode(msgspec.json.encode(snapshot), type=wire.Snapshot)
    assert told.fund_refused == snapshot.fund_refused


async def test_the_loops_lag_is_told_as_a_histogram(rig):
    for lag_us in (100, 300, 20_000, 2_000_000):
        rig.parts.loop_lag.observe_ns(lag_us * 1_000)
    lag = msgspec.to_builtins(rig.parts.snapshots.take())["loop_lag"]
    assert lag["upper_us"] == list(BOUNDS_US)
    told = {index: count for index, count in enumerate(lag["counts"]) if count}
    assert told == {0: 1, 1: 1, 7: 1, len(BOUNDS_US): 1}
    assert (lag["count"], lag["sum_us"], lag["longest_us"]) == (4, 2_020_400, 2_000_000)


async def test_of_two_feeds_the_first_to_tell_wins_and_what_is_older_never_overwrites(rig):
    position = rig.open()
    slot = rig.ledger.slot

    def tell(collateral_usd: int, at_slot: int) -> None:
        data = encode_position(replace(position, collateral_e6=collateral_usd * 10**6))
        rig.parts.ingest.on_accounts([AccountNews(position.address, data, PROGRAM_ID, at_slot, 1)])

    def held() -> int:
        return rig.parts.holdings.book.get(position.address).collateral_e6 // 10**6

    tell(4_000, slot + 2)
    assert held() == 4_000
    tell(4_000, slot + 2)  # the other feed says the same
    tell(3_500, slot + 1)  # and is late with what was before
    assert held() == 4_000
    rig.parts.ingest.on_accounts([AccountNews(position.address, b"", SYSTEM_PROGRAM, slot + 1, 0)])
    assert held() == 4_000
    tell(5_000, slot + 3)
    assert held() == 5_000


async def test_a_late_feed_does_not_bring_back_a_balance_of_the_wallet_that_is_spent(rig):
    wallet, slot = rig.parts.wallet, rig.ledger.slot
    for lamports, at_slot in ((5, slot + 2), (9, slot + 1), (5, slot + 2)):
        told = AccountNews(wallet.address, b"", SYSTEM_PROGRAM, at_slot, lamports)
        rig.parts.ingest.on_accounts([told])
        assert wallet.balance_lamports == 5
    rig.parts.ingest.on_accounts([AccountNews(wallet.address, b"", SYSTEM_PROGRAM, slot + 3, 4)])
    assert wallet.balance_lamports == 4


async def test_within_a_batch_the_newest_by_slot_counts_and_the_risk_figures_learn_of_it(rig):
    positions = [rig.open() for _ in range(12)]
    slot = rig.ledger.slot
    flank = rig.parts.holdings.book.shelves.flanks("BTC/USD")[0]
    version = flank.version

    def told(index: int, collateral_usd: int, at_slot: int) -> AccountNews:
        position = positions[index]
        data = encode_position(replace(position, collateral_e6=collateral_usd * 10**6))
        return AccountNews(position.address, data, PROGRAM_ID, at_slot, 1)

    news = [told(index, 3_100, slot + 1) for index in range(12)]
    rig.parts.ingest.on_accounts([told(0, 3_300, slot + 3), *news, told(1, 3_200, slot + 2)])
    book = rig.parts.holdings.book
    held = [book.get(each.address).collateral_e6 // 10**6 for each in positions]
    assert held == [3_300, 3_200, *[3_100] * 10]
    assert flank.version > version


async def test_more_news_than_may_wait_for_the_first_snapshot_bring_another_one(bare, monkeypatch):
    monkeypatch.setattr(doors, "MAX_DEFERRED", 3)
    position = bare.open()
    bare.boot()
    loading = asyncio.Event()
    go_on = asyncio.Event()
    slices = bare.chain.position_slices

    async def slowly(program_id, min_slot):
        async for part in slices(program_id, min_slot):
            loading.set()
            await go_on.wait()
            yield part

    bare.chain.position_slices = slowly
    await bare.start(wait=False)
    await loading.wait()
    for _ in range(5):
        bare.parts.ingest.on_accounts(
            [AccountNews(Pubkey.new_unique(), b"junk", PROGRAM_ID, bare.ledger.slot, 1)]
        )
    assert bare.parts.holdings.lost_news
    go_on.set()
    await bare.until(lambda: bare.chain.asked.count("positions") == 2)
    await bare.tick(10)
    assert bare.chain.asked.count("positions") == 2  # once is enough
    assert position.address in bare.parts.holdings.book
    assert any("snapshot is taken again" in each.text for each in bare.parts.events.latest(50))


async def test_memory_is_settled_once_the_first_snapshot_is_in_the_book(rig):
    gc.unfreeze()
    try:
        await _settle_memory(rig.parts)
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()


def test_what_lives_before_a_load_is_settled_is_not_looked_at_by_the_collector_again():
    kept = [[number] for number in range(1_000)]
    gc.unfreeze()
    try:
        settle()
        assert not any(each is kept for each in gc.get_objects())
        fresh: list[object] = []
        assert any(each is fresh for each in gc.get_objects())
    finally:
        gc.unfreeze()


async def test_freed_buffers_are_given_back_while_the_event_loop_goes_on(monkeypatch):
    begun, may_end = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slowly() -> None:
        loop.call_soon_threadsafe(begun.set)
        assert may_end.wait(30), "the loop does not go on"

    monkeypatch.setattr(memory, "give_back", slowly)
    try:
        settling = asyncio.ensure_future(settle_beside())
        await begun.wait()
        may_end.set()
        await settling
    finally:
        gc.unfreeze()


def test_what_a_program_is_made_of_is_collected_before_a_load_and_not_once_more_after_it():
    gc.unfreeze()
    try:
        leave_alone()
        before = gc.get_freeze_count()
        assert len(gc.get_objects()) < before // 10  # so little is left to be looked at
        kept = [[number] for number in range(1_000)]
        settle()
        assert gc.get_freeze_count() >= before + len(kept)
    finally:
        gc.unfreeze()
