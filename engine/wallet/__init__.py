"""The signing key: where it comes from, and the one power that it has, which is to sign."""

from engine.wallet.signer import KeypairSigner, Signer
from engine.wallet.source import open_signer

__all__ = ["KeypairSigner", "Signer", "open_signer"]
