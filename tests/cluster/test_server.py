"""The running cluster: slots that advance by themselves, its ports, its end, and a callback that fails."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import aiohttp
import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Finalized, Processed
from solana.rpc.websocket_api import SolanaWsClient
from solders.account import Account
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction
from websockets.exceptions import ConnectionClosedOK

from engine.errors import AddressInUse
from engine.sandbox.cluster import Genesis, Ledger, serve
from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.rpc import program_accounts
from engine.sandbox.cluster.serving.server import DEFAULT_RPC_PORT, DEFAULT_WS_PORT, serve_node
from engine.sandbox.cluster.serving.subscriptions import Subscriptions

SOL = 1_000_000_000
PROCESSED = [{"commitment": "processed"}]


def new_ledger() -> Ledger:
    return Ledger(Genesis.from_seed(b"server"), lambda: 1_760_000_000.0)


async def test_slots_advance_by_themselves_and_callbacks_open_each(eventually: Any) -> None:
    ledger, opened = new_ledger(), []
    first = ledger.slot + 1
    server = await serve(
        ledger, rpc_port=0, ws_port=0, slot_ms=5, on_slot=[lambda seen: opened.append(seen.slot)]
    )
    await eventually(lambda: len(opened) >= 40)
    await server.close()
    assert opened == list(range(first, first + len(opened)))
    slot = ledger.slot
    await asyncio.sleep(0)
    assert ledger.slot == slot


async def test_a_client_sends_and_confirms_while_slots_pass() -> None:
    ledger, payer = new_ledger(), Keypair()
    ledger.set_account(payer.pubkey(), Account(10 * SOL, b"", Pubkey.default()))
    server = await serve(ledger, rpc_port=0, ws_port=0, slot_ms=20)
    async with AsyncClient(server.rpc_url) as client:
        blockhash = (await client.get_latest_blockhash(Confirmed)).value
        to = Keypair().pubkey()
        payment = transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=SOL))
        message = Message.new_with_blockhash([payment], payer.pubkey(), blockhash.blockhash)
        transaction = Transaction([payer], message, blockhash.blockhash)
        signature = (await client.send_raw_transaction(bytes(transaction), opts=_preflight())).value
        status = await client.confirm_transaction(
            signature, Finalized, 0.05, last_valid_block_height=blockhash.last_valid_block_height
        )
        assert status.value[0] is not None
        assert status.value[0].err is None
        assert (await client.get_balance(to, Finalized)).value == SOL
    await server.close()


def _preflight() -> Any:
    from solana.rpc.models import TxOpts

    return TxOpts(preflight_commitment=Confirmed)


async def test_a_callback_that_fails_stops_the_slots_and_the_node_says_so() -> None:
    ledger = new_ledger()

    def fail(_ledger: Ledger) -> None:
        raise RuntimeError("the market broke")

    server = await serve(ledger, rpc_port=0, ws_port=0, slot_ms=5, on_slot=[fail])
    with pytest.raises(RuntimeError, match="the market broke"):
        await server.wait()
    async with aiohttp.ClientSession() as http:
        request = {"jsonrpc": "2.0", "id": 1, "method": "getHealth"}
        async with http.post(server.rpc_url, json=request) as response:
            error = (await response.json())["error"]
    assert error == {"code": -32005, "message": "Node is unhealthy", "data": {"numSlotsBehind": None}}
    await server.close()


async def test_default_ports_fall_back_to_a_free_pair_and_others_do_not() -> None:
    with _held(DEFAULT_RPC_PORT):
        server = await serve(new_ledger())
        rpc_port, ws_port = (int(url.rsplit(":", 1)[1]) for url in (server.rpc_url, server.ws_url))
        assert rpc_port not in (DEFAULT_RPC_PORT, DEFAULT_WS_PORT)
        assert ws_port == rpc_port + 1
        with pytest.raises(AddressInUse, match=f"{rpc_port}: choose others with --rpc-port"):
            await serve(new_ledger(), rpc_port=rpc_port, ws_port=0)
        await server.close()


async def test_one_port_of_zero_is_the_neighbour_of_the_other() -> None:
    free = await serve(new_ledger(), rpc_port=0, ws_port=0)
    rpc_port, ws_port = (int(url.rsplit(":", 1)[1]) for url in (free.rpc_url, free.ws_url))
    assert ws_port == rpc_port + 1
    await free.close()
    for asked in ({"rpc_port": rpc_port, "ws_port": 0}, {"rpc_port": 0, "ws_port": ws_port}):
        server = await serve(new_ledger(), **asked)
        assert (server.rpc_url, server.ws_url) == (free.rpc_url, free.ws_url)
        await server.close()


async def test_further_nodes_serve_the_same_ledger_and_see_its_slots() -> None:
    ledger = new_ledger()
    leader = Leader(ledger)
    server = await serve(ledger, leader=leader, rpc_port=0, ws_port=0, slot_ms=3_600_000)
    nodes = [await serve_node(leader) for _ in range(2)]
    async with aiohttp.ClientSession() as http:
        slots = []
        for url in (server.rpc_url, *(node.rpc_url for node in nodes)):
            request = {"jsonrpc": "2.0", "id": 1, "method": "getSlot", "params": PROCESSED}
            async with http.post(url, json=request) as response:
                slots.append((await response.json())["result"])
    assert slots == [ledger.slot] * 3
    for node in nodes:
        await node.close()
    await server.close()
    # Nothing of a node that is closed hangs on to the ledger's events.
    assert not any(isinstance(observer, Subscriptions) for observer in ledger.observers)


def _held(port: int) -> socket.socket:
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind(("127.0.0.1", port))
        holder.listen()
    except OSError:
        pass  # somebody else holds it: as good
    return holder


async def test_closing_says_goodbye_to_clients_and_frees_the_ports() -> None:
    server = await serve(new_ledger(), rpc_port=0, ws_port=0)
    rpc_port, ws_port = (int(url.rsplit(":", 1)[1]) for url in (server.rpc_url, server.ws_url))
    async with SolanaWsClient(server.ws_url) as feed:
        await feed.account_subscribe(pubkey=Pubkey.default(), commitment=Processed)
        waiting = asyncio.create_task(server.wait())
        await server.close()
        async with asyncio.timeout(20):
            with pytest.raises(ConnectionClosedOK):
                await feed.recv()
            await waiting
    again = await serve(new_ledger(), rpc_port=rpc_port, ws_port=ws_port)
    await again.close()


@pytest.mark.parametrize("is_prepared", [True, False])
async def test_the_first_reader_of_a_prepared_program_waits_for_nobody_to_write_its_accounts(
    monkeypatch: pytest.MonkeyPatch, is_prepared: bool
) -> None:
    ledger, program = new_ledger(), Keypair().pubkey()
    for number in range(1, 701):
        ledger.set_account(Pubkey.from_bytes(number.to_bytes(32, "big")), Account(SOL, b"kept", program))
    server = await serve(ledger, rpc_port=0, ws_port=0, prepared=[program] if is_prepared else [])
    written: list[Pubkey] = []
    write = program_accounts._plain_entry
    monkeypatch.setattr(
        program_accounts, "_plain_entry", lambda key, *rest: written.append(key) or write(key, *rest)
    )
    async with AsyncClient(server.rpc_url) as client:
        found = (await client.get_program_accounts(program, encoding="base64")).value
    assert len(found) == 700
    assert len(written) == (0 if is_prepared else 700)
    await server.close()
