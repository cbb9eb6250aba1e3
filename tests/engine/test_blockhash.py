"""The blockhash that is signed with: there before it is needed, young in blocks as well as in seconds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.chain.blockhash import LEAST_BLOCKS_LEFT, MAX_AGE_S, BlockhashCache, NoFreshBlockhash
from engine.chain.endpoint import VALID_BLOCKS
from engine.chain.port import RpcFailure
from engine.journal.records import OutboxKind


async def test_nothing_is_asked_for_between_detection_and_signature(rig):
    asked = rig.chain.asked.count("latest_blockhash")
    rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.settle()
    assert len(rig.wire.sent) == 1
    assert rig.chain.asked.count("latest_blockhash") == asked


async def test_one_that_has_lived_half_of_its_blocks_is_signed_with_no_more_however_young_it_is(rig):
    cache = rig.parts.blockhashes
    told = cache.current()
    rig.chain.block_tip = lambda: cache._told_height - LEAST_BLOCKS_LEFT
    assert cache.current() == told
    rig.chain.block_tip = lambda: cache._told_height - LEAST_BLOCKS_LEFT + 1
    with pytest.raises(NoFreshBlockhash, match="too few blocks"):
        cache.current()
    rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.settle()
    assert rig.recorded(OutboxKind.INTENT) == []


async def test_one_that_no_node_has_renewed_for_too_long_is_signed_with_no_more(rig):
    cache = rig.parts.blockhashes
    await cache.refresh()
    rig.chain.faults.failing["latest_blockhash"] = RpcFailure("node error: busy")
    await rig.clock.advance(MAX_AGE_S)
    cache.current()
    await rig.clock.advance(0.1)
    with pytest.raises(NoFreshBlockhash):
        cache.current()


async def test_a_node_that_is_a_little_behind_does_not_take_a_newer_one_back(rig):
    cache = rig.parts.blockhashes
    newest, newest_told = cache.current(), cache._told_height
    tell = rig.chain.latest_blockhash

    async def tell_older():
        told = await tell()
        return replace(told, last_valid_block_height=newest_told - 3)

    rig.chain.latest_blockhash = tell_older
    await cache.refresh()
    assert cache.current() == newest
    await rig.clock.advance(MAX_AGE_S + 0.1)  # whoever told the newer one is gone for good
    await cache.refresh()
    assert cache._told_height == newest_told - 3


async def test_a_node_that_tells_too_low_a_height_does_not_end_a_transaction_early(rig):
    tell = rig.chain.latest_blockhash

    async def tell_too_low():
        return replace(await tell(), last_valid_block_height=rig.chain.block_tip() + LEAST_BLOCKS_LEFT)

    rig.chain.latest_blockhash = tell_too_low
    cache = BlockhashCache(rig.chain, rig.clock)
    await cache.refresh()
    assert cache.current().last_valid_block_height == rig.chain.block_tip() + VALID_BLOCKS
