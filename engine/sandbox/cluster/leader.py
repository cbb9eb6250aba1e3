"""The leader: holds the transactions that wait for the open block, and decides in which order they run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.sandbox.cluster.banks import Bank, Commitment
from engine.sandbox.cluster.ledger import Ledger
from engine.sandbox.cluster.preflight import preflight_failure, signature_verification_failure
from engine.sandbox.cluster.transaction_faults import Fault
from engine.sandbox.cluster.wire_transaction import WireTransaction, decode_transaction


@dataclass(frozen=True, slots=True)
class BlockLimits:
    """What fits into one block, in compute units of the cost model, and how much may wait for one."""

    block_units: int = 100_000_000
    writable_account_units: int = 40_000_000
    waiting_transactions: int = 20_000


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

    `fate`, when set, is asked once about each transaction that is taken in.
    """

    def __init__(self, ledger: Ledger, limits: BlockLimits | None = None) -> None:
        self.ledger = ledger
        self.limits = limits or BlockLimits()
        self.fate: Callable[[WireTransaction], Fate] | None = None
        self._waiting: list[tuple[int, WireTransaction, Fate, bool]] = []

    @property
    def pending(self) -> int:
        """How many transactions wait for a block."""
        return len(self._waiting)

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
        if not skip_preflight:
            if not wire.has_valid_signatures():
                raise signature_verification_failure()
            simulation = self.ledger.simulate(wire, preflight_bank or self.ledger.bank(preflight_commitment))
            if simulation.fault is not None:
                raise preflight_failure(simulation.fault, simulation.execution)
        self._enqueue(wire, signatures_checked=not skip_preflight)
        return wire.signature

    def airdrop(self, address: Pubkey, lamports: int) -> Signature:
        """Have the faucet send lamports, by a transaction like any other; raises RpcError when it cannot."""
        return self.ledger.airdrop(address, lamports)

    def work(self) -> None:
        """Run waiting transactions in the open slot, the best paying first, as far as limits allow."""
        waiting, self._waiting = self._waiting, []
        for due_slot, wire, fate, signatures_checked in waiting:
            if due_slot > self.ledger.slot:
                self._waiting.append((due_slot, wire, fate, signatures_checked))
            else:
                self.ledger.execute(wire, signatures_checked=signatures_checked, forced_fault=fate.fault)

    def _enqueue(self, wire: WireTransaction, *, signatures_checked: bool) -> None:
        fate = _ORDINARY if self.fate is None else self.fate(wire)
        if fate.lost:
            return
        self._waiting.append((self.ledger.slot + fate.delay_slots, wire, fate, signatures_checked))
        self.work()
