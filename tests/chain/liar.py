"""Nodes behind real sockets: they tell the truth of one made-up cluster, and any can be made to lie."""

from __future__ import annotations

import base64
import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiohttp import web
from scripted import ScriptedNode, status
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction

from engine.chain.pool import PoolLimits, RpcPool
from engine.clock import SystemClock

PAYER, PAYEE = Keypair.from_seed(bytes(32)), Keypair.from_seed(bytes(range(32))).pubkey()
FEE_LAMPORTS = 5_000 + 2_000
Lie = Callable[[Any], Any]


def signed(lamports: int = 1) -> Transaction:
    """A transfer that offers 2,000 lamports for its priority."""
    instructions = [
        set_compute_unit_limit(200_000),
        set_compute_unit_price(10_000),
        transfer(TransferParams(from_pubkey=PAYER.pubkey(), to_pubkey=PAYEE, lamports=lamports)),
    ]
    message = Message.new_with_blockhash(instructions, PAYER.pubkey(), Hash(bytes(range(32))))
    return Transaction([PAYER], message, message.recent_blockhash)


TRANSACTION = signed()
SIGNATURE = TRANSACTION.signatures[0]
LEDGER = {str(each.signatures[0]): each for each in map(signed, range(1, 6))}
EARLIER = [Signature(bytes([number]) * 64) for number in (3, 2, 1)]


class Node(ScriptedNode):
    """Answers over HTTP as a scripted node does; `lies` change the result of a method on its way out."""

    def __init__(self, clock: SystemClock) -> None:
        super().__init__(clock)
        self.lies: dict[str, Lie] = {}
        self.raw: bytes | None = None  # instead of any answer, with the number of the call for its 1
        self.refusal_of_many: web.Response | None = None
        self.numbers: Callable[[list[int]], list[int]] = lambda numbers: numbers
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if isinstance(body, list):
            return self._handle_many(body)
        self.asked.append(body["method"])
        if self.raw is not None:
            raw = self.raw.replace(b'"id": 1,', b'"id": %d,' % body["id"])
            return web.Response(body=raw, content_type="application/json")
        return web.json_response({"jsonrpc": "2.0", "id": body["id"], **self._told(body)})

    def _handle_many(self, calls: list[dict[str, Any]]) -> web.Response:
        """Several calls by one request; as any node may, it answers the last one first."""
        self.asked.append(f"{len(calls)} {calls[0]['method']}")
        if self.refusal_of_many is not None:
            return copy.copy(self.refusal_of_many)
        numbers = self.numbers([call["id"] for call in calls])
        answers = [
            {"jsonrpc": "2.0", "id": number, **self._told(call)}
            for number, call in zip(numbers, calls, strict=True)
        ]
        return web.json_response(answers[::-1])

    def _told(self, call: dict[str, Any]) -> dict[str, Any]:
        answer = self._answer(call["method"], call["params"])
        lie = self.lies.get(call["method"])
        if lie is not None and "result" in answer:
            answer = {"result": lie(copy.deepcopy(answer["result"]))}
        return answer

    def truth(self, method: str, params: list[Any]) -> Any:
        """What an honest node would answer."""
        return self._answer(method, params)["result"]

    def _answer(self, method: str, params: Any) -> dict[str, Any]:
        config = next((each for each in params if isinstance(each, dict)), {})
        account = {"data": ["AQID", "base64"], "owner": str(PAYEE), "lamports": 5, "space": 3}
        answers: dict[str, Callable[[], Any]] = {
            "getAccountInfo": lambda: self._context(account),
            "getMultipleAccounts": lambda: self._context([account, None]),
            "getBalance": lambda: self._context(5),
            "getTransaction": lambda: (
                landed(self.landed_slot, LEDGER[params[0]]) if params[0] in LEDGER else None
            ),
            "getSignaturesForAddress": lambda: [
                {"signature": str(each), "slot": self.slot - 40 - number, "err": None}
                for number, each in enumerate(EARLIER)
            ],
            "getRecentPrioritizationFees": lambda: [{"slot": self.slot - 1, "prioritizationFee": 7}],
            "getSignatureStatuses": lambda: self._context(
                [status(self.landed_slot, "finalized") if each in LEDGER else None for each in params[0]]
            ),
        }
        if method in answers and self.slot >= config.get("minContextSlot", 0):
            return {"result": answers[method]()}
        return super()._answer(method, params)

    @property
    def landed_slot(self) -> int:
        """Where the transaction is."""
        return 900


def landed(slot: int, transaction: Transaction = TRANSACTION) -> dict[str, Any]:
    """The transaction as getTransaction tells it."""
    return {
        "slot": slot,
        "blockTime": 1_760_000_000,
        "version": "legacy",
        "transaction": [base64.b64encode(bytes(transaction)).decode(), "base64"],
        "meta": {
            "err": None,
            "status": {"Ok": None},
            "fee": FEE_LAMPORTS,
            "preBalances": [10**9, 0, 1, 1],
            "postBalances": [10**9 - FEE_LAMPORTS - 1, 1, 1, 1],
            "logMessages": ["Program 11111111111111111111111111111111 success"],
            "computeUnitsConsumed": 450,
            "loadedAddresses": {"writable": [], "readonly": []},
        },
    }


class Cluster:
    """A pool and the nodes that it asks."""

    def __init__(self, pool: RpcPool, nodes: list[Node], ends: list[Callable[[], Awaitable[None]]]) -> None:
        self.pool, self.nodes, self.ends = pool, nodes, ends

    @property
    def states(self) -> list[str]:
        return [report.state for report in self.pool.endpoints()]

    def why(self, number: int) -> str:
        return self.pool.endpoints()[number].why


@asynccontextmanager
async def cluster(
    count: int = 3,
    *,
    first: type[Node] = Node,
    others: type[Node] = Node,
    per_s: list[int] | None = None,
) -> AsyncIterator[Cluster]:
    """So many nodes, met; their looks begin. `per_s` is what each of them may be asked."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        nodes = [first(clock), *(others(clock) for _ in range(count - 1))]
        ends: list[Callable[[], Awaitable[None]]] = []
        for node in nodes:
            app = web.Application()
            app.router.add_post("/", node.handle)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            ends.append(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            node.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        limits = PoolLimits(requests_per_s=per_s or [100_000] * count)
        pool = await stack.enter_async_context(RpcPool([node.url for node in nodes], limits, clock))
        await pool.genesis_hash()
        yield Cluster(pool, nodes, ends)


ADDRESS = Pubkey.from_string("SysvarC1ock11111111111111111111111111111111")
