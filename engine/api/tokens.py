"""Bearer tokens for programs: 256 random bits each; only the SHA-256 is kept, with scopes and an end.

The file is written by the command line and read by the engine, which keeps what it read: a disk that hangs
does not hang a request.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from engine.errors import OperatorError

MOST_TOKENS = 100
SCOPES = ("read", "stop", "operate", "admin")
_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}\Z")
_INCLUDED = {"admin": SCOPES, "operate": ("read", "stop", "operate"), "stop": ("stop",), "read": ("read",)}


class TokenError(OperatorError):
    """A token cannot be made, replaced or revoked."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """One token as it is kept. `expires_s` is Unix time; `scopes` are those that it was given."""

    name: str
    sha256: str
    scopes: list[str]
    created_s: int
    expires_s: int

    def may(self, scope: str) -> bool:
        """Whether its scopes include this one: admin has all, operate has read and stop."""
        return any(scope in _INCLUDED.get(each, ()) for each in self.scopes)


class TokenFile:
    """The tokens of one profile on disk, for this user alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Token]:
        """Every token, none without a file. Raises TokenError when the file makes no sense."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise TokenError(f"{self.path} cannot be read ({error.strerror}): see to the file") from None
        try:
            return msgspec.json.decode(raw, type=list[Token])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise TokenError(f"{self.path} holds no tokens ({error}): remove it, and make new ones") from None

    def add(self, name: str, scopes: Sequence[str], *, now_s: int, lives_s: int, replace: bool) -> str:
        """Make a token and keep its hash; returns the token, which cannot be had again.

        `replace` is the rotation: the old one of that name ends at once. Raises TokenError.
        """
        if not _NAME.match(name):
            raise TokenError(f"{name!a} is no name for a token: use up to 40 letters, digits, - and _")
        if not scopes or not set(scopes) <= set(SCOPES):
            raise TokenError(f"A token needs scopes out of {', '.join(SCOPES)}")
        tokens = self.read()
        is_known = any(token.name == name for token in tokens)
        if is_known and not replace:
            raise TokenError(f"There is a token {name} already: rotate it with --replace, or revoke it")
        if not is_known and len(tokens) >= MOST_TOKENS:
            raise TokenError(f"There are {MOST_TOKENS} tokens already: revoke one first")
        secret = secrets.token_hex(_BYTES)
        token = Token(
            name=name,
            sha256=hashed(secret),
            scopes=list(dict.fromkeys(scopes)),
            created_s=now_s,
            expires_s=now_s + lives_s,
        )
        self._write([*(each for each in tokens if each.name != name), token])
        return secret

    def revoke(self, name: str) -> None:
        """Forget a token; raises TokenError when there is none of that name."""
        tokens = self.read()
        left = [token for token in tokens if token.name != name]
        if len(left) == len(tokens):
            raise TokenError(f"There is no token {name!a}: see `liquidation-engine token list`")
        self._write(left)

    def _write(self, tokens: list[Token]) -> None:
        scratch = self.path.with_suffix(f".{os.getpid()}.new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with suppress(FileNotFoundError):
                scratch.unlink()
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(tokens)))
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(self.path)
        except OSError as error:
            raise TokenError(f"{self.path} cannot be written ({error.strerror}): see to the disk") from None


def hashed(secret: str) -> str:
    """What is kept of a token. It is random, so nothing slower is needed."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


def find(tokens: Sequence[Token], secret: str) -> Token | None:
    """The token whose secret this is; looks at all of them, and takes as long whatever it finds."""
    digest = hashed(secret).encode()
    found = None
    for token in tokens:
        if hmac.compare_digest(token.sha256.encode(), digest):
            found = token
    return found
