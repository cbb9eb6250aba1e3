"""What the engine knows of its wallet: an address, where the key came from, and signatures."""

from __future__ import annotations

from typing import Protocol

from solders.message import Message, MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from engine.errors import WalletError
from engine.wallet.secret import SecretKey


class Signer(Protocol):
    """Signs for one address, and can do nothing else."""

    @property
    def address(self) -> Pubkey:
        """The wallet's public key."""
        ...

    @property
    def source(self) -> str:
        """Where the key came from, in words for a status line."""
        ...

    def sign_message(self, message: bytes) -> Signature:
        """The signature of these bytes."""
        ...

    def sign_transaction(self, message: Message | MessageV0) -> VersionedTransaction:
        """The transaction of a message whose one signer, and fee payer, is this wallet."""
        ...


class KeypairSigner:
    """A Signer whose key is in this process."""

    def __init__(self, secret: SecretKey, source: str) -> None:
        self._secret = secret
        self._source = source
        self._address = secret.address()

    @property
    def address(self) -> Pubkey:
        """The wallet's public key."""
        return self._address

    @property
    def source(self) -> str:
        """Where the key came from, in words for a status line."""
        return self._source

    def sign_message(self, message: bytes) -> Signature:
        """The signature of these bytes."""
        return self._secret.sign(message)

    def sign_transaction(self, message: Message | MessageV0) -> VersionedTransaction:
        """Sign a message whose one signer, and fee payer, is this wallet.

        Raises WalletError when the message wants another signer, or more than one.
        """
        if message.header.num_required_signatures != 1 or message.account_keys[0] != self._address:
            raise WalletError(
                f"Refused to sign a transaction that wallet {self._address} does not pay alone: "
                "look at what built it"
            )
        return VersionedTransaction.populate(message, [self._secret.sign(to_bytes_versioned(message))])

    def __repr__(self) -> str:
        return f"KeypairSigner({self._address}, {self._source!r})"
