"""What a cluster is born with: its identity, its faucet, its first slot and its commitment depths."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field

from solders.hash import Hash
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from engine.sandbox.cluster.blocks.banks import CommitmentDepths

LAMPORTS_PER_SOL = 1_000_000_000
NONCE_BYTES = 32


def _fresh_nonce() -> bytes:
    return os.urandom(NONCE_BYTES)


@dataclass(frozen=True, slots=True)
class Genesis:
    """The beginnings of one cluster.

    `nonce` sets two starts of the same seed apart: the genesis hash and every blockhash depend on it, so that
    nothing signed for one run can land in another. Give it to have a run repeat to the last byte.
    """

    seed: bytes
    faucet: Keypair
    faucet_lamports: int = 500_000_000 * LAMPORTS_PER_SOL
    nonce: bytes = field(default_factory=_fresh_nonce)
    depths: CommitmentDepths = field(default_factory=CommitmentDepths)
    first_slot: int = 400
    # Fewer blocks than slots, as on every real cluster: who mistakes one for the other shall notice here.
    first_block_height: int = 368

    @classmethod
    def from_seed(cls, seed: bytes, *, nonce: bytes | None = None) -> Genesis:
        """A genesis whose faucet follows from the seed."""
        faucet = Keypair.from_seed(hashlib.sha256(b"faucet" + seed).digest())
        return cls(seed=seed, faucet=faucet, nonce=_fresh_nonce() if nonce is None else nonce)

    @property
    def validator(self) -> Pubkey:
        """The address of the one validator."""
        return Keypair.from_seed(hashlib.sha256(b"validator" + self.seed).digest()).pubkey()

    def hash(self) -> Hash:
        """The cluster's identity, unique per start."""
        faucet = bytes(self.faucet.pubkey())
        return Hash(hashlib.sha256(b"genesis" + self.nonce + faucet + self.seed).digest())
