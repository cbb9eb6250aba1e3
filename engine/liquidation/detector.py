"""Turns news into queue entries: a price that crossed somebody's line, an account that is below its own."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from solders.pubkey import Pubkey

from engine.book.book import Crosser
from engine.book.holdings import Holdings
from engine.clock import Clock
from engine.domain import Action, Position, Price
from engine.liquidation.decide import decide
from engine.liquidation.failures import Failures
from engine.liquidation.queue import Entry, LiquidationQueue, Stage
from engine.oracle.board import PriceBoard
from engine.protocol.margin import choose_action
from engine.telemetry.events import EventLog, Level
from engine.telemetry.latency import Latencies
from engine.telemetry.tally import Tally

_FEW = 8  # positions that are looked at one by one


def new_liquidation_ids(count: int) -> list[str]:
    """Short random ids that an operator can type: twelve hexadecimal digits each."""
    digits = secrets.token_hex(6 * count)
    return [digits[start : start + 12] for start in range(0, len(digits), 12)]


class Detector:
    """Decides on the few positions that crossed; nothing until `enabled`, nor while no node is current."""

    def __init__(
        self,
        *,
        holdings: Holdings,
        board: PriceBoard,
        queue: LiquidationQueue,
        failures: Failures,
        tally: Tally,
        latencies: Latencies,
        events: EventLog,
        clock: Clock,
        node_is_current: Callable[[], bool],
        make_ids: Callable[[int], list[str]] = new_liquidation_ids,
    ) -> None:
        self._holdings = holdings
        self._board = board
        self._queue = queue
        self._failures = failures
        self._tally = tally
        self._latencies = latencies
        self._events = events
        self._clock = clock
        self._node_is_current = node_is_current
        self._make_ids = make_ids
        self.enabled = False

    @property
    def decides(self) -> bool:
        """Whether it is enabled, and what it knows is of now."""
        return self.enabled and self._node_is_current()

    def on_price(self, price: Price) -> None:
        """A new price of a symbol: queue everyone who is liquidatable at it and not in the queue yet."""
        if not self.decides:
            return
        detected_at_ns = self._clock.now_ns()
        fresh: list[Crosser] = []
        moved: list[tuple[Entry, Crosser]] = []
        get, is_resting = self._queue.get, self._failures.is_resting
        for crosser in self._holdings.book.crossers(price):
            entry = get(crosser.address)
            if entry is None:
                if not is_resting(crosser.address):
                    fresh.append(crosser)
            elif entry.can_move:
                moved.append((entry, crosser))
            elif entry.stage is Stage.LANDED and entry.again_at_ns is None:
                entry.again_at_ns = detected_at_ns
        self._queue.move_many(moved, price)
        if fresh:
            self._enter(fresh, price, detected_at_ns)

    def _enter(self, fresh: Sequence[Crosser], price: Price, detected_at_ns: int) -> None:
        """Queue everyone who crossed at one price, and tell of it."""
        ids = self._make_ids(len(fresh))
        if len(self._failures):
            # A position that was given up goes on under its old id: it is one failure, however long it lasts.
            ids = [
                self._failures.id_of(crosser.address) or new_id
                for crosser, new_id in zip(fresh, ids, strict=True)
            ]
        taken = self._queue.offer_many(fresh, price, ids, detected_at_ns)
        self._tally.liquidatable_seen += len(taken)
        self._events.add_each(Level.OURS, taken, lambda crosser: _told(crosser, price))

    def look_at(self, address: Pubkey, since_ns: int | None = None) -> None:
        """A position changed: queue it if it is liquidatable at its symbol's current price.

        `since_ns` is when it was found so already, while it had to wait for its last transaction.
        """
        if self.decides:
            self._consider(address, since_ns)

    def look_at_told(self, address: Pubkey, told: Position | None) -> None:
        """An account was told of just now: queue its position if it is liquidatable at the current price."""
        if len(self._failures):
            self._failures.account_changed(address)
        if told is not None and self.decides and not self._failures.is_resting(address):
            self._decide_on(told)

    def look_at_many(self, addresses: Sequence[Pubkey]) -> None:
        """Positions changed: queue those that are liquidatable. Next to nothing while nobody near is."""
        if len(self._failures):
            for address in addresses:
                self._failures.account_changed(address)
        if not addresses or not self.decides:
            return
        price_of: Callable[[str], Price | None] = self._board.current
        book = self._holdings.book
        if len(addresses) > _FEW:  # then all prices are judged with less effort than each position's
            current = [self._board.current(symbol) for symbol in self._board.symbols]
            reached = {price.symbol: price for price in current if book.is_reached(price)}
            if not reached:
                return
            price_of = reached.get
        for address in addresses:
            if book.is_crossed(address, price_of):
                self._consider(address)

    def look_at_all(self) -> None:
        """After a snapshot: consider every symbol at its current price."""
        for symbol in self._board.symbols:
            self.on_price(self._board.current(symbol))

    def _consider(self, address: Pubkey, since_ns: int | None = None) -> None:
        """Queue the position if it is liquidatable now, and tell of it if that is new."""
        position = self._holdings.decidable(address)
        if position is not None and not self._failures.is_resting(address):
            self._decide_on(position, since_ns)

    def _decide_on(self, position: Position, since_ns: int | None = None) -> None:
        address, now_ns = position.address, self._clock.now_ns()
        decision = decide(position, self._board.current(position.symbol))
        if decision.action is Action.HOLD:
            return
        # A position that was given up goes on under its old id: it is one failure, however long it lasts.
        liquidation_id = self._failures.id_of(address) or self._make_ids(1)[0]
        if not self._queue.offer(decision, liquidation_id, since_ns or now_ns, now_ns):
            return
        self._tally.liquidatable_seen += 1
        if since_ns is not None:
            self._latencies.finality_wait.observe_ns(now_ns - since_ns)
        self._events.add(
            Level.OURS, lambda: _line(address, decision.health.factor, decision.action, decision.price)
        )

    def liquidatable(self) -> list[Pubkey]:
        """Positions that ought to be liquidated now and are not resting after a failure."""
        return [
            address
            for symbol in self._board.symbols
            for address in self._holdings.book.crossed(self._board.current(symbol))
            if not self._failures.is_resting(address)
        ]

    def retry(self, address: Pubkey, liquidation_id: str) -> bool:
        """An operator's retry: queue the position under its old id if it is liquidatable now."""
        position = self._holdings.decidable(address)
        if position is None:
            return False
        decision = decide(position, self._board.current(position.symbol))
        if decision.action is Action.HOLD:
            return False
        return self._queue.offer(decision, liquidation_id, self._clock.now_ns())


def _told(crosser: Crosser, price: Price) -> str:
    action, _, _ = choose_action(crosser.size_e6, crosser, price.price_e6)
    return _line(crosser.address, crosser.factor, action, price)


def _line(position: Pubkey, health_factor: float, action: Action, price: Price) -> str:
    address = str(position)
    return (
        f"LIQUIDATION TRIGGERED {address[:4]}…{address[-4:]}  health {health_factor:.2f} < 1  "
        f"{action.value}  {price.symbol} {price.price_e6 / 1e6:,.2f}"
    )
