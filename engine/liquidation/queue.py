"""The queue: one entry per position, from detection to its final outcome, lowest health first."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum

import msgspec
from solders.pubkey import Pubkey

from engine.book.book import Crosser
from engine.domain import Action, Decision, Price
from engine.journal.records import FailedAttempt
from engine.protocol.margin import choose_action

_FEW = 8  # one in so many is put in its place by itself


class Stage(StrEnum):
    """How far an entry has come; only QUEUED and WAITING entries have nothing signed."""

    QUEUED = "queued"
    DECIDING = "deciding"
    SIGNED = "signed"
    SENT = "sent"
    LANDED = "landed"
    WAITING = "waiting"


class Entry(msgspec.Struct, eq=False, gc=False):
    """One liquidation of one position on its way; its retries share the liquidation_id."""

    address: Pubkey
    owner: Pubkey
    symbol: str
    liquidation_id: str
    health_factor: float
    value_e6: int
    decided: Action | None  # None until it is asked for, or decided
    detected_at_ns: int
    free_at_ns: int  # when the engine could first act: later than detected after a wait for finality
    stage: Stage = Stage.QUEUED
    attempt: int = 1
    fee_lamports: int = 0
    compute_unit_limit: int = 0  # 0 means the setting
    again_at_ns: int | None = None  # found liquidatable once more while it waits for finality
    ticket: int = 0  # the heap item that is valid for this entry
    crosser: Crosser | None = None  # what it was found by, at `mark_e6`
    mark_e6: int = 0
    is_doubtful: bool = False  # its account was not what the book says: it is read before anything is signed
    history: tuple[FailedAttempt, ...] = ()  # of its attempts that did not liquidate, oldest first

    @property
    def can_move(self) -> bool:
        """Whether a new price may still change the entry's place."""
        return self.stage is Stage.QUEUED

    @property
    def action(self) -> Action:
        """What is to be done, as it was last decided or as it looked when it was found."""
        if self.decided is None:
            assert self.crosser is not None
            self.decided = choose_action(self.crosser.size_e6, self.crosser, self.mark_e6)[0]
        return self.decided


_Item = tuple[float, int, int, Entry]
"""Health factor, value in 1e-6 USD below zero, ticket: the order in which entries are taken."""


