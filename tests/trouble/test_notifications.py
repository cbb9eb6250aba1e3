"""Trouble with notifications as a subscribed client sees it, and that it ends when told."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from engine.sandbox.settings_arguments import parse_settings
from engine.sandbox.trouble import Trouble


async def slots(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[int]:
    """The slots of the next notifications."""
    return [(await socket.receive_json(timeout=5))["params"]["result"]["slot"] for _ in range(count)]


async def nothing_comes(socket: aiohttp.ClientWebSocketResponse, seconds: float = 0.3) -> None:
    with pytest.raises(TimeoutError):
        await socket.receive(timeout=seconds)


async def test_a_silent_node_notifies_nobody_keeps_connections_and_speaks_again_when_told(rig: Any) -> None:
    async with rig.subscribed("slotSubscribe") as socket:
        begun = rig.ledger.slot
        rig.advance()
        assert await slots(socket, 1) == [begun + 1]
        await rig.trouble({"websocket": {"silent": True}})
        rig.advance(3)
        await nothing_comes(socket)
    async with rig.subscribed("slotSubscribe") as socket:
        rig.advance()
        await nothing_comes(socket, 0.1)
        await rig.trouble(None)
        rig.advance()
        assert await slots(socket, 1) == [begun + 6]
    assert await rig.counter("websocket_silenced") == 4


async def test_silence_by_settings_can_be_of_one_kind_alone(rig: Any) -> None:
    rig.desk.begin(
        parse_settings("--trouble", ["websocket.silent=true", 'websocket.kinds=["account"]'], Trouble)
    )
    account = str(rig.payer.pubkey())
    async with (
        rig.subscribed("accountSubscribe", account, {"commitment": "processed"}) as payer,
        rig.subscribed("slotSubscribe") as clock,
    ):
        await rig.send(rig.payment(rig.payer.pubkey(), 1))
        rig.advance()
        assert await slots(clock, 1) == [rig.ledger.slot]
        await nothing_comes(payer)


async def test_dropped_notifications_never_come_and_the_rest_is_in_order(rig: Any) -> None:
    await rig.trouble({"websocket": {"drop_share": 0.5}})
    async with rig.subscribed("slotSubscribe") as socket:
        begun = rig.ledger.slot
        rig.advance(100)
        dropped = await rig.counter("websocket_dropped")
        assert 30 <= dropped <= 70
        told = await slots(socket, 100 - dropped)
        assert told == sorted(set(told)) and set(told) < set(range(begun + 1, begun + 101))
        await rig.trouble(None)
        rig.advance(20)
        assert await slots(socket, 20) == list(range(begun + 101, begun + 121))


async def test_repeated_notifications_come_twice(rig: Any) -> None:
    await rig.trouble({"websocket": {"repeat_share": 1}})
    async with rig.subscribed("slotSubscribe") as socket:
        begun = rig.ledger.slot
        rig.advance(2)
        assert await slots(socket, 4) == [begun + 1, begun + 1, begun + 2, begun + 2]


async def test_reordered_notifications_come_after_their_successor(rig: Any) -> None:
    await rig.trouble({"websocket": {"reorder_share": 1}})
    async with rig.subscribed("slotSubscribe") as socket:
        begun = rig.ledger.slot
        rig.advance(4)
        assert await slots(socket, 4) == [begun + 2, begun + 1, begun + 4, begun + 3]


async def test_a_notification_that_nothing_overtakes_comes_by_itself(rig: Any) -> None:
    await rig.trouble({"websocket": {"reorder_share": 1}})
    async with rig.subscribed("slotSubscribe") as socket:
        rig.advance()
        assert await slots(socket, 1) == [rig.ledger.slot]


async def test_delayed_notifications_come_late_and_in_order(rig: Any) -> None:
    await rig.trouble({"websocket": {"latency": {"kind": "uniform", "low_ms": 100, "high_ms": 300}}})
    loop = asyncio.get_running_loop()
    async with rig.subscribed("slotSubscribe") as socket:
        begun, begun_s = rig.ledger.slot, loop.time()
        rig.advance(20)
        assert await slots(socket, 1) == [begun + 1]
        assert loop.time() - begun_s >= 0.099
        assert await slots(socket, 19) == list(range(begun + 2, begun + 21))
        assert loop.time() - begun_s >= 0.2
        await rig.trouble(None)
        rig.advance()
        assert await slots(socket, 1) == [begun + 21]


async def test_a_connection_is_closed_without_a_goodbye_by_chance_or_by_age(rig: Any) -> None:
    for trouble in ({"close_share": 1}, {"close_after_s": 0.000001}):
        async with rig.subscribed("slotSubscribe") as socket:
            await rig.trouble({"websocket": trouble})
            rig.advance()
            message = await socket.receive(timeout=5)
            assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            assert socket.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE
        await rig.trouble(None)
    async with rig.subscribed("slotSubscribe") as socket:
        rig.advance()
        assert await slots(socket, 1) == [rig.ledger.slot]
    assert await rig.counter("websocket_closed") == 2


async def test_what_waits_for_a_late_client_is_bounded(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.sandbox.trouble.notifications.MOST_HELD", 10)
    await rig.trouble({"websocket": {"latency": {"kind": "fixed", "ms": 60_000}}})
    async with rig.subscribed("slotSubscribe") as socket:
        rig.advance(11)
        message = await socket.receive(timeout=5)
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
