"""Walks the way of news from a frame to the queue, with made-up news and parts of their own.

What a processor has not done for a few milliseconds it does several times slower: its caches have forgotten
the code. Whoever walks the same code in between has it back. Nothing that is rehearsed comes near the
engine's positions, prices, queue or log: the parts here are of the same classes, and nobody else's.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace

import msgspec
from solders.pubkey import Pubkey

from engine.book.book import Book
from engine.book.holdings import Holdings
from engine.chain.feed_comparison import FeedComparison
from engine.chain.feed_connection import FeedConnection
from engine.chain.port import Chain
from engine.chain.subscriptions import MESSAGE_BYTES
from engine.chain.websocket import WebSocket, server_frame
from engine.clock import Clock
from engine.domain import Generation, Position, Side
from engine.fund import FundWatcher
from engine.ingest import Ingest
from engine.journal.journal import Journal
from engine.liquidation.detector import Detector
from engine.liquidation.failures import Failures
from engine.liquidation.queue import LiquidationQueue
from engine.liquidation.tracker import Tracker
from engine.oracle.board import PriceBoard
from engine.oracle.feeds import WatchedFeed
from engine.price_watch import PriceWatch
from engine.protocol.accounts import encode_position
from engine.protocol.addresses import PYTH_RECEIVER, SOL_USD
from engine.protocol.pyth import PriceUpdate, encode_price_update
from engine.telemetry.events import EventLog
from engine.telemetry.latency import Latencies
from engine.telemetry.tally import Tally
from engine.wallet.watch import WalletWatch

PRICES_GOOD_NS = 20 * 10**9  # then they are made anew: after a minute they would be stale
_AT_ONCE = 2
_SLOT = 1
_RESTING_E6, _FALLEN_E6 = 100 * 10**6, 97 * 10**6
_POSITIONS, _PRICE = 2, 3  # the subscriptions' numbers


class Rehearsal:
    """One step at a time: a position falls below its line and recovers, a price crosses a line and returns.

    The steps are as short as can be, since news that come during one wait for it.

    Made within a running event loop. `chain`, `journal` and `tracker` are there because the parts are made
    with them: nothing that is rehearsed asks or tells them anything. `believes` and `node_is_current` are
    asked as they are for real news; a rehearsal goes on whatever they answer.
    """

    def __init__(
        self,
        *,
        chain: Chain,
        journal: Journal,
        tracker: Tracker,
        clock: Clock,
        believes: Callable[[int], bool],
        node_is_current: Callable[[], bool],
    ) -> None:
        self._clock = clock
        watched = WatchedFeed(SOL_USD)
        program_id = Pubkey.default()
        # What is told in a rehearsal is written nowhere.
        events = EventLog(clock, waiting_lines=_AT_ONCE)
        self._board = board = PriceBoard([watched], clock)
        self._holdings = holdings = Holdings(Book([SOL_USD.symbol], 1300), program_id)
        self._queue = LiquidationQueue(_AT_ONCE)
        detector = Detector(
            holdings=holdings,
            board=board,
            queue=self._queue,
            failures=Failures(journal, clock, self._queue.__contains__),
            tally=Tally(),
            latencies=Latencies(),
            events=events,
            clock=clock,
            node_is_current=lambda: node_is_current() or True,
        )
        detector.enabled = True
        listener = Ingest(
            chain=chain,
            program_id=program_id,
            holdings=holdings,
            board=board,
            prices=PriceWatch(board=board, detector=detector, events=events, clock=clock),
            fund=FundWatcher(chain, journal, program_id, clock),
            wallet=WalletWatch(chain, program_id),
            detector=detector,
            tracker=tracker,
            events=events,
            clock=clock,
            renew_feed=lambda _: None,
        )
        comparison = FeedComparison(clock)
        tale = comparison.begin("", lambda _: None)
        feed = FeedConnection(
            listener,
            [SOL_USD.account],
            steady=(),
            believes=lambda slot: believes(slot) or True,
            on_subscribed=lambda: None,
            on_slot=lambda _: None,
            on_kind=lambda kind, slot: comparison.told_news(tale, kind, slot),
        )
        self._socket = WebSocket(feed.take, MESSAGE_BYTES)
        self._socket.opened.set_result(None)
        self._program_id = program_id
        self._frames: list[bytes] = []
        self._made_at_ns = 0
        self._step = 0
        self.steps = 0
        self.queued = 0  # every second step ends in the queue
        for number in range(1, _PRICE + 1):
            self._hear(server_frame(msgspec.json.encode({"id": number, "result": number})))

    def step(self) -> None:
        """Take the next piece of made-up news to its end; what it queued is done at once."""
        if not 0 <= self._clock.now_ns() - self._made_at_ns < PRICES_GOOD_NS:
            self._make_news()
        self._hear(self._frames[self._step])
        self._step = (self._step + 1) % len(self._frames)
        self.steps += 1
        self.queued += len(self._queue)
        for entry in list(self._queue):
            self._queue.finish(entry)

    def _hear(self, frame: bytes) -> None:
        self._socket.get_buffer(len(frame))[: len(frame)] = frame
        self._socket.buffer_updated(len(frame))

    def _make_news(self) -> None:
        self._made_at_ns = self._clock.now_ns()
        self._frames = [
            self._position_told(replace(_FAR, collateral_e6=1)),
            self._position_told(_FAR),
            self._price_told(_FALLEN_E6),
            self._price_told(_RESTING_E6),
        ]
        # The price rests before the position is told: at the fallen one of an unfinished round it would be
        # queued, and found healthy a step later.
        self._hear(self._frames[-1])
        self._hear(self._position_told(_NEAR))
        self._step = 0

    def _position_told(self, position: Position) -> bytes:
        account = _account(encode_position(position), self._program_id)
        return _told("program", _POSITIONS, {"pubkey": str(position.address), "account": account})

    def _price_told(self, price_e6: int) -> bytes:
        now_s = self._clock.now_ns() // 10**9
        update = PriceUpdate(
            write_authority=PYTH_RECEIVER,
            feed_id=SOL_USD.feed_id,
            price=price_e6,
            conf=0,
            exponent=-6,
            publish_time_s=now_s,
            prev_publish_time_s=now_s,
            ema_price=price_e6,
            ema_conf=0,
            posted_slot=_SLOT,
        )
        return _told("account", _PRICE, _account(encode_price_update(update), PYTH_RECEIVER))


def _position(number: int, collateral_e6: int) -> Position:
    """One that was opened at the resting price, worth a hundred dollars."""
    return Position(
        address=Pubkey.from_bytes(bytes([number]) * 32),
        owner=Pubkey.default(),
        symbol=SOL_USD.symbol,
        side=Side.LONG,
        size_e6=10**6,
        collateral_e6=collateral_e6,
        entry_price_e6=_RESTING_E6,
        leverage=20,
        maintenance_margin_e6=0,
        is_liquidated=False,
        created_at_s=0,
        generation=Generation.DOCUMENTED,
        slot=_SLOT,
    )


_NEAR = _position(1, 5 * 10**6)  # liquidatable below 97.43
_FAR = _position(2, 50 * 10**6)


def _account(data: bytes, owner: Pubkey) -> dict[str, object]:
    return {"lamports": 1, "data": [base64.b64encode(data).decode(), "base64"], "owner": str(owner)}


def _told(kind: str, subscription: int, value: object) -> bytes:
    result = {"context": {"slot": _SLOT}, "value": value}
    params = {"result": result, "subscription": subscription}
    method = f"{kind}Notification"
    return server_frame(msgspec.json.encode({"jsonrpc": "2.0", "method": method, "params": params}))
