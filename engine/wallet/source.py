"""Chooses where the signing key comes from, and makes the signer."""

from __future__ import annotations

from pathlib import Path

from engine.wallet.key_file import read_key_file
from engine.wallet.os_keyring import DEADLINE_S, read_keyring
from engine.wallet.process import forbid_memory_reading
from engine.wallet.signer import KeypairSigner, Signer


def open_signer(wallet_path: Path | None, profile: str, deadline_s: float = DEADLINE_S) -> Signer:
    """The signer of `wallet_path`, or, when that is None, of the keyring's entry for `profile`.

    Blocks up to `deadline_s` on a keyring: call it before the event loop runs. Closes this process's memory
    to others first. Raises WalletError.
    """
    forbid_memory_reading()
    if wallet_path is not None:
        return KeypairSigner(read_key_file(wallet_path), f"file {wallet_path.name}")
    return KeypairSigner(read_keyring(profile, deadline_s), "keyring")
