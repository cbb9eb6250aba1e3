"""How a leader builds a block: what fits into it, and in which order conflicting transactions run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from solders.pubkey import Pubkey

from engine.sandbox.cluster.transactions.waiting import Waiting


@dataclass(frozen=True, slots=True)
class BlockLimits:
    """What fits into one block, in compute units of the cost model, and what a leader takes on.

    A block holds 100 million units (SIMD-0286) and 40 million of them may write to one account (with the same
    feature, agave runtime/src/slot_params.rs). `waiting_transactions` may wait for a block, and one call of
    the leader runs `transactions_per_call` of them at most, so that nobody else waits long for the ledger.
    """

    block_units: int = 100_000_000
    writable_account_units: int = 40_000_000
    waiting_transactions: int = 20_000
    transactions_per_call: int = 256


def in_entries(best_first: Sequence[Waiting]) -> list[list[Waiting]]:
    """Transactions in the entries of a block: in none do two lock an account that one of them writes to.

    Each is in the first entry that none of its better paying rivals for an account is in or behind.
    """
    entries: list[list[Waiting]] = []
    written: dict[Pubkey, int] = {}
    read: dict[Pubkey, int] = {}
    for waiting in best_first:
        writable, every = waiting.accounts.writable, waiting.accounts.every
        after_writers = max((written.get(address, 0) for address in every), default=0)
        after_readers = max((read.get(address, 0) for address in writable), default=0)
        entry = max(after_writers, after_readers)
        for address in every:
            read[address] = max(read.get(address, 0), entry + 1)
        for address in writable:
            written[address] = entry + 1
        if entry == len(entries):
            entries.append([])
        entries[entry].append(waiting)
    return entries


class BlockBudget:
    """What is still free in one block, in compute units of the cost model."""

    def __init__(self, slot: int, limits: BlockLimits) -> None:
        self.slot = slot
        self.free_units = limits.block_units
        self._account_units = limits.writable_account_units
        self._used_by_account: dict[Pubkey, int] = {}

    def reserve(self, waiting: Waiting) -> bool:
        """Set aside what a transaction may cost; answers False when that much is not free."""
        cost = waiting.cost_units
        if cost > self.free_units:
            return False
        used, writable = self._used_by_account, waiting.accounts.writable
        if any(used.get(address, 0) + cost > self._account_units for address in writable):
            return False
        self._charge(waiting, cost)
        return True

    def settle(self, waiting: Waiting, cost_units: int) -> None:
        """Give back what a transaction cost less than was set aside for it."""
        self._charge(waiting, cost_units - waiting.cost_units)

    def _charge(self, waiting: Waiting, units: int) -> None:
        self.free_units -= units
        for address in waiting.accounts.writable:
            self._used_by_account[address] = self._used_by_account.get(address, 0) + units
