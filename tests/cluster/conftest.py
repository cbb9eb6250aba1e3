"""A ledger whose time the test holds, and the same served on real sockets, its slots in the test's hand."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.websocket_api import SolanaWsClient
from solders.account import Account
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from engine.sandbox.cluster import ClusterServer, Commitment, Genesis, Ledger, serve

NOW_S = 1_760_000_000.0
LAMPORTS_PER_SOL = 1_000_000_000
# Slots of served clusters last longer than any test: only the test advances them.
STANDING_STILL_MS = 3_600_000


class Town:
    """A ledger with a rich payer, a clock that the test sets, and short ways to make transactions."""

    def __init__(self) -> None:
        self.now_s = NOW_S
        self.ledger = Ledger(Genesis.from_seed(b"a test"), lambda: self.now_s)
        self.payer = Keypair()
        self.plant(self.payer.pubkey(), 1_000 * LAMPORTS_PER_SOL)

    def plant(self, address: Pubkey, lamports: int, data: bytes = b"", owner: Pubkey | None = None) -> None:
        self.ledger.set_account(address, Account(lamports, data, owner or Pubkey.default()))

    def advance(self, slots: int = 1) -> None:
        for _ in range(slots):
            self.now_s += 0.4
            self.ledger.advance_slot()

    def blockhash(self, commitment: Commitment = Commitment.PROCESSED) -> Hash:
        return self.ledger.latest_blockhash(self.ledger.bank(commitment)).value

    def pay(self, to: Pubkey, lamports: int, payer: Keypair | None = None) -> Instruction:
        source = (payer or self.payer).pubkey()
        return transfer(TransferParams(from_pubkey=source, to_pubkey=to, lamports=lamports))

    def sign(
        self,
        *instructions: Instruction,
        payer: Keypair | None = None,
        signers: Sequence[Keypair] = (),
        blockhash: Hash | None = None,
    ) -> VersionedTransaction:
        payer = payer or self.payer
        message = MessageV0.try_compile(payer.pubkey(), instructions, [], blockhash or self.blockhash())
        return VersionedTransaction(message, [payer, *signers])

    def land(self, *instructions: Instruction, signers: Sequence[Keypair] = ()) -> VersionedTransaction:
        """Submit and check that it is in the open block, with or without an error."""
        transaction = self.sign(*instructions, signers=signers)
        self.ledger.submit(bytes(transaction), skip_preflight=True)
        assert transaction.signatures[0] in self.ledger.history
        return transaction

    def lamports(self, address: Pubkey, commitment: Commitment = Commitment.PROCESSED) -> int:
        account = self.ledger.account(address, commitment)
        return 0 if account is None else account.lamports


@pytest.fixture
def town() -> Town:
    """A town before its first slot of business; advance once to leave genesis."""
    return Town()


@dataclass
class Node:
    """A served town with a raw JSON-RPC caller."""

    town: Town
    server: ClusterServer
    http: aiohttp.ClientSession

    @property
    def ledger(self) -> Ledger:
        return self.town.ledger

    async def post(self, body: bytes | str, content_type: str = "application/json") -> tuple[int, bytes]:
        headers = {"Content-Type": content_type}
        async with self.http.post(self.server.rpc_url, data=body, headers=headers) as response:
            return response.status, await response.read()

    async def call(self, method: str, *params: Any) -> dict[str, Any]:
        """The whole response object."""
        request = {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}
        status, body = await self.post(json.dumps(request))
        assert status == 200
        response: dict[str, Any] = json.loads(body)
        assert response["jsonrpc"] == "2.0"
        assert response["id"] == 7
        return response

    async def result(self, method: str, *params: Any) -> Any:
        response = await self.call(method, *params)
        assert "error" not in response, response
        return response["result"]

    async def error(self, method: str, *params: Any) -> dict[str, Any]:
        response = await self.call(method, *params)
        assert "result" not in response, response
        error: dict[str, Any] = response["error"]
        return error

    async def send(self, transaction: VersionedTransaction, **options: Any) -> dict[str, Any]:
        text = base64.b64encode(bytes(transaction)).decode()
        options = {"encoding": "base64", "preflightCommitment": "processed", **options}
        return await self.call("sendTransaction", text, options)


@pytest.fixture
async def node(town: Town) -> AsyncIterator[Node]:
    """A town served on free ports; serving opens its first slot."""
    server = await serve(town.ledger, rpc_port=0, ws_port=0, slot_ms=STANDING_STILL_MS)
    async with aiohttp.ClientSession() as http:
        running = Node(town, server, http)
        await running.result("getSlot")  # answered after the first slot has been opened
        yield running
    await server.close()


@pytest.fixture
async def client(node: Node) -> AsyncIterator[AsyncClient]:
    """Solana's Python client on the node."""
    async with AsyncClient(node.server.rpc_url) as connected:
        yield connected


@pytest.fixture
async def feed(node: Node) -> AsyncIterator[SolanaWsClient]:
    """Solana's Python WebSocket client on the node."""
    async with SolanaWsClient(node.server.ws_url, close_timeout=1.0) as connected:
        yield connected


@pytest.fixture
def key() -> Callable[[], Pubkey]:
    """New addresses."""
    return lambda: Keypair().pubkey()


@pytest.fixture
def program_id() -> Iterator[Pubkey]:
    """The owner of planted accounts; no program needs to be there."""
    yield Pubkey.from_string("HCJaVaM9GEH4nYoX6UquxWXroXJyjSLp2LLKCa1gg5NJ")
