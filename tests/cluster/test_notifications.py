"""What a node's subscribers hear of slots and forks, and that they hear what their own node sees."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from solders.pubkey import Pubkey

from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.serving.server import serve_node

if TYPE_CHECKING:
    from conftest import Node, Town

SOL = 1_000_000_000
NewKey = Callable[[], Pubkey]


class Ear:
    """A raw WebSocket client: subscriptions by their kind, and what they tell in order."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._early: list[Any] = []

    async def subscribe(self, kind: str, *params: object) -> int:
        call = {"jsonrpc": "2.0", "id": 1, "method": f"{kind}Subscribe", "params": params}
        await self._socket.send_str(json.dumps(call))
        while True:
            message = await self._socket.receive_json(timeout=5)
            if "id" in message:
                subscription: int = message["result"]
                return subscription
            self._early.append(message)

    async def told(self, count: int) -> list[tuple[str, Any]]:
        """The next notifications: kind and result."""
        messages = []
        for _ in range(count):
            if self._early:
                messages.append(self._early.pop(0))
            else:
                messages.append(await self._socket.receive_json(timeout=5))
        return [
            (message["method"].removesuffix("Notification"), message["params"]["result"])
            for message in messages
        ]

    async def nothing(self) -> None:
        """Nothing waits: the answer to a ping is all that comes."""
        assert self._early == []
        call = {"jsonrpc": "2.0", "id": "ping", "method": "getVersion"}
        await self._socket.send_str(json.dumps(call))
        assert (await self._socket.receive_json(timeout=5)).get("id") == "ping"


@asynccontextmanager
async def ear(ws_url: str) -> AsyncIterator[Ear]:
    async with aiohttp.ClientSession() as http, http.ws_connect(ws_url) as socket:
        yield Ear(socket)


def data_of(result: Any) -> bytes:
    value = result["value"]
    return base64.b64decode(value.get("account", value)["data"][0])


async def test_the_life_of_a_slot_is_told_step_by_step(node: Node, key: NewKey) -> None:
    async with ear(node.server.ws_url) as heard:
        await heard.subscribe("slotsUpdates")
        node.town.land(node.town.pay(key(), SOL))
        node.town.land(node.town.pay(key(), 10**7 * SOL))
        slot = node.ledger.slot + 1
        node.town.advance()
        updates = [result for _, result in await heard.told(6)]
        assert all(update.pop("timestamp") > 1_600_000_000_000 for update in updates)
        assert updates == [
            {"type": "completed", "slot": slot - 1},
            {
                "type": "frozen",
                "slot": slot - 1,
                "stats": {
                    "numTransactionEntries": 2,
                    "numSuccessfulTransactions": 1,
                    "numFailedTransactions": 1,
                    "maxTransactionsPerEntry": 1,
                },
            },
            {"type": "firstShredReceived", "slot": slot},
            {"type": "createdBank", "slot": slot, "parent": slot - 1},
            {"type": "optimisticConfirmation", "slot": slot - 1},
            {"type": "root", "slot": slot - 31},
        ]


async def test_a_signature_is_told_as_received_before_it_is_told_as_processed(
    node: Node, key: NewKey
) -> None:
    transaction = node.town.sign(node.town.pay(key(), SOL))
    received = {"commitment": "confirmed", "enableReceivedNotification": True}
    async with ear(node.server.ws_url) as heard:
        await heard.subscribe("signature", str(transaction.signatures[0]), received)
        node.ledger.submit(bytes(transaction), skip_preflight=True)
        slot = node.ledger.slot
        node.town.advance()
        assert await heard.told(2) == [
            ("signature", {"context": {"slot": slot}, "value": "receivedSignature"}),
            ("signature", {"context": {"slot": slot}, "value": {"err": None}}),
        ]
        node.town.advance(40)
        await heard.nothing()


async def test_several_subscriptions_of_one_kind_each_tell_their_own(node: Node, key: NewKey) -> None:
    one, other = key(), key()
    config = {"encoding": "base64", "commitment": "processed"}
    async with ear(node.server.ws_url) as heard:
        ids = [await heard.subscribe("account", str(address), config) for address in (one, other, one)]
        assert len(set(ids)) == 3
        node.town.plant(other, SOL, b"other", one)
        node.town.plant(one, SOL, b"one", one)
        told = await heard.told(3)
        assert [data_of(result) for _, result in told] == [b"other", b"one", b"one"]


async def test_data_too_long_for_base58_is_told_in_a_nodes_words(node: Node, key: NewKey) -> None:
    address = key()
    async with ear(node.server.ws_url) as heard:
        for encoding in ("base58", "binary"):
            await heard.subscribe("account", str(address), {"encoding": encoding, "commitment": "processed"})
        node.town.plant(address, SOL, bytes(129), address)
        words = "error: data too large for bs58 encoding"
        told = [result["value"]["data"] for _, result in await heard.told(2)]
        assert told == [[words, "base58"], words]


