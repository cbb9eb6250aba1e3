"""What one node knows of the ledger: the newest slot that it has seen, and the banks below it.

A node may lag behind the cluster, or stand still. What it has not seen yet does not exist for its clients.
"""

from __future__ import annotations

from collections.abc import Iterator

from solders.account import Account
from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.sandbox.cluster.blocks.banks import Bank, Commitment
from engine.sandbox.cluster.blocks.blockhashes import Blockhash
from engine.sandbox.cluster.blocks.chain import Block
from engine.sandbox.cluster.blocks.history import LandedTransaction
from engine.sandbox.cluster.ledger.ledger import Ledger


class View:
    """A node's own look at the ledger; reads through it never show more than the node has seen.

    A node can lag as far as the ledger keeps old account states for it; beyond, it sees newer slots.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._lag_slots = 0
        self._frozen_at: int | None = None
        ledger.readers.append(self._oldest_slot_read)

    @property
    def slot(self) -> int:
        """The newest slot that this node has seen."""
        if self._frozen_at is None and not self._lag_slots:
            return self.ledger.slot
        return self._seen().slot

    @property
    def slots_behind(self) -> int:
        """How many slots of the cluster this node has not seen."""
        return self.ledger.slot - self.slot

    @property
    def healthy(self) -> bool:
        """Whether slots reach this node."""
        return not self.ledger.halted

    def lag(self, slots: int) -> None:
        """Stay so many slots behind the cluster from now on; 0 catches up.

        Where the states of then are gone already, the node stands still until it is that far behind.
        """
        if slots < 0:
            raise ValueError(f"a node cannot lag {slots} slots behind")
        self._lag_slots = slots

    def freeze(self) -> None:
        """See no further slot until `thaw`; the open one it still sees to its end."""
        self._frozen_at = self.slot

    def thaw(self) -> None:
        """See slots again, as far as `lag` lets it."""
        self._frozen_at = None

    def bank(self, commitment: Commitment) -> Bank:
        """The bank that a commitment level names for this node."""
        if self._frozen_at is None and not self._lag_slots:
            return self.ledger.bank(commitment)
        seen = self._seen()
        bank = self.ledger.bank(commitment, seen.slot)
        # Older ones can no longer be read; and what was finalized for this node once has to stay so.
        oldest = self.ledger.oldest_bank_slot
        return bank if bank.slot >= oldest else self.ledger.bank(Commitment.PROCESSED, min(oldest, seen.slot))

    def commitment_of(self, slot: int) -> Commitment:
        """How settled this node knows the bank of a slot to be."""
        if slot <= self.bank(Commitment.FINALIZED).slot:
            return Commitment.FINALIZED
        if slot <= self.bank(Commitment.CONFIRMED).slot:
            return Commitment.CONFIRMED
        return Commitment.PROCESSED

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
        return [Pubkey.from_bytes(key) for key in self.program_keys(program_id, slot)]

    def program_keys(self, program_id: Pubkey, slot: int) -> list[bytes]:
        """The addresses of a program's accounts in the bank of a slot, ascending, as bytes."""
        return self.ledger.program_keys(program_id, slot)

    def program_accounts(
        self, program_id: Pubkey, commitment: Commitment
    ) -> Iterator[tuple[Pubkey, Account]]:
        """Every account that a program owns, by ascending address; to be read before the next write."""
        return self.ledger.program_accounts_at(program_id, self.bank(commitment).slot)

    def block(self, slot: int) -> Block | None:
        """A closed block that this node has seen."""
        return self.ledger.block(slot) if slot <= self.slot else None

    def blocks(self, first: int, last: int) -> list[int]:
        """The slots from `first` to `last`, both included, whose blocks this node has seen."""
        return self.ledger.blocks(first, min(last, self.slot))

    def landed(self, signature: Signature) -> LandedTransaction | None:
        """A transaction in a block that this node has seen."""
        found = self.ledger.history.get(signature)
        return found if found is not None and found.slot <= self.slot else None

    def _seen(self) -> Bank:
        """The newest bank that this node has seen, of the fork that counts and with its accounts kept."""
        ledger = self.ledger
        wanted = ledger.slot - self._lag_slots
        if self._frozen_at is not None:
            wanted = min(wanted, self._frozen_at)
        return ledger.bank(Commitment.PROCESSED, max(wanted, ledger.oldest_bank_slot))

    def _oldest_slot_read(self) -> int:
        if self._frozen_at is None and not self._lag_slots:
            return self.ledger.slot
        wanted = self.ledger.slot - self._lag_slots if self._frozen_at is None else self._frozen_at
        return self.ledger.bank(Commitment.FINALIZED, wanted).slot
