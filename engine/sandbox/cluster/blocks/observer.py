"""Whom a ledger tells what happens."""

from __future__ import annotations

from typing import Protocol

from solders.account import Account
from solders.pubkey import Pubkey

from engine.sandbox.cluster.blocks.banks import Commitment
from engine.sandbox.cluster.blocks.history import LandedTransaction


class LedgerObserver(Protocol):
    """Whom the ledger tells what happens, in the order of events; must not call back into a write."""

    def account_written(self, address: Pubkey, account: Account | None, slot: int) -> None:
        """An account changed in the open slot; None when it was closed."""
        ...

    def transaction_landed(self, landed: LandedTransaction) -> None:
        """A transaction was executed in the open slot, before the accounts that it wrote are told."""
        ...

    def slot_opened(self, slot: int, parent: int, root: int) -> None:
        """A slot begins; `root` is the finalized one."""
        ...

    def bank_reached(self, commitment: Commitment, slot: int) -> None:
        """The bank of `slot` is now confirmed, or finalized."""
        ...

    def slots_abandoned(self, first: int, last: int) -> None:
        """The blocks of these slots are on a fork that lost: what they did is undone in the slot to come."""
        ...