async def test_a_fork_is_told_as_dead_slots_and_its_accounts_as_changes_of_the_next(
    node: Node, key: NewKey
) -> None:
    address = key()
    node.town.plant(address, SOL, b"before", address)
    node.town.advance(40)
    config = {"encoding": "base64", "commitment": "processed"}
    transaction = node.town.sign(node.town.pay(key(), SOL))
    signature = str(transaction.signatures[0])
    async with ear(node.server.ws_url) as heard:
        await heard.subscribe("account", str(address), config)
        await heard.subscribe("signature", signature, {"commitment": "processed"})
        node.town.plant(address, SOL, b"lost", address)
        node.ledger.submit(bytes(transaction), skip_preflight=True)
        lost = node.ledger.slot
        assert [kind for kind, _ in await heard.told(2)] == ["account", "signature"]
        node.town.advance()
        await heard.subscribe("slotsUpdates")
        await heard.subscribe("slot")
        node.ledger.abandon(lost)
        told = await heard.told(8)
        dead = [
            result["slot"] for kind, result in told if kind == "slotsUpdates" and result["type"] == "dead"
        ]
        assert dead == [lost, lost + 1]
        (slot,) = (result for kind, result in told if kind == "slot")
        assert (slot["slot"], slot["parent"]) == (lost + 2, lost - 1)
        (restored,) = (result for kind, result in told if kind == "account")
        assert (restored["context"]["slot"], data_of(restored)) == (lost + 2, b"before")
        # It lands again in the new fork; who has been told once is not told again.
        node.ledger.submit(bytes(transaction), skip_preflight=True)
        assert transaction.signatures[0] in node.ledger.history
        await heard.nothing()


class Laggard:
    """A second node over the town's ledger, and one that listens to it."""

    def __init__(self, town: Town, view: View, heard: Ear) -> None:
        self.town, self.view, self.heard = town, view, heard


@pytest.fixture
async def laggard(town: Town) -> AsyncIterator[Laggard]:
    town.advance(40)
    view = View(town.ledger)
    server = await serve_node(Leader(town.ledger), view=view)
    async with ear(server.ws_url) as heard:
        yield Laggard(town, view, heard)
    await server.close()


async def test_subscribers_of_a_node_that_lags_hear_of_a_slot_when_their_node_sees_it(
    laggard: Laggard, key: NewKey
) -> None:
    town, address = laggard.town, key()
    laggard.view.lag(3)
    town.advance(3)
    levels = ("processed", "confirmed", "finalized")
    for level in levels:
        await laggard.heard.subscribe("account", str(address), {"encoding": "base64", "commitment": level})
    await laggard.heard.subscribe("logs", "all", {"commitment": "processed"})
    town.plant(address, SOL, b"first", address)
    town.plant(address, SOL, b"second", address)
    town.land(town.pay(key(), SOL))
    changed_in = town.ledger.slot
    town.advance(2)
    await laggard.heard.nothing()
    town.advance()
    told = await laggard.heard.told(2)
    assert laggard.view.slot == changed_in
    assert [kind for kind, _ in told] == ["logs", "account"]
    assert {result["context"]["slot"] for _, result in told} == {changed_in}
    assert data_of(told[1][1]) == b"second"
    await laggard.heard.nothing()
    town.advance()
    assert data_of((await laggard.heard.told(1))[0][1]) == b"second"
    town.advance(29)
    await laggard.heard.nothing()
    town.advance()
    assert data_of((await laggard.heard.told(1))[0][1]) == b"second"


async def test_subscribers_of_a_node_that_stood_still_hear_afterwards_what_they_missed(
    laggard: Laggard, key: NewKey
) -> None:
    town, address = laggard.town, key()
    await laggard.heard.subscribe("slot")
    await laggard.heard.subscribe("account", str(address), {"encoding": "base64", "commitment": "processed"})
    stood_at = town.ledger.slot
    laggard.view.freeze()
    for number in range(3):
        town.advance()
        town.plant(address, SOL, b"%d" % number, address)
    await laggard.heard.nothing()
    laggard.view.thaw()
    town.plant(address, SOL, b"now", address)
    told = await laggard.heard.told(6)
    slots = [result["slot"] for kind, result in told if kind == "slot"]
    assert slots == [stood_at + 1, stood_at + 2, stood_at + 3]
    assert [data_of(result) for kind, result in told if kind == "account"][:2] == [b"0", b"1"]
    assert data_of(told[-1][1]) == b"now"


async def test_a_message_that_is_no_text_ends_the_connection(node: Node) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(node.server.ws_url) as socket:
        await socket.send_bytes(b'{"jsonrpc":"2.0","id":1,"method":"slotSubscribe"}')
        assert (await socket.receive_json(timeout=5))["id"] == 1
        await socket.send_bytes(b"\xff")
        message = await socket.receive(timeout=5)
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


async def test_a_ping_is_answered_between_subscriptions(node: Node) -> None:
    async with node.http.ws_connect(node.server.ws_url, autoping=False) as socket:
        await socket.ping(b"still there?")
        async with asyncio.timeout(20):
            message = await socket.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"still there?")
