"""Turns account bytes into the book: decodes, guards by slot, and counts what cannot be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set

import structlog
from solders.pubkey import Pubkey

from engine.book.book import Book
from engine.chain.port import ProgramAccount
from engine.domain import Position
from engine.protocol.accounts import AccountRefused, decode_position

log = structlog.get_logger("book")


class Holdings:
    """The book with its door: every account of the program comes through here."""

    def __init__(self, book: Book, program_id: Pubkey) -> None:
        self.book = book
        self.program_id = program_id
        self.skipped: Counter[str] = Counter()

    def apply(self, address: Pubkey, data: bytes | None, owner: Pubkey | None, slot: int) -> bool:
        """Take an account as it was read in this slot; returns whether the book changed.

        A closed account, or one that another program owns now, leaves the book. One that cannot be decoded
        is counted by reason; if it was held it becomes unknown, never healthy.
        """
        if not data or owner != self.program_id:
            held = address in self.book
            self.book.remove(address, slot)
            return held
        try:
            position = decode_position(address, data, slot)
        except AccountRefused as refusal:
            self._skip(address, refusal.reason, slot)
            return False
        return self.book.apply(position)

    def load(self, accounts: Iterable[ProgramAccount], slot: int) -> None:
        """Take accounts of a snapshot that is at least as new as `slot`."""
        for account in accounts:
            self.apply(account.address, account.data, self.program_id, slot)

    def forget_missing(self, present: Set[Pubkey], slot: int) -> None:
        """Positions that a complete snapshot lacks have been closed, unless they are newer than it."""
        for address in self.book.addresses:
            if address not in present:
                self.book.remove(address, slot)
        self.book.forget_closed_before(slot)

    def decidable(self, address: Pubkey) -> Position | None:
        """The position if it is held and known; None when it is gone or cannot be decided."""
        if self.book.unknown_reason(address) is not None:
            return None
        return self.book.get(address)

    def _skip(self, address: Pubkey, reason: str, slot: int) -> None:
        self.skipped[reason] += 1
        self.book.mark_unknown(address, reason, slot)
        if self.skipped[reason] == 1:
            log.warning("account skipped", reason=reason, first=str(address))
