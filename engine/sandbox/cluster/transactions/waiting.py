"""The transactions that wait for a block: in the order in which they pay, bounded, each only once."""

from __future__ import annotations

import heapq
from bisect import insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from solders.signature import Signature

from engine.sandbox.cluster.transactions.transaction_accounts import TransactionAccounts
from engine.sandbox.cluster.transactions.transaction_faults import Fault
from engine.sandbox.cluster.transactions.wire_transaction import WireTransaction


@dataclass(frozen=True, slots=True)
class Waiting:
    """A transaction on its way into a block, with what the leader has to know of it.

    `fixed_units` and `run_units` are its cost to a block beside running, and at most for running. It does not
    run before `due_slot`. With a `forced_fault` it lands as failed. Of equals the first to arrive is best.
    """

    wire: WireTransaction
    accounts: TransactionAccounts
    arrival: int
    priority: int
    fixed_units: int
    run_units: int
    signatures_checked: bool
    due_slot: int
    forced_fault: Fault | None

    @property
    def cost_units(self) -> int:
        """What must be free in a block for it."""
        return self.fixed_units + self.run_units


class WaitingTransactions:
    """At most `most` of them; the lowest paying one makes room for a better one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_signature: dict[Signature, Waiting] = {}
        # Ascending: priority, and the negative number of arrival.
        self._ranked: list[tuple[int, int, Signature]] = []
        self._not_due: list[tuple[int, int, Signature]] = []

    def __len__(self) -> int:
        return len(self._by_signature)

    def __contains__(self, signature: Signature) -> bool:
        return signature in self._by_signature

    def add(self, waiting: Waiting, slot: int) -> Waiting | None:
        """Put in one that is not there yet; answers the one that had to go for want of room, if any."""
        signature = waiting.wire.signature
        self._by_signature[signature] = waiting
        if waiting.due_slot > slot:
            heapq.heappush(self._not_due, (waiting.due_slot, waiting.arrival, signature))
        else:
            insort(self._ranked, (waiting.priority, -waiting.arrival, signature))
        return self._drop_lowest() if len(self) > self._most else None

    def best_first(self, slot: int) -> Iterator[Waiting]:
        """Those that may run in a slot, each taken out as it comes."""
        while self._not_due and self._not_due[0][0] <= slot:
            _, arrival, signature = heapq.heappop(self._not_due)
            insort(self._ranked, (self._by_signature[signature].priority, -arrival, signature))
        while self._ranked:
            yield self._by_signature.pop(self._ranked.pop()[2])

    def discard(self, unwanted: Callable[[Waiting], bool]) -> int:
        """Take out those that are unwanted; answers how many they were."""
        gone = {signature for signature, waiting in self._by_signature.items() if unwanted(waiting)}
        if gone:
            for signature in gone:
                del self._by_signature[signature]
            self._ranked = [entry for entry in self._ranked if entry[2] not in gone]
            self._not_due = [entry for entry in self._not_due if entry[2] not in gone]
            heapq.heapify(self._not_due)
        return len(gone)

    def _drop_lowest(self) -> Waiting:
        _, _, signature = self._ranked.pop(0) if self._ranked else self._not_due.pop()
        return self._by_signature.pop(signature)
