"""A private key that cannot be printed, formatted, copied or pickled; it can sign, and be put away."""

from __future__ import annotations

import hmac
import json
from typing import Final, NoReturn

from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature

KEY_BYTES: Final = 64
_HIDDEN: Final = "<secret key>"


class NotAKey(ValueError):
    """The text is no solana-keygen key; the message never repeats any of it."""


class SecretKey:
    """Wraps a solders Keypair, whose own str(), to_json() and pickle give the secret away."""

    __slots__ = ("__keypair",)

    def __init__(self, keypair: Keypair) -> None:
        self.__keypair = keypair

    @classmethod
    def parse(cls, text: bytes) -> SecretKey:
        """Read what solana-keygen writes: a JSON array of 64 bytes, the seed and then its public key.

        Raises NotAKey for anything else, the public half of another key included.
        """
        try:
            numbers = json.loads(text)
        except (ValueError, RecursionError):
            numbers = None
        if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
            raise NotAKey("it is not a JSON array of bytes")
        if len(numbers) != KEY_BYTES:
            raise NotAKey(f"it holds {len(numbers)} numbers instead of {KEY_BYTES}")
        try:
            return cls(Keypair.from_bytes(bytes(numbers)))
        except ValueError:
            raise NotAKey("its two halves do not belong to each other") from None

    @classmethod
    def new(cls) -> SecretKey:
        """A key that nobody had before, from the operating system's randomness."""
        return cls(Keypair())

    def address(self) -> Pubkey:
        """The public key; computed anew at each call (28 µs), so keep it."""
        return self.__keypair.pubkey()

    def sign(self, message: bytes) -> Signature:
        """The Ed25519 signature of `message`."""
        return self.__keypair.sign_message(message)

    def reveal(self) -> bytes:
        """What solana-keygen would write. For the keyring, a key file and a backup alone: for no text."""
        return json.dumps(list(bytes(self.__keypair)), separators=(",", ":")).encode()

    def is_same(self, other: SecretKey) -> bool:
        """Whether it is the very same key, all of it."""
        return hmac.compare_digest(self.reveal(), other.reveal())

    def __repr__(self) -> str:
        return _HIDDEN

    def __str__(self) -> str:
        return _HIDDEN

    def __format__(self, specification: str) -> str:
        return _HIDDEN

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret key is neither pickled nor copied")
