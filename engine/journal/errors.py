"""What the journal refuses, and why; a corrupt file is engine.errors.JournalCorrupt."""

from __future__ import annotations

from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.errors import OperatorError


class JournalForeign(OperatorError):
    """The file is a journal, but of another wallet, program or cluster, or of a newer engine."""


class JournalUnavailable(OperatorError):
    """The journal could not be read, or not make a record durable in time: what depends on it is not sent.

    The record may still become durable later, except for an intent's: no other is taken before the journal
    has in writing that a refused one is none (`strike_out`).
    """


class IntentAlreadyOpen(Exception):
    """The position has a signed transaction whose end is not known yet; nothing was recorded."""

    def __init__(self, position: Pubkey) -> None:
        super().__init__(f"{position} has an open intent")
        self.position = position


class UnknownIntent(Exception):
    """No intent of this signature is in the journal, so nothing can be recorded about it."""

    def __init__(self, signature: Signature) -> None:
        super().__init__(f"no intent has the signature {signature}")
        self.signature = signature
