"""Turns account bytes into the book: decodes, guards by slot, and counts what cannot be read."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import structlog
from solders.pubkey import Pubkey

from engine.book.batch import apply_many
from engine.book.book import Book
from engine.book.load import SnapshotLoad
from engine.book.unread import UnreadAccounts
from engine.domain import Position
from engine.protocol.accounts import FOREIGN_DISCRIMINATOR, AccountRefused, decode_position
from engine.protocol.position_columns import decode_positions

log = structlog.get_logger("book")

MAX_DEFERRED = 200_000
_DEFERRED_AT_ONCE = 1024
FEW = 8  # updates that are taken one by one more quickly than in columns

Update = tuple[Pubkey, bytes | None, Pubkey | None, int]
"""An account as it was read: address, data, owner, slot."""


class Holdings:
    """The book with its door: every account of the program comes through here.

    While an empty book is being filled by its first snapshot, news wait; when that fails, they wait for the
    next. `lost_news` says that there were more of them than may wait: then only another snapshot helps.
    """

    def __init__(self, book: Book, program_id: Pubkey) -> None:
        self.book = book
        self.program_id = program_id
        self.skipped: Counter[str] = Counter()
        self.unread = UnreadAccounts()
        self.lost_news = False
        self._deferred: deque[Update] | None = None

    # --- news ---

    def apply(self, address: Pubkey, data: bytes | None, owner: Pubkey | None, slot: int) -> bool:
        """Take an account as it was read in this slot; returns whether the book changed.

        A closed account, or one that another program owns now, leaves the book. One that cannot be decoded
        is counted by reason, and unknown, never healthy.
        """
        return bool(self.apply_one(address, data, owner, slot))

    def apply_one(
        self, address: Pubkey, data: bytes | None, owner: Pubkey | None, slot: int
    ) -> Position | bool:
        """The same; what changed is returned as it was read, True when that is no position any more."""
        if self._deferred is not None:
            self._defer((address, data, owner, slot))
            return False
        if not data or owner != self.program_id:
            held = address in self.book
            self.unread.drop(bytes(address))
            self.book.remove(address, slot)
            return held
        try:
            position = decode_position(address, data, slot)
        except AccountRefused as refusal:
            self._skip(address, refusal.reason, slot)
            return False
        self.unread.drop(bytes(address))
        return self.book.apply(position) and position

    def apply_many(self, updates: Sequence[Update]) -> list[Pubkey]:
        """Take many accounts, in the order in which they were told; returns those that were news."""
        if self._deferred is not None or len(updates) <= FEW:
            return [update[0] for update in updates if self.apply(*update)]
        keys, accounts, owners, slots = zip(*updates, strict=True)
        if not all(accounts) or not set(owners) <= {self.program_id}:
            return [update[0] for update in updates if self.apply(*update)]
        columns = decode_positions(accounts)
        for index, reason in columns.refused:
            self._skip(keys[index], reason, slots[index])
        told = np.array(slots, dtype=np.uint64)[columns.origin]
        addresses = list(map(bytes, keys))
        self._note_readable(addresses, {addresses[index] for index, _ in columns.refused})
        news = apply_many(self.book, addresses, columns, told, self.book.epoch)
        return [Pubkey.from_bytes(address) for address in news]

    # --- snapshots ---

    def begin_snapshot(self, slot: int) -> SnapshotLoad:
        """A snapshot that is at least as new as `slot` begins; end it with `finish`."""
        load = SnapshotLoad(self.book, slot)
        self.lost_news = False
        if load.is_first:
            # What waits since a snapshot that failed, and is older than this one, is in this one.
            self._deferred = deque(update for update in self._deferred or () if update[-1] >= slot)
        return load

    def take(self, load: SnapshotLoad, addresses: Sequence[bytes], accounts: Sequence[bytes]) -> None:
        """Some accounts of the snapshot, all of this program."""
        refused = load.take(addresses, accounts)
        for address, reason in refused:
            self._skip(Pubkey.from_bytes(address), reason, load.slot)
        self._note_readable(addresses, {address for address, _ in refused})

    def finish(self, load: SnapshotLoad) -> Iterator[None]:
        """The snapshot is complete: what it lacks was closed, unless it is newer. Yields to give way."""
        yield from load.finish()
        self.unread.forget_before(load.slot)
        yield from self._take_deferred()

    # --- one position ---

    def decidable(self, address: Pubkey) -> Position | None:
        """The position if it is held and known; None when it is gone or cannot be decided."""
        return self.book.decidable(address)

    # --- inside ---

    def _note_readable(self, addresses: Sequence[bytes], refused: Collection[bytes]) -> None:
        if len(self.unread):
            for address in addresses:
                if address not in refused:
                    self.unread.drop(address)

    def _defer(self, update: Update) -> None:
        if self._deferred is not None and len(self._deferred) < MAX_DEFERRED:
            self._deferred.append(update)
        else:
            self.lost_news = True

    def _take_deferred(self) -> Iterator[None]:
        """In the order in which they came; more may come meanwhile, behind them."""
        waiting = self._deferred
        while waiting:
            some = [waiting.popleft() for _ in range(min(_DEFERRED_AT_ONCE, len(waiting)))]
            self._deferred = None
            self.apply_many(some)
            self._deferred = waiting
            yield
        self._deferred = None

    def _skip(self, address: Pubkey, reason: str, slot: int) -> None:
        self.skipped[reason] += 1
        self.book.mark_unknown(address, reason, slot)
        if reason != FOREIGN_DISCRIMINATOR and address not in self.book:
            self.unread.note(bytes(address), reason, slot)
        if self.skipped[reason] == 1:
            log.warning("account skipped", reason=reason, first=str(address))
