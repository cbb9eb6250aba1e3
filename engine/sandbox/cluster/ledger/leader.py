"""The leader: holds the transactions that wait for the open block, and decides in which order they run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.sandbox.cluster.blocks.banks import Bank, Commitment
from engine.sandbox.cluster.ledger.block_building import BlockBudget, BlockLimits, in_entries
from engine.sandbox.cluster.ledger.ledger import Ledger
from engine.sandbox.cluster.rpc_errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    RpcError,
    TransactionRefused,
)
from engine.sandbox.cluster.transactions.compute_budget import (
    compute_budget_of,
    fixed_cost_units,
    priority_of,
)
from engine.sandbox.cluster.transactions.transaction_accounts import accounts_of, lookup_fault
from engine.sandbox.cluster.transactions.transaction_faults import Fault, fault_message
from engine.sandbox.cluster.transactions.waiting import Waiting, WaitingTransactions
from engine.sandbox.cluster.transactions.wire_transaction import WireTransaction, decode_transaction

__all__ = ["BlockLimits", "Fate", "Leader"]

# A block that has less free than the smallest transaction costs is full.
_FULL_BELOW_UNITS = 1_000
# How many that do not fit the leader passes over in one call, looking for others that do.
_PASSED_OVER = 1_000
# How often those that will never be reached are looked through for expired ones.
_SWEEP_SLOTS = 8


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a transaction on its way into a block.

    A `lost` one never arrives. It may run `delay_slots` later than it could. With a `fault` it lands, pays
    its fee, and has no other effect than this error.
    """

    lost: bool = False
    delay_slots: int = 0
    fault: Fault | None = None


_ORDINARY = Fate()


class Leader:
    """Takes transactions in from every node and puts them into blocks.

    `fate`, when set, is asked once about each transaction that is taken in. `dropped` counts, by reason, what
    never got as far as the ledger.
    """

    def __init__(self, ledger: Ledger, limits: BlockLimits | None = None) -> None:
        self.ledger = ledger
        self.limits = limits or BlockLimits()
        self.fate: Callable[[WireTransaction], Fate] | None = None
        self.dropped: Counter[str] = Counter()
        self._arrivals = 0
        self._waiting = WaitingTransactions(self.limits.waiting_transactions)
        self._budget = BlockBudget(ledger.slot, self.limits)

    @property
    def pending(self) -> int:
        """How many transactions wait for a block."""
        return len(self._waiting)

    # --- in ---

    def take_in(
        self,
        raw: bytes,
        *,
        skip_preflight: bool,
        preflight_commitment: Commitment = Commitment.PROCESSED,
        preflight_bank: Bank | None = None,
    ) -> Signature:
        """Take in a transaction's wire bytes, as sendTransaction does.

        Preflight runs against `preflight_bank` (of a node that may lag behind), or else against the cluster's
        bank of `preflight_commitment`. Raises TransactionRefused for what the node refuses to forward.
        """
        wire = decode_transaction(raw)
        bank = preflight_bank or self.ledger.bank(preflight_commitment)
        fault = lookup_fault(
            wire.message, bank.slot, lambda address: self.ledger.account_at(address, bank.slot)
        )
        if fault is not None:
            raise TransactionRefused(INVALID_PARAMS, f"invalid transaction: {fault_message(fault)}")
        if not skip_preflight:
            self.ledger.preflight(wire, bank)
        self._enqueue(wire, signatures_checked=not skip_preflight)
        return wire.signature

    def airdrop(self, address: Pubkey, lamports: int) -> Signature:
        """Have the faucet send lamports, by a transaction like any other; raises RpcError when it cannot."""
        payment = self.ledger.airdrop_payment(address, lamports)
        fault = self.ledger.simulate(payment, self.ledger.bank(Commitment.PROCESSED)).fault
        if fault is not None:
            raise RpcError(INTERNAL_ERROR, f"airdrop request failed: {fault_message(fault)}")
        self._enqueue(payment, signatures_checked=True)
        return payment.signature

    def take_back(self, wires: Iterable[WireTransaction]) -> None:
        """Let transactions of an abandoned fork wait for a block again, as a node sends them anew."""
        for wire in wires:
            self._enqueue(wire, signatures_checked=True)

    # --- into blocks ---

    def work(self) -> None:
        """Run waiting transactions in the open slot, the best paying first, as far as limits allow."""
        if not self._waiting:
            return
        slot = self.ledger.slot
        if self._budget.slot != slot:
            self._budget = BlockBudget(slot, self.limits)
            if slot % _SWEEP_SLOTS == 0:
                self._drop_expired()
        for entry in in_entries(self._chosen(slot)):
            for waiting in entry:
                landed = self.ledger.execute(
                    waiting.wire,
                    signatures_checked=waiting.signatures_checked,
                    forced_fault=waiting.forced_fault,
                )
                units = 0 if landed is None else landed.metadata.compute_units_consumed()
                self._budget.settle(waiting, 0 if landed is None else waiting.fixed_units + units)

    def _chosen(self, slot: int) -> list[Waiting]:
        """Take out what runs now, the best first; what does not fit into this block stays for a later one."""
        chosen: list[Waiting] = []
        passed_over: list[Waiting] = []
        if self._budget.free_units >= _FULL_BELOW_UNITS:
            for waiting in self._waiting.best_first(slot):
                (chosen if self._budget.reserve(waiting) else passed_over).append(waiting)
                if len(chosen) == self.limits.transactions_per_call or len(passed_over) == _PASSED_OVER:
                    break
        for waiting in passed_over:
            self._waiting.add(waiting, slot)
        return chosen

    def _enqueue(self, wire: WireTransaction, *, signatures_checked: bool) -> None:
        if wire.signature in self._waiting:
            return
        fate = _ORDINARY if self.fate is None else self.fate(wire)
        if fate.lost:
            self.dropped["lost"] += 1
            return
        slot, message = self.ledger.slot, wire.message
        accounts = accounts_of(message, self.ledger.account)
        budget = compute_budget_of(message, accounts.static)
        fixed_units = fixed_cost_units(message, len(accounts.writable), budget)
        self._arrivals += 1
        waiting = Waiting(
            wire=wire,
            accounts=accounts,
            arrival=self._arrivals,
            priority=priority_of(message, budget, fixed_units + budget.unit_limit),
            fixed_units=fixed_units,
            run_units=budget.unit_limit,
            signatures_checked=signatures_checked,
            due_slot=slot + fate.delay_slots,
            forced_fault=fate.fault,
        )
        if self._waiting.add(waiting, slot) is not None:
            self.dropped["no room"] += 1

    def _drop_expired(self) -> None:
        gone = self._waiting.discard(lambda waiting: self.ledger.refusal(waiting.wire) is not None)
        if gone:
            self.dropped["expired"] += gone
