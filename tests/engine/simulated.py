"""A deterministic cluster for the engine: virtual time, the sandbox's real ledger, and faults on command.

The ledger runs the real program in a real VM; what is simulated is what lies between it and the engine: the
node's answers (late, failing, forked) and the wire (delivering, dropping, refusing, holding back).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from solders.account import Account
from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from engine.chain.parcel import Parcel
from engine.chain.port import (
    AccountRead,
    EndpointReport,
    FreshBlockhash,
    LandedTransaction,
    Level,
    NoLongerWanted,
    PositionSlice,
    RpcFailure,
    SignatureStatus,
    Simulation,
    TransactionFault,
)
from engine.control import Gate
from engine.domain import Generation, Position, Side
from engine.protocol.accounts import POSITION_DISCRIMINATOR
from engine.sandbox.cluster.blocks import history
from engine.sandbox.cluster.blocks.banks import Commitment
from engine.sandbox.cluster.ledger.ledger import Ledger
from engine.sandbox.cluster.transactions.wire_transaction import decode_transaction

START_NS = 1_760_000_000 * 10**9
SLOT_S = 0.4
SLICE_ACCOUNTS = 700
_COMMITMENTS = {
    Level.PROCESSED: Commitment.PROCESSED,
    Level.CONFIRMED: Commitment.CONFIRMED,
    Level.FINALIZED: Commitment.FINALIZED,
}
_LEVELS = {commitment: level for level, commitment in _COMMITMENTS.items()}


class VirtualClock:
    """Time that moves only when told; sleepers wake in the order in which they are due."""

    def __init__(self) -> None:
        self._elapsed_ns = 0
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self.slept_s: list[float] = []

    def now_ns(self) -> int:
        return START_NS + self._elapsed_ns

    def monotonic_ns(self) -> int:
        return self._elapsed_ns

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        self.slept_s.append(seconds)
        woken = asyncio.get_running_loop().create_future()
        due_ns = self._elapsed_ns + round(seconds * 1e9)
        heapq.heappush(self._sleepers, (due_ns, next(self._numbers), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Let time pass, waking each sleeper at its time."""
        end_ns = self._elapsed_ns + round(seconds * 1e9)
        for _ in range(5):
            await asyncio.sleep(0)
        while self._sleepers and self._sleepers[0][0] <= end_ns:
            due_ns, _, woken = heapq.heappop(self._sleepers)
            self._elapsed_ns = due_ns
            if not woken.done():
                woken.set_result(None)
            for _ in range(15):
                await asyncio.sleep(0)
        self._elapsed_ns = end_ns


class Fate(Enum):
    """What becomes of bytes that were allowed to leave."""

    DELIVER = "delivered"
    DROP = "lost on the way"
    REFUSE = "refused by the node"
    TIME_OUT = "delivered, but the answer never came"
    HOLD = "waiting for a connection, not yet written"
    BREAK = "a fault that nobody foresaw"


class SimulatedWire:
    """The gated way out: `sent` is every write that left, in order, whatever became of it."""

    def __init__(self, ledger: Ledger, gate: Gate, now_ns: Callable[[], int]) -> None:
        self._ledger = ledger
        self._gate = gate
        self._now_ns = now_ns
        self.fates: list[Fate] = []  # of the next sends; afterwards `fate`
        self.fate = Fate.DELIVER
        self.sent: list[bytes] = []
        self.connected = asyncio.Event()
        self.waiting = 0
        self.asks_late = False  # whether held bytes have not left yet; else they are on their way

    @property
    def signatures(self) -> list[Signature]:
        return [VersionedTransaction.from_bytes(raw).signatures[0] for raw in self.sent]

    def send_together(self, parcels: Sequence[Parcel]) -> list[Awaitable[None]]:
        """Each as `send` does, if it is wanted in this moment."""
        return [
            self.send(each.raw, each.on_write, each.still_wanted) if each.still_wanted() else _unwanted()
            for each in parcels
        ]

    async def send(
        self, raw: bytes, on_write: Callable[[int], None], still_wanted: Callable[[], bool] = lambda: True
    ) -> None:
        fate = self.fates.pop(0) if self.fates else self.fate
        self._gate.check()
        if fate is Fate.HOLD:
            self.waiting += 1
            await self.connected.wait()
            self.waiting -= 1
        await asyncio.sleep(0)
        if self.asks_late and not still_wanted():
            raise NoLongerWanted
        self._gate.check()
        on_write(self._now_ns())
        self.sent.append(raw)
        if fate in (Fate.DELIVER, Fate.TIME_OUT, Fate.HOLD):
            self._ledger.submit(raw, skip_preflight=True)
        if fate is Fate.TIME_OUT:
            raise RpcFailure("timeout while sending", is_timeout=True)
        if fate is Fate.REFUSE:
            raise RpcFailure("node error: try again")
        if fate is Fate.BREAK:
            raise LookupError("a fault that nobody foresaw")


