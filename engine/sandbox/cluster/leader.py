"""The leader: holds the transactions that wait for the open block, and decides in which order they run."""

from __future__ import annotations

from solders.signature import Signature

from engine.sandbox.cluster.banks import Commitment
from engine.sandbox.cluster.ledger import Ledger


class Leader:
    """Takes transactions in from every node and puts them into blocks."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def take_in(
        self,
        raw: bytes,
        *,
        skip_preflight: bool,
        preflight_commitment: Commitment = Commitment.PROCESSED,
    ) -> Signature:
        """Take in a transaction's wire bytes, as sendTransaction does.

        Raises TransactionRefused for what the node refuses to forward.
        """
        return self.ledger.submit(
            raw, skip_preflight=skip_preflight, preflight_commitment=preflight_commitment
        )

    def work(self) -> None:
        """Run waiting transactions in the open slot, the best paying first, as far as limits allow."""
