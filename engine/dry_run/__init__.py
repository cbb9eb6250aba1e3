"""What a dry run has of its own: a key that is worth nothing, a place for its state, a database schema."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from solders.keypair import Keypair

from engine.wallet import Signer, open_signer
from engine.wallet.secret import SecretKey
from engine.wallet.signer import KeypairSigner

SCHEMA = "dry_run"
_SEED = sha256(b"liquidation-engine: a dry run's key, which anybody can compute").digest()
STAND_IN = Keypair.from_seed(_SEED).pubkey()
"""Nobody's wallet."""


def dry_run_signer(wallet_path: Path | None, profile: str) -> Signer:
    """The wallet of WALLET_PATH, so that its balance counts; without one a key that exists nowhere else.

    The keyring is not asked: a dry run needs no key. The stand-in is the same at every start, so that a dry
    run finds its journal again. Raises WalletError.
    """
    if wallet_path is not None:
        return open_signer(wallet_path, profile, source="file")
    return KeypairSigner(SecretKey(Keypair.from_seed(_SEED)), "a stand-in that holds nothing")


def in_own_schema(dsn: str) -> str:
    """The same database with its own tables: they are in another schema than those of the real engine."""
    return f"{dsn}{'&' if '?' in dsn else '?'}search_path={quote(SCHEMA)}"