class LiquidationQueue:
    """Candidates and liquidations in flight in one bounded structure.

    A position is in it at most once, and leaves it only by `finish` or `clear`; a liquidation that ended
    frees its position for the next one.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: dict[Pubkey, Entry] = {}
        self._heap: list[_Item] = []
        self._tickets = itertools.count(1)
        self._takers: deque[asyncio.Future[None]] = deque()
        self.refused = 0  # offers turned away because the queue was full

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, address: Pubkey) -> bool:
        return address in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def get(self, address: Pubkey) -> Entry | None:
        """The position's entry, None when it has none."""
        return self._entries.get(address)

    @property
    def has_next(self) -> bool:
        """Whether an entry waits for somebody who takes it."""
        return self._first() is not None

    @property
    def waits_to_be_sent(self) -> bool:
        """Whether an entry is on its way to its first byte."""
        return any(entry.stage in (Stage.QUEUED, Stage.DECIDING, Stage.SIGNED) for entry in self)

    def offer(
        self,
        decision: Decision,
        liquidation_id: str,
        detected_at_ns: int,
        free_at_ns: int | None = None,
    ) -> bool:
        """Enter a position to be liquidated; returns whether it is a new entry.

        `free_at_ns` is when the engine could first act, if that was not at once. A position that waits in the
        queue already only moves to its new health's place. When the queue is full the offer is refused and
        counted: the next price brings the position back.
        """
        position = decision.position
        entry = self._entries.get(position.address)
        if entry is not None:
            if entry.stage is Stage.QUEUED:
                self._rank(entry, decision)
            return False
        if len(self._entries) >= self._capacity:
            self.refused += 1
            return False
        entry = Entry(
            address=position.address,
            owner=position.owner,
            symbol=position.symbol,
            liquidation_id=liquidation_id,
            health_factor=decision.health.factor,
            value_e6=decision.health.value_e12 // 10**6,
            decided=decision.action,
            detected_at_ns=detected_at_ns,
            free_at_ns=detected_at_ns if free_at_ns is None else free_at_ns,
        )
        self._entries[position.address] = entry
        self._push(entry)
        return True

    def offer_many(
        self, crossers: Sequence[Crosser], price: Price, ids: Sequence[str], detected_at_ns: int
    ) -> list[Crosser]:
        """Enter positions that crossed at one price and are not in the queue; returns those that were taken.

        When they do not all fit, those of lowest health are taken.
        """
        room = max(0, self._capacity - len(self._entries))
        if len(crossers) > room:
            self.refused += len(crossers) - room
            crossers = heapq.nsmallest(room, crossers, key=_rank_of)
        symbol, mark_e6, entries, items = price.symbol, price.price_e6, self._entries, []
        for crosser, liquidation_id, ticket in zip(crossers, ids, self._tickets, strict=False):
            address, factor, value_e6 = crosser.address, crosser.factor, crosser.value_e12 // 10**6
            entry = entries[address] = Entry(
                address,
                crosser.owner,
                symbol,
                liquidation_id,
                factor,
                value_e6,
                None,
                detected_at_ns,
                detected_at_ns,
                ticket=ticket,
                crosser=crosser,
                mark_e6=mark_e6,
            )
            items.append((factor, -value_e6, ticket, entry))
        self._line_up(items)
        return list(crossers)

    def move_many(self, moved: Sequence[tuple[Entry, Crosser]], price: Price) -> None:
        """Queued positions at a new price: each goes to its new health's place."""
        items = []
        for entry, crosser in moved:
            factor, value_e6 = crosser.factor, crosser.value_e12 // 10**6
            if factor != entry.health_factor or value_e6 != entry.value_e6:
                entry.health_factor, entry.value_e6 = factor, value_e6
                entry.decided, entry.crosser, entry.mark_e6 = None, crosser, price.price_e6
                entry.ticket = next(self._tickets)
                items.append((factor, -entry.value_e6, entry.ticket, entry))
        self._line_up(items)

    def occupy(self, entry: Entry) -> None:
        """Enter a liquidation that is in flight already, found at the start; it is never taken."""
        self._entries[entry.address] = entry

    async def take(self, may_take: Callable[[Entry], bool] = lambda _: True) -> Entry:
        """The queued entry with the lowest health, then the highest value; waits for one.

        While `may_take` refuses the first in line, this waits too; it is asked again when another one comes.
        """
        while True:
            entry = self._first()
            if entry is not None and may_take(entry):
                heapq.heappop(self._heap)
                entry.stage = Stage.DECIDING
                return entry
            wake = asyncio.get_running_loop().create_future()
            self._takers.append(wake)
            try:
                await wake
            except asyncio.CancelledError:
                if not wake.cancelled():
                    self._wake(1)  # somebody else's turn
                raise

    def _first(self) -> Entry | None:
        """The first in line; heap items that are valid no more are dropped on the way."""
        while self._heap:
            if self._is_in_line(self._heap[0]):
                return self._heap[0][3]
            heapq.heappop(self._heap)
        return None

    def _wake(self, count: int) -> None:
        """Let so many takers look; no more, since each that comes away empty delays the others."""
        while count and self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                taker.set_result(None)
                count -= 1

    def requeue(self, entry: Entry) -> None:
        """Put an entry back in line, unless it was cleared while it waited."""
        if self._is_current(entry):
            entry.stage = Stage.QUEUED
            self._push(entry)

    def finish(self, entry: Entry) -> None:
        """The liquidation ended: the position is free for another."""
        if self._is_current(entry):
            del self._entries[entry.address]

    def clear(self) -> int:
        """Drop every entry that has nothing signed; returns how many. Signed ones go on to their end."""
        dropped = [entry for entry in self if entry.stage in (Stage.QUEUED, Stage.WAITING)]
        for entry in dropped:
            del self._entries[entry.address]
        self._sweep()
        return len(dropped)

    def _is_current(self, entry: Entry) -> bool:
        return self._entries.get(entry.address) is entry

    def _is_in_line(self, item: _Item) -> bool:
        """Whether a heap item still stands for an entry that may be taken."""
        _, _, ticket, entry = item
        return ticket == entry.ticket and entry.stage is Stage.QUEUED and self._is_current(entry)

    def _sweep(self) -> None:
        """Drop the heap items that stand for nobody any more."""
        self._heap = [item for item in self._heap if self._is_in_line(item)]
        heapq.heapify(self._heap)

    def _rank(self, entry: Entry, decision: Decision) -> None:
        factor = decision.health.factor
        if factor != entry.health_factor:
            entry.health_factor = factor
            entry.value_e6 = decision.health.value_e12 // 10**6
            entry.decided = decision.action
            self._push(entry)

    def _push(self, entry: Entry) -> None:
        """Line the entry up; its former heap items, if any, become invalid."""
        entry.ticket = next(self._tickets)
        self._line_up([(entry.health_factor, -entry.value_e6, entry.ticket, entry)])

    def _line_up(self, items: list[_Item]) -> None:
        """Many are ordered together, few one by one."""
        if not items:
            return
        if len(items) * _FEW > len(self._heap):
            self._heap += items
            heapq.heapify(self._heap)
        else:
            for item in items:
                heapq.heappush(self._heap, item)
        if len(self._heap) > 4 * len(self._entries) + 64:
            self._sweep()  # at most one item an entry is left, so the next one is as many pushes away
        self._wake(len(items))


def _rank_of(crosser: Crosser) -> tuple[float, int]:
    return crosser.factor, -crosser.value_e12
