"""The faucet: signs the payments that airdrops are."""

from __future__ import annotations

from solders.compute_budget import set_compute_unit_limit
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from engine.sandbox.cluster.transactions.wire_transaction import WireTransaction, decode_transaction

_COMPUTE_UNITS = 1_000


class Faucet:
    """The key that everybody's first lamports come from."""

    def __init__(self, key: Keypair) -> None:
        self._key = key
        self._payments = 0

    def payment(self, to: Pubkey, lamports: int, blockhash: Hash) -> WireTransaction:
        """A signed payment of so many lamports."""
        self._payments += 1
        # The changing limit sets equal payments of the same block apart: their signatures must differ.
        limit = set_compute_unit_limit(_COMPUTE_UNITS + self._payments % 100_000)
        source = self._key.pubkey()
        payment = transfer(TransferParams(from_pubkey=source, to_pubkey=to, lamports=lamports))
        message = Message.new_with_blockhash([limit, payment], source, blockhash)
        return decode_transaction(bytes(VersionedTransaction(message, [self._key])))
