"""What one node knows of the ledger: the newest slot that it has seen, and the banks below it.

A node may lag behind the cluster, or stand still. What it has not seen yet does not exist for its clients.
"""

from __future__ import annotations

from collections.abc import Iterator

from solders.account import Account
from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.sandbox.cluster.banks import Bank, Commitment
from engine.sandbox.cluster.blockhashes import Blockhash
from engine.sandbox.cluster.history import LandedTransaction
from engine.sandbox.cluster.ledger import Ledger


class View:
    """A node's own look at the ledger; reads through it never show more than the node has seen."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._lag_slots = 0
        self._frozen_at: int | None = None

    @property
    def slot(self) -> int:
        """The newest slot that this node has seen."""
        slot = self.ledger.slot - self._lag_slots if self._frozen_at is None else self._frozen_at
        return max(slot, self.ledger.first_slot)

    @property
    def slots_behind(self) -> int:
        """How many slots of the cluster this node has not seen."""
        return self.ledger.slot - self.slot

    @property
    def healthy(self) -> bool:
        """Whether slots reach this node."""
        return not self.ledger.halted

    def lag(self, slots: int) -> None:
        """Stay so many slots behind the cluster from now on; 0 catches up."""
        self._lag_slots = slots

    def freeze(self) -> None:
        """See no further slot until `thaw`."""
        self._frozen_at = self.slot

    def thaw(self) -> None:
        """See slots again, as far as `lag` lets it."""
        self._frozen_at = None

    def bank(self, commitment: Commitment) -> Bank:
        """The bank that a commitment level names for this node."""
        return self.ledger.bank(commitment)

    def commitment_of(self, slot: int) -> Commitment:
        """How settled this node knows the bank of a slot to be."""
        return self.ledger.commitment_of(slot)

    def latest_blockhash(self, bank: Bank) -> Blockhash:
        """The newest blockhash that a bank knows."""
        return self.ledger.latest_blockhash(bank)

    def accepts_blockhash(self, bank: Bank, value: Hash) -> bool:
        """Whether a transaction that carries this hash could run in this bank."""
        return self.ledger.accepts_blockhash(bank, value)

    def account_at(self, address: Pubkey, slot: int) -> Account | None:
        """An account as the bank of a slot sees it."""
        return self.ledger.account_at(address, slot)

    def program_addresses(self, program_id: Pubkey, slot: int) -> list[Pubkey]:
        """The addresses of a program's accounts in the bank of a slot, ascending."""
        return self.ledger.program_addresses(program_id, slot)

    def program_accounts(
        self, program_id: Pubkey, commitment: Commitment
    ) -> Iterator[tuple[Pubkey, Account]]:
        """Every account that a program owns, by ascending address; to be read before the next write."""
        return self.ledger.program_accounts(program_id, commitment)

    def landed(self, signature: Signature) -> LandedTransaction | None:
        """A transaction in a block that this node has seen."""
        found = self.ledger.history.get(signature)
        return found if found is not None and found.slot <= self.slot else None
