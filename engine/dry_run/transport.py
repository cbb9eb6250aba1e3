"""A dry run's way out, which is none: where bytes would leave, a node is asked what they would do.

The engine in front of it is the real one. It hears of its transactions as if they had landed, marked as
rehearsals, and finds their positions as they would have left them, until the chain itself changes them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import structlog
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from engine.chain.answers import priority_lamports
from engine.chain.fees import BASE_FEE_LAMPORTS
from engine.chain.parcel import Parcel
from engine.chain.port import (
    AccountRead,
    Chain,
    EndpointReport,
    FreshBlockhash,
    LandedTransaction,
    Level,
    NoLongerWanted,
    PositionSlice,
    SignatureStatus,
    Simulation,
)
from engine.clock import Clock
from engine.control import Gate
from engine.dry_run import STAND_IN
from engine.protocol.accounts import AccountRefused, decode_fund
from engine.protocol.addresses import SYSTEM_PROGRAM, insurance_fund_address
from engine.protocol.instructions import read_liquidation

log = structlog.get_logger("dry run")

MOST_REHEARSED = 20_000
MOST_CHANGED = 100_000
FINAL_DEPTH_SLOTS = 32
IMAGINED_LAMPORTS = 100 * 10**9
"""What the stand-in for a wallet is taken to hold."""
STAND_IN_LAMPORTS = 10**8  # whoever stands in for it in a rehearsal must be able to pay, too


@dataclass(frozen=True, slots=True)
class _Change:
    """An account as it is on the chain, and as a rehearsed transaction would have left it."""

    on_chain: bytes
    left: AccountRead


class DryRunTransport:
    """Stands where the cluster and the gated way out are: `Chain` and `Wire` in one."""

    def __init__(
        self,
        chain: Chain,
        gate: Gate,
        clock: Clock,
        *,
        program_id: Pubkey,
        wallet: Pubkey,
    ) -> None:
        self._chain = chain
        self._gate = gate
        self._clock = clock
        self._program_id = program_id
        self._fund = insurance_fund_address(program_id)
        self._wallet = wallet
        self._wallet_is_stand_in = wallet == STAND_IN
        self._rehearsed: OrderedDict[Signature, LandedTransaction] = OrderedDict()
        self._changed: OrderedDict[Pubkey, _Change] = OrderedDict()

    # --- the way out ---

    def send_together(self, parcels: Sequence[Parcel]) -> list[Awaitable[None]]:
        """Each as `send` does."""
        return [self.send(each.raw, each.on_write, each.still_wanted) for each in parcels]

    async def send(
        self, raw: bytes, on_write: Callable[[int], None], still_wanted: Callable[[], bool] = lambda: True
    ) -> None:
        """Send nothing. Raises SendingStopped when the gate is closed, RpcFailure when no node tells."""
        if not still_wanted():
            raise NoLongerWanted
        self._gate.check()
        on_write(self._clock.now_ns())
        transaction = VersionedTransaction.from_bytes(raw)
        signature = transaction.signatures[0]
        if signature in self._rehearsed:
            return
        position = self._position_of(transaction)
        before, fund = await self._chain.accounts([position, self._fund])
        if self._is_second(position, before):
            _put(self._rehearsed, signature, self._unrehearsed(transaction, before.slot), MOST_REHEARSED)
            return
        paid_for = await self._with_a_payer(raw, transaction, fund)
        simulation = await self._chain.simulate(paid_for, [position, self._fund])
        _put(self._rehearsed, signature, self._as_landed(transaction, simulation, fund), MOST_REHEARSED)
        if simulation.fault is None and before.data is not None:
            _put(self._changed, position, _Change(before.data, simulation.accounts[0]), MOST_CHANGED)
        log.info("rehearsed", signature=str(signature), slot=simulation.slot, fault=str(simulation.fault))

    def _position_of(self, transaction: VersionedTransaction) -> Pubkey:
        message = transaction.message
        keys = list(message.account_keys)
        for instruction in message.instructions:
            if keys[instruction.program_id_index] == self._program_id:
                accounts = [keys[index] for index in bytes(instruction.accounts)]
                call = read_liquidation(bytes(instruction.data), accounts)
                if call is not None:
                    return call.position
        raise ValueError("a transaction that liquidates nothing")

    async def _with_a_payer(self, raw: bytes, transaction: VersionedTransaction, fund: AccountRead) -> bytes:
        """No transaction runs without a payer: the fund's authority pays in place of a wallet that is none.

        A rehearsal's signatures are not checked, so nobody has to agree.
        """
        if not self._wallet_is_stand_in or fund.data is None:
            return raw
        try:
            authority = decode_fund(fund.data, fund.slot).authority
        except AccountRefused:
            return raw
        if authority in transaction.message.account_keys:
            return raw
        payer = await self._chain.account(authority)
        if payer.owner != SYSTEM_PROGRAM or payer.data or payer.lamports < STAND_IN_LAMPORTS:
            return raw
        return raw.replace(bytes(self._wallet), bytes(authority))

    def _as_landed(
        self, transaction: VersionedTransaction, simulation: Simulation, fund: AccountRead
    ) -> LandedTransaction:
        after = simulation.accounts[1].lamports if simulation.accounts else fund.lamports
        return LandedTransaction(
            slot=simulation.slot,
            block_time_s=self._clock.now_ns() // 10**9,
            fault=simulation.fault,
            fee_lamports=BASE_FEE_LAMPORTS + priority_lamports(transaction),
            compute_units=simulation.compute_units,
            logs=simulation.logs,
            lamports_change={self._fund: after - fund.lamports},
            is_rehearsal=True,
        )

    def _is_second(self, position: Pubkey, read: AccountRead) -> bool:
        """Whether the account is liquidated again before the chain changed it.

        No node can rehearse that: it does not have what the first one left. So the position rests until then.
        """
        change = self._changed.get(position)
        if change is None or change.on_chain != read.data:
            return False
        self._changed[position] = replace(change, left=AccountRead(None, None, 0, read.slot))
        return True

    def _unrehearsed(self, transaction: VersionedTransaction, slot: int) -> LandedTransaction:
        return LandedTransaction(
            slot=slot,
            block_time_s=None,
            fault=None,
            fee_lamports=BASE_FEE_LAMPORTS + priority_lamports(transaction),
            compute_units=0,
            logs=[],
            lamports_change={},
            is_rehearsal=True,
        )

    # --- the cluster as it would be ---

    def _as_left(self, address: Pubkey, read: AccountRead) -> AccountRead:
        change = self._changed.get(address)
        if change is None:
            return read
        if change.on_chain != read.data:
            del self._changed[address]  # the chain went on by itself
            return read
        return replace(change.left, slot=read.slot)

    async def account(self, address: Pubkey, level: Level = Level.PROCESSED) -> AccountRead:
        """One account, as a rehearsal would have left it."""
        return self._as_left(address, await self._chain.account(address, level))

    async def accounts(self, addresses: Sequence[Pubkey]) -> list[AccountRead]:
        """Up to a hundred accounts, as rehearsals would have left them."""
        reads = await self._chain.accounts(addresses)
        return [self._as_left(address, read) for address, read in zip(addresses, reads, strict=True)]

    async def position_slices(self, program_id: Pubkey, min_slot: int) -> AsyncIterator[PositionSlice]:
        """Every position, without those that a rehearsal closed."""
        async for addresses, accounts in self._chain.position_slices(program_id, min_slot):
            if not self._changed:
                yield addresses, accounts
                continue
            kept: tuple[list[bytes], list[bytes]] = ([], [])
            for address, data in zip(addresses, accounts, strict=True):
                change = self._changed.get(Pubkey.from_bytes(address))
                left = change.left.data if change is not None and change.on_chain == data else data
                if left is not None:
                    kept[0].append(address)
                    kept[1].append(left)
            yield kept

    async def statuses(
        self, signatures: Sequence[Signature], *, search_history: bool, above_height: int | None = None
    ) -> list[SignatureStatus | None]:
        """A rehearsed transaction is confirmed at once, and final when its slot would be."""
        asked = [signature for signature in signatures if signature not in self._rehearsed]
        told: dict[Signature, SignatureStatus | None] = {}
        if asked:
            answers = await self._chain.statuses(
                asked, search_history=search_history, above_height=above_height
            )
            told = dict(zip(asked, answers, strict=True))
        return [told[each] if each in told else self._status(each) for each in signatures]

    def _status(self, signature: Signature) -> SignatureStatus:
        rehearsed = self._rehearsed[signature]
        is_final = self._chain.tip() >= rehearsed.slot + FINAL_DEPTH_SLOTS
        level = Level.FINALIZED if is_final else Level.CONFIRMED
        return SignatureStatus(rehearsed.slot, level, rehearsed.fault, is_rehearsal=True)

    async def transaction(self, signature: Signature, level: Level) -> LandedTransaction | None:
        """What a rehearsed transaction would have done; another one as the chain has it."""
        if signature in self._rehearsed:
            return self._rehearsed[signature]
        return await self._chain.transaction(signature, level)

    async def final_transactions(self, signatures: Sequence[Signature]) -> dict[Signature, LandedTransaction]:
        """The same of many: what was rehearsed is here, the chain is asked for the others."""
        told = {each: self._rehearsed[each] for each in signatures if each in self._rehearsed}
        asked = [each for each in signatures if each not in told]
        return told | (await self._chain.final_transactions(asked) if asked else {})

    async def signatures_of(
        self, address: Pubkey, *, before: Signature | None, limit: int
    ) -> list[Signature]:
        """A dry run's wallet has sent nothing; what a real engine sends with it is no business of ours."""
        if address == self._wallet:
            return []
        return await self._chain.signatures_of(address, before=before, limit=limit)

    async def balance(self, address: Pubkey) -> int:
        """Lamports of an account; what stands in for a wallet is taken to have enough."""
        if self._wallet_is_stand_in and address == self._wallet:
            return IMAGINED_LAMPORTS
        return await self._chain.balance(address)

    # --- the cluster as it is ---

    def is_current(self) -> bool:
        """Whether a node is there that answers, goes on, and is not behind."""
        return self._chain.is_current()

    def why_not_current(self) -> str:
        """In words: what is wrong with each node."""
        return self._chain.why_not_current()

    def tip(self) -> int:
        """The newest slot that any node was believed to be at."""
        return self._chain.tip()

    def block_tip(self) -> int:
        """The highest block height that was believed, 0 before the first."""
        return self._chain.block_tip()

    def endpoints(self) -> list[EndpointReport]:
        """How each node stands."""
        return self._chain.endpoints()

    def disputes(self) -> list[str]:
        """In words: transactions about which nodes contradict each other."""
        return self._chain.disputes()

    async def genesis_hash(self) -> str:
        """The identity of the cluster."""
        return await self._chain.genesis_hash()

    async def slot(self) -> int:
        """The current slot at processed."""
        return await self._chain.slot()

    async def block_height(self, level: Level) -> int:
        """The block height at a commitment level."""
        return await self._chain.block_height(level)

    async def latest_blockhash(self) -> FreshBlockhash:
        """A blockhash at confirmed."""
        return await self._chain.latest_blockhash()

    async def simulate(self, raw: bytes, watched: Sequence[Pubkey]) -> Simulation:
        """What a transaction would do now."""
        return await self._chain.simulate(raw, watched)

    async def recent_priority_fees(self, writable: Sequence[Pubkey]) -> list[int]:
        """Recently paid priority fees in micro-lamports per compute unit."""
        return await self._chain.recent_priority_fees(writable)


K = TypeVar("K")
V = TypeVar("V")


def _put(kept: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > most:
        kept.popitem(last=False)
