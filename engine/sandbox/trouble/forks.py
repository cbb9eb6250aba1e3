"""Trouble with blocks: forks by which they disappear again, and slots without one."""

from __future__ import annotations

from collections import Counter

from engine.sandbox.cluster.blocks.banks import Commitment
from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.ledger.ledger import Ledger
from engine.sandbox.cluster.rpc_errors import RpcError
from engine.sandbox.market.seeds import generator
from engine.sandbox.trouble.settings import ForkTrouble


class Forks:
    """Makes the cluster abandon its newest blocks; called at the start of each slot."""

    def __init__(self, leader: Leader, counters: Counter[str]) -> None:
        self._leader = leader
        self._counters = counters
        self._last_slot = leader.ledger.slot
        self.set(ForkTrouble(), seed=0)

    def set(self, settings: ForkTrouble, seed: int) -> None:
        """Follow these settings from the next slot on; `once` is a fork at once."""
        self._settings = settings
        self._rng = generator(seed, "forks")
        self._last_slot = self._leader.ledger.slot
        if settings.once:
            self._fork()

    def on_slot(self, ledger: Ledger) -> None:
        """Fork when it is time to."""
        settings = self._settings
        if settings.every_slots is not None and ledger.slot - self._last_slot >= settings.every_slots:
            self._fork()
        if self._rng.random() < settings.skip_share:
            self._counters["forks_slots_skipped"] += 1
            ledger.skip_slot()

    def _fork(self) -> None:
        ledger = self._leader.ledger
        oldest = ledger.bank(Commitment.FINALIZED).slot + 1
        first = max(ledger.slot - self._settings.depth_slots, oldest)
        abandoned = ledger.abandon(first)
        self._last_slot = ledger.slot
        self._counters["forks"] += 1
        self._counters["forks_transactions_abandoned"] += len(abandoned)
        for wire in abandoned:
            if self._rng.random() >= self._settings.returning_share:
                continue
            try:
                self._leader.take_in(wire.raw, skip_preflight=True)
            except RpcError:
                continue  # what cannot be taken in again is lost, as on any fork
            self._counters["forks_transactions_returned"] += 1
