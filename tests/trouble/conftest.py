"""A node with trouble on real sockets: its slots are in the test's hand, its payer is rich."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from solders.account import Account
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from engine.sandbox.cluster import ClusterServer, Commitment, Genesis, Ledger, serve
from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.serving.server import NodeServer, serve_node
from engine.sandbox.trouble.desk import TroubleDesk

NOW_S = 1_760_000_000.0
STANDING_STILL_MS = 3_600_000


class Rig:
    """One cluster with a desk for trouble, and a client of its node."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http
        self.now_s = NOW_S
        self.ledger = Ledger(Genesis.from_seed(b"trouble"), lambda: self.now_s)
        self.leader = Leader(self.ledger)
        self.desk = TroubleDesk(self.leader)
        self.payer = Keypair()
        self.ledger.set_account(self.payer.pubkey(), Account(10**15, b"", Pubkey.default()))
        self.server: ClusterServer
        self.further: list[NodeServer] = []

    async def start(self) -> None:
        self.server = await serve(
            self.ledger,
            rpc_port=0,
            ws_port=0,
            slot_ms=STANDING_STILL_MS,
            leader=self.leader,
            on_slot=[self.desk.on_slot],
            **self._node(0),
        )
        await self.result("getSlot")

    async def add_node(self) -> NodeServer:
        """One more node over the same ledger."""
        node = await serve_node(self.leader, **self._node(len(self.further) + 1))
        self.further.append(node)
        return node

    def _node(self, number: int) -> dict[str, Any]:
        view = View(self.ledger)
        return {
            "view": view,
            "interference": self.desk.node(view),
            "extra_methods": {"sandboxTrouble": self.desk.method(number)},
        }

    async def close(self) -> None:
        for node in (*self.further, self.server):
            await node.close()

    def advance(self, slots: int = 1) -> None:
        """Let slots pass: what waits runs, the block closes, the next opens."""
        for _ in range(slots):
            self.leader.work()
            self.now_s += 0.4
            self.ledger.advance_slot()
            self.desk.on_slot(self.ledger)

    # --- as a client ---

    def body(self, method: str, *params: Any) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}

    async def response(
        self, method: str, *params: Any, url: str | None = None, timeout_s: float = 10
    ) -> tuple[int, Mapping[str, str], Any]:
        """Status, headers and body of one call; the body as JSON where it is."""
        deadline = aiohttp.ClientTimeout(total=timeout_s)
        async with self.http.post(
            url or self.server.rpc_url, json=self.body(method, *params), timeout=deadline
        ) as response:
            json = response.content_type == "application/json"
            return response.status, response.headers, await (response.json() if json else response.text())

    async def result(self, method: str, *params: Any, url: str | None = None) -> Any:
        status, _, body = await self.response(method, *params, url=url)
        assert status == 200 and "error" not in body, (status, body)
        return body["result"]

    async def trouble(self, patch: Any = None, url: str | None = None) -> Any:
        """Order trouble by the node's own method; None ends it. Returns what the method answers."""
        return await self.result("sandboxTrouble", patch, url=url)

    async def counter(self, name: str) -> int:
        return int((await self.result("sandboxTrouble"))["counters"].get(name, 0))

    async def slot(self, commitment: str = "processed", url: str | None = None) -> int:
        return int(await self.result("getSlot", {"commitment": commitment}, url=url))

    async def balance(self, address: Pubkey, commitment: str = "processed") -> int:
        answer = await self.result("getBalance", str(address), {"commitment": commitment})
        return int(answer["value"])

    def payment(self, to: Pubkey, lamports: int) -> VersionedTransaction:
        """A signed transfer."""
        blockhash = self.ledger.latest_blockhash(self.ledger.bank(Commitment.PROCESSED)).value
        instruction = transfer(
            TransferParams(from_pubkey=self.payer.pubkey(), to_pubkey=to, lamports=lamports)
        )
        return VersionedTransaction(
            MessageV0.try_compile(self.payer.pubkey(), [instruction], [], blockhash), [self.payer]
        )

    async def send(self, transaction: VersionedTransaction, **options: Any) -> str:
        text = base64.b64encode(bytes(transaction)).decode()
        options = {"encoding": "base64", "skipPreflight": True, "maxRetries": 0, **options}
        return str(await self.result("sendTransaction", text, options))

    async def status(self, transaction: VersionedTransaction) -> Any:
        signature = str(transaction.signatures[0])
        return (await self.result("getSignatureStatuses", [signature]))["value"][0]

    @asynccontextmanager
    async def subscribed(self, method: str, *params: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A WebSocket with one subscription, whose id has been answered."""
        async with self.http.ws_connect(self.server.ws_url) as socket:
            await socket.send_json(self.body(method, *params))
            answer = await socket.receive_json(timeout=5)
            assert "result" in answer, answer
            yield socket


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """A served cluster in good health, out of genesis."""
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=30), connector=aiohttp.TCPConnector(limit=0)
    ) as http:
        rig = Rig(http)
        await rig.start()
        rig.advance()
        yield rig
        await asyncio.wait_for(rig.close(), 10)
