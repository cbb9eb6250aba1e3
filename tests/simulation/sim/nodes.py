"""RPC nodes that answer the engine's real client in JSON, each with moods: to lag, fail, be silent, lie."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Sequence
from random import Random
from typing import Any

import msgspec
from solders.pubkey import Pubkey

from engine.chain.port import MIN_CONTEXT_SLOT_NOT_REACHED, NODE_UNHEALTHY, PositionSlice, RpcFailure
from sim.cluster import (
    CONFIRMED_BLOCKS,
    FINAL_BLOCKS,
    ORDINARY_UNITS,
    VALID_BLOCKS,
    Block,
    Cluster,
    Landed,
)
from sim.loop import sleep
from sim.program import Account
from sim.swarm import Plan
from sim.timeline import Timeline

GENESIS = "4sGjMW1sUnHzSxGspuhpqLDx6wiyjNtZAMdL4VZHirAn"

# Moods by the kind of trouble that brings them; sending has moods of its own.
_MOODS = (
    "node lags",
    "node fails",
    "node is silent",
    "node is late",
    "node makes up slots",
    "node makes up heights",
    "node knows no transactions",
    "node goes back",
)
SEND_MOODS = ("node refuses to send", "node takes and forgets")
_CONTENT = "node knows no transactions"


class Node:
    """One node's view of the cluster. What it is asked by a process that dies is never answered."""

    def __init__(
        self,
        number: int,
        plan: Plan,
        random: Random,
        cluster: Cluster,
        timeline: Timeline,
        count: Callable[[str], None],
    ) -> None:
        self.url = f"http://node-{number}:8899"
        self._plan = plan
        self._random = random
        self._cluster = cluster
        self._timeline = timeline
        self._count = count
        self._lag_slots = 0
        self.tell: Callable[[Pubkey, int, Account | None], None] = lambda address, slot, account: None
        self.mood = ""
        self._mood_ends_s = 0.0

    # --- moods ---

    def live(self) -> None:
        """Half a second goes by: a mood may come, or end."""
        if self.mood and self._timeline.now_s < self._mood_ends_s:
            return
        self.mood, self._lag_slots = "", 0
        if self._cluster.is_calm:
            return
        for kind in (*_MOODS, *SEND_MOODS):
            intensity = self._plan.intensity(kind)
            if intensity and self._random.random() < 0.25 * intensity:
                self.mood = kind
                self._mood_ends_s = self._timeline.now_s + self._random.uniform(0.4, 6.0)
                if kind in ("node lags", "node goes back"):
                    self._lag_slots = self._random.randint(1, 25)
                self._timeline.note(f"{self.url} {kind}")
                return

    # --- views ---

    @property
    def slot(self) -> int:
        """The slot that it is at."""
        return self._cluster.slot - self._lag_slots

    def block(self, commitment: str = "processed") -> Block:
        """Its newest block of a commitment level."""
        depth = {"processed": 0, "confirmed": CONFIRMED_BLOCKS, "finalized": FINAL_BLOCKS}[commitment]
        return self._cluster.block_at(self.slot, depth)

    # --- requests ---

    async def call(self, method: str, params: Sequence[Any], deadline_s: float) -> bytes:
        """One JSON-RPC request; raises RpcFailure as the real connection does."""
        self._timeline.note(f"{self.url} {method}")
        await self._travel(deadline_s)
        return self._answer(method, params)

    async def call_many(
        self, method: str, many: Sequence[Sequence[Any]], deadline_s: float
    ) -> list[bytes | RpcFailure]:
        """Several of them, by one request on one way."""
        self._timeline.note(f"{self.url} {len(many)} {method}")
        await self._travel(deadline_s)
        return [self._answer(method, params) for params in many]

    def _answer(self, method: str, params: Sequence[Any]) -> bytes:
        answer = getattr(self, f"_{method}")(*params)
        return b'{"jsonrpc":"2.0","id":1,"result":' + msgspec.json.encode(answer) + b"}"

    async def _travel(self, deadline_s: float) -> None:
        """The way there and back, in its mood."""
        mood, random = self.mood, self._random
        latency_s = random.uniform(0.004, 0.03)
        if mood in ("node is silent", "node is late"):
            self._count(mood)
            latency_s = deadline_s if mood == "node is silent" else random.uniform(0.2, 4.0)
        if latency_s >= deadline_s:
            await sleep(deadline_s)
            raise RpcFailure(f"timeout after {deadline_s:.1f} s", is_timeout=True)
        await sleep(latency_s)
        if mood == "node fails":
            self._count(mood)
            raise random.choice(
                (
                    RpcFailure("node unreachable (ClientConnectorError)"),
                    RpcFailure("node error: HTTP status 500"),
                    RpcFailure("node error: behind", code=NODE_UNHEALTHY),
                    RpcFailure("node error: HTTP status 429", retry_after_s=1.0),
                )
            )
        if mood in _MOODS:
            self._count(mood)

    async def position_slices(self, program_id: Pubkey, min_slot: int) -> AsyncIterator[PositionSlice]:
        """The answer to getProgramAccounts, in one slice, or broken off in the middle."""
        await self._travel(15.0)
        if self.slot < min_slot:
            raise RpcFailure("node error: behind", code=MIN_CONTEXT_SLOT_NOT_REACHED)
        found = [
            (bytes(address), account.data)
            for address in self._cluster.positions
            if (account := self._cluster.read(address, self.slot)) and account.owner == program_id
        ]
        for address, data in found:
            self.tell(Pubkey.from_bytes(address), self.slot, Account(1, data, program_id))
        # It can only break off in the middle where there is one.
        half = len(found) // 2 if self._plan.intensity("node fails") else len(found)
        yield [address for address, _ in found[:half]], [data for _, data in found[:half]]
        await sleep(0.01)
        if self.mood == "node fails":
            raise RpcFailure("node unreachable (ClientPayloadError)")
        if half < len(found):
            yield [address for address, _ in found[half:]], [data for _, data in found[half:]]

    # --- methods, named as on the wire ---

    def _getGenesisHash(self) -> str:
        return GENESIS

    def _getEpochInfo(self, config: dict[str, Any]) -> dict[str, int]:
        block = self.block()
        return {
            "absoluteSlot": self._told_slot(),
            "blockHeight": self._told_height(block),
            "epoch": 1,
            "slotIndex": 1,
            "slotsInEpoch": 432_000,
            "transactionCount": 1,
        }

    def _getSlot(self, config: dict[str, Any]) -> int:
        self._check_floor(config)
        return self._told_slot()

    def _getBlockHeight(self, config: dict[str, Any]) -> int:
        return self._told_height(self.block(config["commitment"]))

    def _getAccountInfo(self, address: str, config: dict[str, Any]) -> dict[str, Any]:
        self._check_floor(config)
        return self._in_context(self._account(Pubkey.from_string(address)))

    def _getMultipleAccounts(self, addresses: list[str], config: dict[str, Any]) -> dict[str, Any]:
        self._check_floor(config)
        return self._in_context([self._account(Pubkey.from_string(each)) for each in addresses])

    def _getBalance(self, address: str, config: dict[str, Any]) -> dict[str, Any]:
        self._check_floor(config)
        account = self._cluster.read(Pubkey.from_string(address), self.slot)
        return self._in_context(account.lamports if account else 0)

    def _getLatestBlockhash(self, config: dict[str, Any]) -> dict[str, Any]:
        block = self.block(config["commitment"])
        value = {"blockhash": str(block.blockhash), "lastValidBlockHeight": block.height + VALID_BLOCKS}
        return {"context": {"slot": block.slot}, "value": value}

    def _getSignatureStatuses(self, names: list[str], config: dict[str, Any]) -> dict[str, Any]:
        forgets = self.mood == _CONTENT and not config["searchTransactionHistory"]
        return self._in_context([None if forgets else self._status(name) for name in names])

    def _getTransaction(self, name: str, config: dict[str, Any]) -> dict[str, Any] | None:
        landed = self._find(name, self.block(config["commitment"]))
        if landed is None or self.mood == _CONTENT:
            return None
        return _transaction(landed)

    def _getSignaturesForAddress(self, address: str, config: dict[str, Any]) -> list[dict[str, Any]]:
        newest, wanted = self.block("finalized"), Pubkey.from_string(address)
        found = [
            {"signature": str(each.transaction.signature), "slot": each.slot, "err": each.fault,
             "memo": None, "blockTime": each.time_s, "confirmationStatus": "finalized"}
            for block in reversed(self._cluster.blocks)
            for each in reversed(block.landed)
            if block.slot <= newest.slot and wanted in each.transaction.keys
        ]  # fmt: skip
        if "before" in config:
            names = [each["signature"] for each in found]
            found = found[names.index(config["before"]) + 1 :] if config["before"] in names else []
        return found[: config.get("limit", 1000)]

    def _getRecentPrioritizationFees(self, addresses: list[str]) -> list[dict[str, int]]:
        return [{"slot": self.slot, "prioritizationFee": 1_000}]

    def _simulateTransaction(self, raw: str, config: dict[str, Any]) -> dict[str, Any]:
        value = {
            "err": None,
            "logs": [],
            "accounts": None,
            "unitsConsumed": ORDINARY_UNITS,
            "returnData": None,
        }
        return self._in_context(value)

    # --- what they share ---

    def _check_floor(self, config: dict[str, Any]) -> None:
        if self.slot < config.get("minContextSlot", 0):
            raise RpcFailure("node error: behind", code=MIN_CONTEXT_SLOT_NOT_REACHED)

    def _told_slot(self) -> int:
        made_up = self.mood == "node makes up slots"
        return self.slot + (self._random.randint(2_000, 10_000) if made_up else 0)

    def _told_height(self, block: Block) -> int:
        made_up = self.mood == "node makes up heights"
        return block.height + (self._random.randint(2_000, 10_000) if made_up else 0)

    def _in_context(self, value: object) -> dict[str, Any]:
        return {"context": {"slot": self._told_slot()}, "value": value}

    def _account(self, address: Pubkey) -> dict[str, Any] | None:
        account = self._cluster.read(address, self.slot)
        self.tell(address, self.slot, account)
        if account is None:
            return None
        return {
            "data": [base64.b64encode(account.data).decode(), "base64"],
            "executable": False,
            "lamports": account.lamports,
            "owner": str(account.owner),
            "rentEpoch": 0,
            "space": len(account.data),
        }

    def _find(self, name: str, newest: Block) -> Landed | None:
        for block in reversed(self._cluster.blocks):
            if block.slot > newest.slot:
                continue
            for landed in block.landed:
                if str(landed.transaction.signature) == name:
                    return landed
        return None

    def _status(self, name: str) -> dict[str, Any] | None:
        landed = self._find(name, self.block())
        if landed is None:
            return None
        level, confirmations = "processed", 0
        if landed.slot <= self.block("finalized").slot:
            level, confirmations = "finalized", None
        elif landed.slot <= self.block("confirmed").slot:
            level, confirmations = "confirmed", 1
        status = {"Ok": None} if landed.fault is None else {"Err": landed.fault}
        return {
            "slot": landed.slot,
            "confirmations": confirmations,
            "err": landed.fault,
            "status": status,
            "confirmationStatus": level,
        }


def _transaction(landed: Landed) -> dict[str, Any]:
    status = {"Ok": None} if landed.fault is None else {"Err": landed.fault}
    return {
        "slot": landed.slot,
        "blockTime": landed.time_s,
        "transaction": [base64.b64encode(landed.transaction.raw).decode(), "base64"],
        "version": 0,
        "meta": {
            "err": landed.fault,
            "status": status,
            "fee": landed.transaction.fee_lamports,
            "preBalances": landed.pre_lamports,
            "postBalances": landed.post_lamports,
            "innerInstructions": [],
            "logMessages": landed.logs,
            "preTokenBalances": [],
            "postTokenBalances": [],
            "rewards": [],
            "loadedAddresses": {"writable": [], "readonly": []},
            "computeUnitsConsumed": landed.units,
        },
    }
