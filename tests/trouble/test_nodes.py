"""Nodes that stand still or answer from an old slot, and several nodes that do not fail alike."""

from __future__ import annotations

from typing import Any

import pytest
from solders.keypair import Keypair

from engine.sandbox.settings_arguments import parse_settings
from engine.sandbox.trouble import Trouble


async def test_a_node_that_stands_still_sees_no_further_slot_until_it_is_told(rig: Any) -> None:
    to = Keypair().pubkey()
    async with rig.subscribed("slotSubscribe") as clock:
        stood = await rig.slot()
        await rig.trouble({"node": {"stands_still": True}})
        rig.advance()  # the slot in which it stopped is whole
        payment = rig.payment(to, 10**9)
        await rig.send(payment)
        rig.advance(9)
        assert await rig.slot() == stood
        assert await rig.balance(to) == 0
        assert await rig.status(payment) is None
        with pytest.raises(TimeoutError):
            await clock.receive(timeout=0.2)
    await rig.trouble(None)
    assert await rig.slot() == stood + 10
    assert await rig.balance(to) == 10**9


async def test_a_lagging_node_answers_from_an_old_slot_by_settings(rig: Any) -> None:
    to = Keypair().pubkey()
    rig.desk.begin(parse_settings("--trouble", ["node.lag_slots=20"], Trouble))
    rig.advance(30)
    assert await rig.slot() == rig.ledger.slot - 20
    await rig.send(rig.payment(to, 10**9))
    rig.advance(19)
    assert await rig.balance(to) == 0
    rig.advance(1)
    assert await rig.balance(to) == 10**9


async def test_nodes_have_troubles_of_their_own_and_share_those_of_the_cluster(rig: Any) -> None:
    second = await rig.add_node()
    answer = await rig.trouble(
        {"http": {"error_share": 1}, "node": {"lag_slots": 5}, "landing": {"lost_share": 1}}, second.rpc_url
    )
    assert answer["node"] == 1
    rig.advance(10)
    assert (await rig.response("getSlot", url=second.rpc_url))[0] == 503
    await rig.trouble({"http": {"error_share": 0}}, second.rpc_url)
    assert await rig.slot(url=second.rpc_url) == rig.ledger.slot - 5
    assert await rig.slot() == rig.ledger.slot
    first = (await rig.result("sandboxTrouble"))["settings"]
    assert first["landing"]["lost_share"] == 1
    assert (first["http"]["error_share"], first["node"]["lag_slots"]) == (0, 0)
    lost = rig.payment(Keypair().pubkey(), 10**9)
    await rig.send(lost)
    rig.advance(2)
    assert await rig.status(lost) is None


async def test_two_nodes_under_the_same_settings_do_not_fail_at_the_same_calls(rig: Any) -> None:
    second = await rig.add_node()
    rig.desk.begin(parse_settings("--trouble", ["http.error_share=0.5"], Trouble))

    async def statuses(url: str) -> list[int]:
        return [(await rig.response("getHealth", url=url))[0] for _ in range(60)]

    assert await statuses(rig.server.rpc_url) != await statuses(second.rpc_url)


async def test_a_node_that_is_far_behind_says_that_it_is_not_healthy(rig: Any) -> None:
    await rig.trouble({"node": {"lag_slots": 200}})
    rig.advance(201)
    _, _, body = await rig.response("getHealth")
    assert body["error"]["code"] == -32005
    assert body["error"]["data"] == {"numSlotsBehind": 200}
    await rig.trouble(None)
    assert await rig.result("getHealth") == "ok"