async def _unwanted() -> None:
    raise NoLongerWanted


@dataclass
class NodeFaults:
    """How the node misbehaves: `failing` names methods that raise, `hidden` what a fork took away."""

    failing: dict[str, Exception] = field(default_factory=dict)
    hidden: set[Signature] = field(default_factory=set)
    unread: set[Signature] = field(default_factory=set)  # has a status, but getTransaction is null
    finalized_height: int | None = None
    is_behind: bool = False  # no node is current
    breaking_off: Exception | None = None  # raised after the first slice of a snapshot


class SimulatedChain:
    """engine.chain.port.Chain over a ledger; `asked` is what was called, in order."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.faults = NodeFaults()
        self.asked: list[str] = []
        self.fees: list[int] = []

    async def _answer(self, method: str) -> None:
        self.asked.append(method)
        await asyncio.sleep(0)
        failure = self.faults.failing.get(method) or self.faults.failing.get("*")
        if failure is not None:
            raise failure

    def is_current(self) -> bool:
        return not self.faults.is_behind

    def why_not_current(self) -> str:
        return "simulated behind: 9 slots behind" if self.faults.is_behind else ""

    def tip(self) -> int:
        return self.ledger.slot

    def block_tip(self) -> int:
        return self._height(Level.PROCESSED)

    def endpoints(self) -> list[EndpointReport]:
        state = "behind" if self.faults.is_behind else "ok"
        return [EndpointReport("simulated", state, "", self.ledger.slot, 0, 0, 900, 2_000, 500, 500)]

    def disputes(self) -> list[str]:
        return []

    async def genesis_hash(self) -> str:
        await self._answer("genesis_hash")
        return str(self.ledger.genesis_hash)

    async def slot(self) -> int:
        await self._answer("slot")
        return self.ledger.slot

    async def block_height(self, level: Level) -> int:
        await self._answer(f"block_height {level.name}")
        return self._height(level)

    async def account(self, address: Pubkey, level: Level = Level.PROCESSED) -> AccountRead:
        await self._answer("account")
        return self._read(address, level)

    async def accounts(self, addresses: Sequence[Pubkey]) -> list[AccountRead]:
        await self._answer("accounts")
        return [self._read(address, Level.PROCESSED) for address in addresses]

    async def position_slices(self, program_id: Pubkey, min_slot: int) -> AsyncIterator[PositionSlice]:
        await self._answer("positions")
        assert self.ledger.slot >= min_slot
        found = [
            (bytes(address), bytes(account.data))
            for address, account in self.ledger.program_accounts(program_id)
            if bytes(account.data[:8]) == POSITION_DISCRIMINATOR
        ]
        for start in range(0, len(found), SLICE_ACCOUNTS):
            part = found[start : start + SLICE_ACCOUNTS]
            yield [address for address, _ in part], [data for _, data in part]
            failure = self.faults.breaking_off
            if failure is not None:
                raise failure

    async def latest_blockhash(self) -> FreshBlockhash:
        await self._answer("latest_blockhash")
        found = self.ledger.latest_blockhash(self.ledger.bank(Commitment.CONFIRMED))
        return FreshBlockhash(Hash.from_bytes(bytes(found.value)), found.last_valid_block_height)

    async def statuses(
        self, signatures: Sequence[Signature], *, search_history: bool, above_height: int | None = None
    ) -> list[SignatureStatus | None]:
        await self._answer("statuses+history" if search_history else "statuses")
        if above_height is not None and self._height(Level.FINALIZED) <= above_height:
            raise RpcFailure("not finalized so far")
        return [self._status(signature) for signature in signatures]

    async def transaction(self, signature: Signature, level: Level) -> LandedTransaction | None:
        await self._answer("transaction")
        landed = self._landed(signature)
        if landed is None or signature in self.faults.unread:
            return None
        if landed.slot > self.ledger.bank(_COMMITMENTS[level]).slot:
            return None
        return _translate(landed)

    async def final_transactions(self, signatures: Sequence[Signature]) -> dict[Signature, LandedTransaction]:
        told = {each: await self.transaction(each, Level.FINALIZED) for each in signatures}
        return {signature: landed for signature, landed in told.items() if landed is not None}

    async def simulate(self, raw: bytes, watched: Sequence[Pubkey]) -> Simulation:
        await self._answer("simulate")
        bank = self.ledger.bank(Commitment.PROCESSED)
        transaction = decode_transaction(raw)
        blockhash = self.ledger.latest_blockhash(bank).value
        done = self.ledger.simulate(transaction.with_blockhash(blockhash), bank, replayable=True)
        metadata = None if done.execution is None else done.execution.metadata
        after = {} if done.execution is None else done.execution.post_accounts
        accounts = [after.get(each) or self.ledger.account(each) for each in watched]
        return Simulation(
            slot=bank.slot,
            fault=_fault_of(done.fault),
            compute_units=0 if metadata is None else metadata.compute_units_consumed(),
            logs=[] if metadata is None else metadata.logs(),
            accounts=[] if done.fault is not None else [_read_of(each, bank.slot) for each in accounts],
        )

    async def signatures_of(
        self, address: Pubkey, *, before: Signature | None, limit: int
    ) -> list[Signature]:
        await self._answer("signatures_of")
        root = self.ledger.bank(Commitment.FINALIZED).slot
        found = [
            landed.signature
            for landed in reversed(self.ledger.history.naming(address))
            if landed.slot <= root
        ]
        start = found.index(before) + 1 if before is not None else 0
        return found[start : start + limit]

    async def balance(self, address: Pubkey) -> int:
        await self._answer("balance")
        return self._read(address, Level.PROCESSED).lamports

    async def recent_priority_fees(self, writable: Sequence[Pubkey]) -> list[int]:
        await self._answer("recent_priority_fees")
        return self.fees

    def _height(self, level: Level) -> int:
        if level is Level.FINALIZED and self.faults.finalized_height is not None:
            return self.faults.finalized_height
        return self.ledger.bank(_COMMITMENTS[level]).block_height

    def _read(self, address: Pubkey, level: Level) -> AccountRead:
        bank = self.ledger.bank(_COMMITMENTS[level])
        account = self.ledger.account(address, _COMMITMENTS[level])
        return _read_of(account, bank.slot)

    def _landed(self, signature: Signature) -> history.LandedTransaction | None:
        return None if signature in self.faults.hidden else self.ledger.history.get(signature)

    def _status(self, signature: Signature) -> SignatureStatus | None:
        landed = self._landed(signature)
        if landed is None:
            return None
        level = _LEVELS[self.ledger.commitment_of(landed.slot)]
        return SignatureStatus(landed.slot, level, _fault(landed))


def _read_of(account: Account | None, slot: int) -> AccountRead:
    if account is None or account.lamports == 0:
        return AccountRead(None, None, 0, slot)
    return AccountRead(bytes(account.data), account.owner, account.lamports, slot)


def _fault(landed: history.LandedTransaction) -> TransactionFault | None:
    return _fault_of(landed.fault)


def _fault_of(fault: Any) -> TransactionFault | None:
    if fault is None:
        return None
    if isinstance(fault, str):
        return TransactionFault(fault, None)
    ((name, detail),) = fault.items()
    if name != "InstructionError":
        return TransactionFault(name, None)
    assert isinstance(detail, list)
    inner = detail[1]
    if isinstance(inner, dict):
        return TransactionFault("Custom", inner["Custom"])
    return TransactionFault(str(inner), None)


def _translate(landed: history.LandedTransaction) -> LandedTransaction:
    changes = zip(landed.accounts.every, landed.pre_balances, landed.post_balances, strict=True)
    return LandedTransaction(
        slot=landed.slot,
        block_time_s=landed.block_time_s,
        fault=_fault(landed),
        fee_lamports=landed.fee_lamports,
        compute_units=landed.metadata.compute_units_consumed(),
        logs=landed.metadata.logs(),
        lamports_change={address: post - pre for address, pre, post in changes},
        signers=tuple(landed.wire.message.account_keys[: landed.wire.message.header.num_required_signatures]),
    )


def rent_paying(ledger: Ledger, data: bytes, owner: Pubkey, extra_lamports: int = 0) -> Account:
    """An account with this content that holds its rent and something more."""
    return Account(ledger.rent_exempt_minimum_lamports(len(data)) + extra_lamports, data, owner)


def make_position(**changes: Any) -> Position:
    """A 20x long of one BTC bought at 60,000 USD with 3,000 USD: liquidatable below 58,461.54."""
    position = Position(
        address=Pubkey.new_unique(),
        owner=Pubkey.new_unique(),
        symbol="BTC/USD",
        side=Side.LONG,
        size_e6=1_000_000,
        collateral_e6=3_000_000_000,
        entry_price_e6=60_000_000_000,
        leverage=20,
        maintenance_margin_e6=1_500_000_000,
        is_liquidated=False,
        created_at_s=1_750_000_000,
        generation=Generation.DOCUMENTED,
        slot=0,
    )
    return replace(position, **changes)
