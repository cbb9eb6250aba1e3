"""Trouble with blocks: what was confirmed disappears, and what it had changed with it."""

from __future__ import annotations

from typing import Any

import pytest
from solders.keypair import Keypair

from engine.sandbox.settings_arguments import parse_settings
from engine.sandbox.trouble import Trouble


async def test_a_confirmed_transaction_disappears_and_its_account_changes_with_it(rig: Any) -> None:
    to = Keypair().pubkey()
    async with rig.subscribed(
        "accountSubscribe", str(to), {"commitment": "processed", "encoding": "base64"}
    ) as account:
        payment = rig.payment(to, 10**9)
        signature = await rig.send(payment)
        rig.advance(2)
        assert (await rig.status(payment))["confirmationStatus"] == "confirmed"
        assert await rig.balance(to, "confirmed") == 10**9
        told = (await account.receive_json(timeout=5))["params"]["result"]
        assert told["value"]["lamports"] == 10**9

        answer = await rig.trouble({"forks": {"once": True, "depth_slots": 3, "returning_share": 0}})
        assert answer["settings"]["forks"]["once"] is False
        assert answer["counters"]["forks"] == 1
        assert answer["counters"]["forks_transactions_abandoned"] == 1
        assert await rig.status(payment) is None
        assert await rig.result("getTransaction", signature, {"commitment": "confirmed"}) is None
        assert await rig.balance(to) == 0
        told = (await account.receive_json(timeout=5))["params"]["result"]
        assert told["value"]["lamports"] == 0
    rig.advance(40)
    assert await rig.status(payment) is None


async def test_a_returning_transaction_lands_again_in_a_later_block(rig: Any) -> None:
    to = Keypair().pubkey()
    rig.advance(3)
    blockhash_kept = rig.payment(to, 10**9)
    rig.advance(3)
    await rig.send(blockhash_kept)
    rig.advance(2)
    first_slot = (await rig.status(blockhash_kept))["slot"]
    await rig.trouble({"forks": {"once": True, "depth_slots": 3}})
    rig.advance(1)
    again = await rig.status(blockhash_kept)
    assert again["slot"] > first_slot and again["err"] is None
    assert await rig.balance(to) == 10**9
    assert await rig.counter("forks_transactions_returned") == 1


async def test_what_is_finalized_stays(rig: Any) -> None:
    to = Keypair().pubkey()
    payment = rig.payment(to, 10**9)
    await rig.send(payment)
    rig.advance(40)
    assert (await rig.status(payment))["confirmationStatus"] == "finalized"
    await rig.trouble({"forks": {"once": True, "depth_slots": 30, "returning_share": 0}})
    assert (await rig.status(payment))["confirmationStatus"] == "finalized"
    assert await rig.balance(to) == 10**9


async def test_forks_come_at_their_interval_by_settings_and_end_when_told(rig: Any) -> None:
    arguments = ["forks.every_slots=10", "forks.depth_slots=2"]
    rig.desk.begin(parse_settings("--trouble", arguments, Trouble))
    rig.advance(35)
    assert await rig.counter("forks") == 3
    await rig.trouble(None)
    rig.advance(35)
    assert await rig.counter("forks") == 3


async def test_a_fork_leaves_slots_without_blocks_and_the_chain_goes_on(rig: Any) -> None:
    rig.advance(10)
    begun = await rig.slot()
    await rig.trouble({"forks": {"once": True, "depth_slots": 4}})
    assert await rig.slot() == begun + 1
    rig.advance(2)
    blocks = await rig.result("getBlocks", begun - 6, begun + 1, {"commitment": "confirmed"})
    assert blocks == [begun - 6, begun - 5, begun + 1]


async def test_skipped_slots_have_no_block_and_heights_fall_behind_slots(rig: Any) -> None:
    async def height() -> int:
        return int(await rig.result("getBlockHeight", {"commitment": "processed"}))

    slot, begun = await rig.slot(), await height()
    await rig.trouble({"forks": {"skip_share": 0.5}})
    rig.advance(100)
    skipped = await rig.counter("forks_slots_skipped")
    assert 30 <= skipped <= 70
    passed = await rig.slot() - slot
    assert passed == 100 + 2 * skipped
    assert await height() - begun == passed - skipped


@pytest.mark.parametrize("depth", [1, 30])
async def test_a_fork_right_after_the_start_is_as_deep_as_there_are_blocks(rig: Any, depth: int) -> None:
    await rig.trouble({"forks": {"once": True, "depth_slots": depth}})
    await rig.trouble({"forks": {"once": True, "depth_slots": depth}})
    rig.advance(3)
    assert await rig.counter("forks") == 2
    assert await rig.result("getHealth") == "ok"
