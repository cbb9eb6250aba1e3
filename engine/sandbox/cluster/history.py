"""Every transaction that landed, by signature, by address and by slot, for the whole run."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction_metadata import TransactionMetadata

from engine.sandbox.cluster.token_balances import TokenBalance
from engine.sandbox.cluster.transaction_accounts import TransactionAccounts
from engine.sandbox.cluster.transaction_faults import Fault
from engine.sandbox.cluster.wire_transaction import WireTransaction


@dataclass(frozen=True, slots=True)
class LandedTransaction:
    """A transaction in a block, succeeded or not; its fee is paid. Balances follow `accounts.every`."""

    signature: Signature
    slot: int
    block_time_s: int
    wire: WireTransaction
    accounts: TransactionAccounts
    fault: Fault | None
    pre_balances: list[int]
    post_balances: list[int]
    metadata: TransactionMetadata
    pre_token_balances: Sequence[TokenBalance] = ()
    post_token_balances: Sequence[TokenBalance] = ()

    @property
    def fee_lamports(self) -> int:
        """What the payer paid: base fee of its signatures plus priority fee."""
        return self.metadata.fee()


class TransactionHistory:
    """The transactions that landed, in the order in which they were executed."""

    def __init__(self) -> None:
        self._by_signature: dict[Signature, LandedTransaction] = {}
        self._by_address: dict[Pubkey, list[LandedTransaction]] = {}
        self._by_slot: dict[int, list[LandedTransaction]] = {}
        self._slots: list[int] = []

    def __len__(self) -> int:
        return len(self._by_signature)

    def __contains__(self, signature: Signature) -> bool:
        return signature in self._by_signature

    def add(self, landed: LandedTransaction) -> None:
        """Record one; its signature must be new."""
        assert landed.signature not in self._by_signature, "a transaction lands once"
        self._by_signature[landed.signature] = landed
        self._by_slot.setdefault(landed.slot, []).append(landed)
        self._slots.append(landed.slot)
        for address in landed.accounts.every:
            self._by_address.setdefault(address, []).append(landed)

    def count_until(self, slot: int) -> int:
        """How many transactions landed up to and including a slot."""
        return bisect_right(self._slots, slot)

    def get(self, signature: Signature) -> LandedTransaction | None:
        """The transaction of a signature."""
        return self._by_signature.get(signature)

    def in_slot(self, slot: int) -> Sequence[LandedTransaction]:
        """A block's transactions, in order."""
        return self._by_slot.get(slot, ())

    def naming(self, address: Pubkey) -> Sequence[LandedTransaction]:
        """The transactions that name an address, oldest first."""
        return self._by_address.get(address, ())
