"""Every subscription over a real WebSocket: what is told, at which commitment, in which order, to whom."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from solana.rpc.commitment import Confirmed, Finalized, Processed
from solana.rpc.models import MemcmpOpts
from solana.rpc.websocket_api import SolanaWsClient
from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.rpc.config import RpcTransactionLogsFilterMentions
from solders.rpc.responses import (
    AccountNotification,
    LogsNotification,
    ProgramNotification,
    SignatureNotification,
    SlotNotification,
)

from engine.sandbox.cluster import Genesis, Ledger, serve
from engine.sandbox.cluster.encoding import base58_encode
from engine.sandbox.cluster.serving.subscriptions import Subscriptions

if TYPE_CHECKING:
    from conftest import Node

SOL = 1_000_000_000
NewKey = Callable[[], Pubkey]


async def told(feed: SolanaWsClient) -> Any:
    """The next notification."""
    async with asyncio.timeout(20):
        return await feed.recv()


async def nothing_more(feed: SolanaWsClient, node: Node) -> None:
    """Nothing waits: the next thing told is what happens now."""
    slots = await feed.slot_subscribe()
    node.town.advance()
    notification = await told(feed)
    assert isinstance(notification, SlotNotification), notification
    assert notification.subscription == slots.subscription_id


async def test_slots_are_told_with_parent_and_root(node: Node, feed: SolanaWsClient) -> None:
    subscription = await feed.slot_subscribe()
    node.town.advance(2)
    for slot in (node.ledger.slot - 1, node.ledger.slot):
        info = (await told(feed)).result
        assert (info.slot, info.parent, info.root) == (slot, slot - 1, slot - 31)
    await feed.unsubscribe(subscription)
    await feed.root_subscribe()
    node.town.advance()
    assert (await told(feed)).result == node.ledger.slot - 31


async def test_account_changes_at_each_commitment(node: Node, feed: SolanaWsClient, key: NewKey) -> None:
    address = key()
    ids = {}
    for level in (Processed, Confirmed, Finalized):
        handle = await feed.account_subscribe(pubkey=address, commitment=level, encoding="base64")
        ids[handle.subscription_id] = level
    slot = node.ledger.slot
    node.town.plant(address, SOL, b"first", address)
    node.town.plant(address, SOL, b"second", address)
    seen = [await told(feed), await told(feed)]
    node.town.advance()
    seen.append(await told(feed))
    node.town.advance(30)
    seen.append(await told(feed))
    assert all(isinstance(entry, AccountNotification) for entry in seen)
    assert [(ids[entry.subscription], entry.result.value.data) for entry in seen] == [
        (Processed, b"first"),
        (Processed, b"second"),
        (Confirmed, b"second"),
        (Finalized, b"second"),
    ]
    assert {entry.result.context.slot for entry in seen} == {slot}


async def test_a_finalized_change_is_told_as_it_was_then(
    node: Node, feed: SolanaWsClient, key: NewKey
) -> None:
    await feed.account_subscribe(pubkey=(address := key()), commitment=Finalized, encoding="base64")
    for data in (b"then", b"later"):
        node.town.plant(address, SOL, data, address)
        node.town.advance()
    node.town.advance(30)
    assert [(await told(feed)).result.value.data for _ in range(2)] == [b"then", b"later"]


async def test_an_account_that_is_closed_is_told_as_empty(
    node: Node, feed: SolanaWsClient, key: NewKey
) -> None:
    other = Keypair()
    node.town.plant(other.pubkey(), SOL)
    await feed.account_subscribe(pubkey=other.pubkey(), commitment=Processed, encoding="base64")
    node.town.land(node.town.pay(key(), SOL, other), signers=[other])
    value = (await told(feed)).result.value
    assert (value.lamports, value.data, value.owner) == (0, b"", Pubkey.default())


async def test_program_accounts_pass_filters_and_closing_is_silent(
    node: Node, feed: SolanaWsClient, key: NewKey, program_id: Pubkey
) -> None:
    marked = MemcmpOpts(offset=0, bytes=base58_encode(b"\x09"))
    await feed.program_subscribe(
        program_id=program_id, commitment=Processed, encoding="base64", filters=[3, marked]
    )
    matching = key()
    node.town.plant(key(), SOL, b"\x01ab", program_id)
    node.town.plant(key(), SOL, b"\x09abc", program_id)
    node.town.plant(key(), SOL, b"\x09ab")
    node.town.plant(matching, SOL, b"\x09ab", program_id)
    notification = await told(feed)
    assert isinstance(notification, ProgramNotification)
    keyed = notification.result.value
    assert (keyed.pubkey, keyed.account.data, keyed.account.owner) == (matching, b"\x09ab", program_id)
    assert notification.result.context.slot == node.ledger.slot
    # As on a real node: who was closed does not belong to the program any more.
    node.town.plant(matching, 0)
    await nothing_more(feed, node)


async def test_a_signature_is_told_once_at_its_commitment(
    node: Node, feed: SolanaWsClient, key: NewKey, eventually: Any
) -> None:
    transaction = node.town.sign(node.town.pay(key(), SOL))
    await feed.signature_subscribe(signature=transaction.signatures[0], commitment=Confirmed)
    await node.send(transaction)
    await eventually(lambda: transaction.signatures[0] in node.ledger.history)
    slot = node.ledger.slot
    node.town.advance()
    notification = await told(feed)
    assert isinstance(notification, SignatureNotification)
    assert (notification.result.value.err, notification.result.context.slot) == (None, slot)
    node.town.advance(40)
    await nothing_more(feed, node)
    # Its subscription is gone; only the one for slots is left.
    assert subscribers(node.ledger) == 1


async def test_a_failed_transactions_signature_is_told_with_its_error(
    node: Node, key: NewKey, eventually: Any
) -> None:
    # By a raw socket: solders 0.29 cannot read {"Custom": n} in this one kind of notification.
    transaction = node.town.sign(node.town.pay(key(), 5_000 * SOL))
    async with await raw_socket(node) as socket:
        await socket.send_str(_call("signatureSubscribe", str(transaction.signatures[0])))
        subscription = (await socket.receive_json(timeout=5))["result"]
        await node.send(transaction, skipPreflight=True)
        await eventually(lambda: transaction.signatures[0] in node.ledger.history)
        slot = node.ledger.slot
        node.town.advance(31)
        assert await socket.receive_json(timeout=5) == {
            "jsonrpc": "2.0",
            "method": "signatureNotification",
            "params": {
                "result": {
                    "context": {"slot": slot},
                    "value": {"err": {"InstructionError": [0, {"Custom": 1}]}},
                },
                "subscription": subscription,
            },
        }


async def test_a_signature_that_has_landed_already_is_told_at_once(
    node: Node, feed: SolanaWsClient, key: NewKey
) -> None:
    landed = node.town.land(node.town.pay(key(), SOL))
    await feed.signature_subscribe(
        signature=landed.signatures[0], commitment=Processed, enable_received_notification=True
    )
    assert isinstance(await told(feed), SignatureNotification)
    await feed.signature_subscribe(signature=landed.signatures[0], commitment=Finalized)
    await nothing_more(feed, node)


async def test_logs_of_all_and_of_mentioned_addresses(node: Node, feed: SolanaWsClient, key: NewKey) -> None:
    mentioned = key()
    everything = await feed.logs_subscribe(commitment=Processed)
    one = await feed.logs_subscribe(filter_=RpcTransactionLogsFilterMentions(mentioned), commitment=Processed)
    other = node.town.land(node.town.pay(key(), SOL))
    ours = node.town.land(node.town.pay(mentioned, 5_000 * SOL))
    seen = [await told(feed) for _ in range(3)]
    assert all(isinstance(entry, LogsNotification) for entry in seen)
    assert [(entry.subscription, entry.result.value.signature) for entry in seen] == [
        (everything.subscription_id, other.signatures[0]),
        (everything.subscription_id, ours.signatures[0]),
        (one.subscription_id, ours.signatures[0]),
    ]
    value = seen[2].result.value
    assert value.err is not None
    assert any("insufficient lamports" in line for line in value.logs)


async def test_unsubscribing_ends_each_kind(node: Node, feed: SolanaWsClient, key: NewKey) -> None:
    address = key()
    handles = [
        await feed.slot_subscribe(),
        await feed.root_subscribe(),
        await feed.logs_subscribe(commitment=Processed),
        await feed.account_subscribe(pubkey=address, commitment=Processed),
        await feed.program_subscribe(program_id=Pubkey.default(), commitment=Processed),
        await feed.signature_subscribe(signature=Keypair().sign_message(b"")),
    ]
    for handle in handles:
        await feed.unsubscribe(handle)
    node.town.land(node.town.pay(address, SOL))
    node.town.advance(2)
    await nothing_more(feed, node)


async def raw_socket(node: Node) -> aiohttp.ClientWebSocketResponse:
    return await node.http.ws_connect(node.server.ws_url)


async def test_refusals_of_the_websocket_are_json_rpc_errors(node: Node) -> None:
    async with await raw_socket(node) as socket:
        for request, code, message in (
            ("{", -32700, "Parse error"),
            (_call("getSlot"), -32601, "Method not found"),
            (_call("blockSubscribe", "all"), -32601, "Method not found"),
            (_call("voteSubscribe"), -32601, "Method not found"),
            (_call("accountSubscribe", "x"), -32602, "Invalid Request: Invalid pubkey provided"),
            (_call("signatureSubscribe", "x"), -32602, "Invalid Request: Invalid signature provided"),
            (
                _call("logsSubscribe", {"mentions": ["x"]}),
                -32602,
                "Invalid Request: Invalid mentions provided",
            ),
            (_call("accountUnsubscribe", 999_999), -32602, "Invalid subscription id."),
            (_call("logsSubscribe", "some"), -32602, None),
            (_call("logsSubscribe", {"mentions": []}), -32602, "Invalid Request: Only 1 address supported"),
            (_call("programSubscribe", str(Pubkey.default()), {"encoding": "x"}), -32602, None),
        ):
            await socket.send_str(request)
            error = (await socket.receive_json(timeout=5))["error"]
            assert error["code"] == code
            assert message is None or error["message"] == message


def _call(method: str, *params: object) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


async def test_a_subscription_belongs_to_its_connection(node: Node) -> None:
    async with await raw_socket(node) as mine, await raw_socket(node) as theirs:
        await mine.send_str(_call("slotSubscribe"))
        subscription = (await mine.receive_json(timeout=5))["result"]
        await theirs.send_str(_call("slotUnsubscribe", subscription))
        assert (await theirs.receive_json(timeout=5))["error"]["message"] == "Invalid subscription id."
        # As on a node, the method's kind does not matter.
        await mine.send_str(_call("rootUnsubscribe", subscription))
        assert (await mine.receive_json(timeout=5))["result"] is True
        await mine.send_str(_call("slotUnsubscribe", subscription))
        assert (await mine.receive_json(timeout=5))["error"]["message"] == "Invalid subscription id."


async def test_a_message_that_is_too_big_ends_the_connection(node: Node) -> None:
    async with await raw_socket(node) as socket:
        await socket.send_str(" " * 4_097)
        message = await socket.receive(timeout=5)
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        assert socket.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


async def test_plain_http_on_the_websocket_port_is_refused(node: Node) -> None:
    async with node.http.get(node.server.ws_url.replace("ws:", "http:")) as response:
        assert response.status == 400


@pytest.mark.parametrize("size", [10, 125, 126, 200, 65_000, 70_000])
async def test_notifications_of_any_length_arrive_whole(
    node: Node, feed: SolanaWsClient, key: NewKey, size: int
) -> None:
    await feed.account_subscribe(pubkey=(address := key()), commitment=Processed, encoding="base64")
    node.town.plant(address, SOL, bytes(size), address)
    assert (await told(feed)).result.value.data == bytes(size)


async def test_a_client_that_reads_too_slowly_is_dropped_and_others_are_not(
    eventually: Any, program_id: Pubkey
) -> None:
    ledger = Ledger(Genesis.from_seed(b"slow"), lambda: 1.0)
    server = await serve(ledger, rpc_port=0, ws_port=0, slot_ms=3_600_000, max_unsent_bytes=200_000)
    port = int(server.ws_url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    async with SolanaWsClient(server.ws_url, close_timeout=1.0) as attentive:
        writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        config = {"encoding": "base64", "commitment": "processed"}
        writer.write(_masked(_call("programSubscribe", str(program_id), config)))
        assert b'"result"' in await reader.read(200)
        handle = await attentive.program_subscribe(
            program_id=program_id, commitment=Processed, encoding="base64"
        )
        # From here on the slow client reads no more: kernel buffers fill, then the node's bound is reached.
        address, sent = Keypair().pubkey(), 0
        while not writer.transport.is_closing() and sent < 3_000:
            ledger.set_account(address, Account(SOL, sent.to_bytes(4, "little") + bytes(20_000), program_id))
            sent += 1
            notification = await told(attentive)
            assert notification.result.value.account.data[:4] == (sent - 1).to_bytes(4, "little")
            if subscribers(ledger) == 1:
                break
        assert subscribers(ledger) == 1
        await attentive.unsubscribe(handle)
    writer.close()
    await eventually(lambda: subscribers(ledger) == 0)
    await server.close()


def subscribers(ledger: Ledger) -> int:
    """How many subscriptions the node that serves this ledger keeps."""
    (subscriptions,) = (entry for entry in ledger.observers if isinstance(entry, Subscriptions))
    return len(subscriptions)


def _masked(text: str) -> bytes:
    """A client's frame (RFC 6455 wants its payload masked; a zero mask leaves it readable)."""
    payload = text.encode()
    assert 126 <= len(payload) < 65_536
    return bytes((0x81, 0x80 | 126)) + len(payload).to_bytes(2, "big") + bytes(4) + payload
