"""Trouble with transactions on their way into a block: lost, late, or landed with an error."""

from __future__ import annotations

from collections import Counter

from solders.pubkey import Pubkey

from engine.sandbox.cluster.ledger.leader import Fate
from engine.sandbox.cluster.transactions.wire_transaction import WireTransaction
from engine.sandbox.market.seeds import generator
from engine.sandbox.trouble.chance import drawn_by, which
from engine.sandbox.trouble.settings import LandingTrouble

_ORDINARY = Fate()


class Landing:
    """Decides each transaction's fate. The same transaction, sent again, meets the same one."""

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self.set(LandingTrouble(), seed=0)

    def set(self, settings: LandingTrouble, seed: int) -> None:
        """Follow these settings from the next transaction on."""
        self._settings = settings
        self._seed = seed
        self._sendings = generator(seed, "sendings")
        self._accounts = {Pubkey.from_string(text) for text in settings.accounts}

    def fate(self, wire: WireTransaction) -> Fate:
        """What becomes of a transaction."""
        settings = self._settings
        if self._accounts and self._accounts.isdisjoint(wire.message.account_keys):
            return _ORDINARY
        met = which(
            drawn_by(self._seed, bytes(wire.signature)),
            {"lost": settings.lost_share, "late": settings.late_share, "failed": settings.fail_share},
        )
        if met != "lost" and self._sendings.random() < settings.drop_share:
            met = "dropped"
        if met is None:
            return _ORDINARY
        self._counters[f"landing_{met}"] += 1
        if met == "late":
            return Fate(delay_slots=settings.late_slots)
        if met == "failed":
            return Fate(fault=settings.fail_error)
        return Fate(lost=True)
