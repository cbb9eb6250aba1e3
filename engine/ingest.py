"""Brings news into the engine: snapshots and notifications to the book, the prices, the fund, the wallet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog
from solders.pubkey import Pubkey

from engine.book.holdings import FEW, Holdings, Update
from engine.chain.frames import AccountNews
from engine.chain.port import Chain, RpcFailure
from engine.clock import Clock
from engine.domain import Position
from engine.fund import FundWatcher
from engine.liquidation.detector import Detector
from engine.liquidation.tracker import Tracker
from engine.oracle.board import PriceBoard
from engine.price_watch import PriceWatch
from engine.silence_watch import SilenceWatch
from engine.subscription_log import SubscriptionLog
from engine.telemetry.events import EventLog, Level
from engine.wallet.watch import WalletWatch

log = structlog.get_logger("ingest")

RESYNC_S = 60.0
DEAF_RESYNC_S = 10.0
DOUBT_REST_S = 5.0  # a node that casts doubt with every slot is not read again with every slot
REST_FACTOR = 20
RETRY_S = 1.0
SLOT_SILENCE_NS = 5 * 10**9
FEED_BEHIND_SLOTS = 16  # slots are announced when they begin; more than this is a connection that lags


class Ingest:
    """The listener of the live feed. Detection is off until the first snapshot is complete."""

    def __init__(
        self,
        *,
        chain: Chain,
        program_id: Pubkey,
        holdings: Holdings,
        board: PriceBoard,
        prices: PriceWatch,
        fund: FundWatcher,
        wallet: WalletWatch,
        detector: Detector,
        tracker: Tracker,
        events: EventLog,
        clock: Clock,
        renew_feed: Callable[[str], None],
    ) -> None:
        self._chain = chain
        self._program_id = program_id
        self._holdings = holdings
        self._board = board
        self._prices = prices
        self._price_accounts = frozenset(board.accounts)
        self._fund = fund
        self._wallet = wallet
        self._detector = detector
        self._tracker = tracker
        self._events = events
        self._clock = clock
        self._due = asyncio.Event()
        self._doubt: asyncio.TimerHandle | None = None
        self._subscriptions = SubscriptionLog(events, clock)
        self._silence = SilenceWatch(renew_feed, events)
        self._took_s = 0.0
        self._taken_ns = 0
        self._connections = 0
        self._slot_seen_ns = 0
        self._is_held = False
        self.loaded = asyncio.Event()
        self.slot = 0
        self.updated_at_ns = 0
        self._watched = frozenset(self.watched)

    @property
    def subscribed(self) -> bool:
        """Whether a node tells what happens."""
        return self._connections > 0

    @property
    def is_deaf(self) -> bool:
        """Whether positions changed of which no feed told: they are known from snapshots alone."""
        return self._silence.is_deaf

    @property
    def watched(self) -> list[Pubkey]:
        """The single accounts to subscribe to."""
        return [*self._board.accounts, self._fund.address, self._wallet.address]

    def node_is_current(self) -> bool:
        """Whether what is known is of now: else nothing is decided.

        A node answers and goes on; a slot was announced within the last five seconds, and the feed is not
        far behind what the nodes answer.
        """
        return (
            self._clock.monotonic_ns() - self._slot_seen_ns < SLOT_SILENCE_NS
            and self.slot >= self._chain.tip() - FEED_BEHIND_SLOTS
            and self._chain.is_current()
        )

    def on_connected(self) -> None:
        """Subscribed: what happened before is read in a snapshot."""
        self._connections += 1
        self._subscriptions.connected()
        if self._connections > 1 and self._subscriptions.untold:
            # One that comes and goes must not have everything read each time: the other one goes on.
            self.on_doubt("a feed was made anew, again")
        else:
            self._due.set()

    def on_disconnected(self, reason: str) -> None:
        """Not subscribed any more."""
        if self.subscribed:
            self._subscriptions.lost(reason)
        self._connections = max(0, self._connections - 1)

    def on_slot(self, slot: int) -> None:
        """The node works on this slot."""
        self._is_held |= not self.node_is_current()
        if slot > self.slot:
            self.slot = slot
            self._slot_seen_ns = self._clock.monotonic_ns()
        self.updated_at_ns = self._clock.now_ns()
        self._tracker.kick()
        self._subscriptions.look()
        self._silence.on_slot(slot)
        if self._is_held and self.node_is_current():
            # What crossed meanwhile was not decided on.
            self._is_held = False
            self._detector.look_at_all()

    def on_accounts(self, news: Sequence[AccountNews]) -> None:
        """Accounts changed: positions first, so that a price among them finds the book as it is now."""
        self.updated_at_ns = self._clock.now_ns()
        watched, single, positions = self._watched, list[AccountNews](), list[Update]()
        for each in news:
            if each.address in watched:
                single.append(each)
            else:
                positions.append((each.address, each.data, each.owner, each.slot))
        if positions:
            self._silence.on_positions()
            if len(positions) <= FEW:
                self._take_few(positions)
            else:
                self._detector.look_at_many(self._holdings.apply_many(positions))
        for each in single:
            self._on_watched(each)

    def _take_few(self, positions: Sequence[Update]) -> None:
        """One behind the other, each with what was just read of it: the quickest way into the queue."""
        changed: dict[Pubkey, Position | None] = {}  # of one that is told of twice, the last is so
        for update in positions:
            change = self._holdings.apply_one(*update)
            if change:
                changed[update[0]] = None if change is True else change
        for address, position in changed.items():
            self._detector.look_at_told(address, position)

    def on_doubt(self, reason: str) -> None:
        """The feed may have missed something: read everything again."""
        if self._doubt is not None:
            return
        log.info("sequence in doubt", reason=reason)
        since_s = (self._clock.monotonic_ns() - self._taken_ns) / 1e9
        rest_s = max(0.0, max(DOUBT_REST_S, self._rest_s) - since_s) if self._taken_ns else 0.0
        self._doubt = asyncio.get_running_loop().call_later(rest_s, self._due.set)

    def _on_watched(self, news: AccountNews) -> None:
        if news.address in self._price_accounts:
            self._prices.on_account(news.address, news.data, news.owner, news.slot)
        elif news.address == self._fund.address:
            self._fund.apply(news.data, news.owner, news.slot)
        elif news.address == self._wallet.address:
            self._wallet.apply(news.lamports, news.slot)

    async def run(self) -> None:
        """Take a snapshot whenever one is due, and every minute; ends only by cancellation.

        One that takes long is taken less often: reading again costs less than a twentieth of the time.
        """
        while True:
            try:
                period_s = DEAF_RESYNC_S if self._silence.is_deaf else RESYNC_S
                async with asyncio.timeout(max(period_s, self._rest_s)):
                    await self._due.wait()
            except TimeoutError:
                pass
            self._due.clear()
            began_ns = self._clock.monotonic_ns()
            try:
                if self._doubt is not None:
                    self._doubt.cancel()
                    self._doubt = None
                await self._take_snapshot()
                self._taken_ns = self._clock.monotonic_ns()
                self._took_s = (self._taken_ns - began_ns) / 1e9
            except RpcFailure as failure:
                log.warning("snapshot failed", reason=str(failure))
                self._due.set()
                await self._clock.sleep(RETRY_S)

    @property
    def _rest_s(self) -> float:
        return REST_FACTOR * self._took_s

    async def _take_snapshot(self) -> None:
        """Prices, fund and wallet first, then every position; afterwards everyone is looked at once."""
        slot = await self._chain.slot()
        for account in self._board.accounts:
            read = await self._chain.account(account)
            if read.data is not None and read.owner is not None:
                self._board.apply(account, read.data, read.owner, read.slot)
        await self._fund.refresh()
        await self._wallet.refresh()
        await self._load(slot)
        if not self.loaded.is_set():
            self._events.add(Level.INFO, f"snapshot complete: {len(self._holdings.book)} positions")
        self.slot = max(self.slot, slot)
        self._slot_seen_ns = self._slot_seen_ns or self._clock.monotonic_ns()
        self.loaded.set()
        self._detector.look_at_all()
        if self._holdings.lost_news:
            self._events.add(
                Level.ATTENTION, "too much news during the snapshot: the snapshot is taken again"
            )
            self._due.set()

    async def _load(self, slot: int) -> None:
        """Every position, decoded in slices between which the event loop goes on."""
        load = self._holdings.begin_snapshot(slot)
        async for addresses, accounts in self._chain.position_slices(self._program_id, slot):
            self._holdings.take(load, addresses, accounts)
            await self._clock.sleep(0)
        for _ in self._holdings.finish(load):
            await self._clock.sleep(0)
        if not load.is_first:
            self._silence.on_snapshot(load.changed, self.slot)
