"""What the engine does beside liquidating: it reconciles at the start, and keeps an eye on itself."""

from __future__ import annotations

from pathlib import Path

import structlog
from solders.pubkey import Pubkey

from engine.book import risk
from engine.chain.port import Level, RpcFailure
from engine.control import read_standing_stop
from engine.domain import Action, Band, Decision, Health, Intent, Position
from engine.liquidation.decide import decide
from engine.liquidation.flight import Flight
from engine.liquidation.queue import Entry, Stage
from engine.parts import Parts
from engine.protocol.margin import is_below
from engine.store.positions import PositionSample, PositionSampler

log = structlog.get_logger("engine")

PERIOD_S = 0.25
SLOW_TURNS = 8  # every two seconds
SAMPLED_RISKIEST = 200
SAMPLED_IN_TURN = 500
DEPARTED_IN_TURN = 2_000
AT_A_TIME = 8  # samples, about a quarter of a millisecond: news that come meanwhile wait for so long
PAUSE_S = 0.003  # between two pieces
LONGEST_WAIT_S = 0.02  # for a piece, behind what is being sent
RECONCILE_RETRY_S = 1.0


async def reconcile(parts: Parts) -> None:
    """Take over every open intent and look each of them up on the chain (design rule 6).

    One that is final gets its outcome here; one that may still land is followed, and blocks its position
    until then. Returns when the node has answered for all of them.
    """
    for intent in parts.journal.open_intents():
        entry = _entry_of(intent)
        parts.queue.occupy(entry)
        submitted_at_ns = parts.journal.submitted_at_ns(intent.signature)
        parts.tracker.follow(
            Flight(
                intent,
                entry,
                # Whether its bytes left is not known when the note of it was lost: then they may have.
                may_have_left=True,
                found_at_start=True,
                submitted_at_ns=submitted_at_ns,
                last_write_ns=None if submitted_at_ns is None else parts.clock.monotonic_ns(),
                withheld=submitted_at_ns is None,
            )
        )
    for intent, finalized_at_ns in parts.journal.owed():
        # Its position is not held by it; its outcome is still asked for.
        owed = Flight(intent, _entry_of(intent), found_at_start=True, may_have_left=True, is_owed=True)
        owed.note_final(finalized_at_ns, parts.clock.monotonic_ns())
        parts.tracker.follow(owed)
    found = len(parts.tracker)
    while len(parts.tracker):
        if await parts.tracker.round(parts.aftermath):
            # What is final but cannot be read yet holds up its own position, not the start.
            await parts.tracker.settle(parts.aftermath)
            break
        await parts.clock.sleep(RECONCILE_RETRY_S)
    if found:
        log.info("reconciled", open_intents=found, still_in_flight=len(parts.tracker))


def _entry_of(intent: Intent) -> Entry:
    """The queue entry that an open intent of an earlier process belongs to."""
    return Entry(
        address=intent.position,
        owner=intent.owner,
        symbol=intent.symbol,
        liquidation_id=intent.liquidation_id,
        health_factor=0.0,
        value_e6=0,
        decided=intent.action,
        detected_at_ns=intent.detected_at_ns,
        free_at_ns=intent.detected_at_ns,
        stage=Stage.SENT,
        attempt=intent.attempt,
        compute_unit_limit=intent.compute_unit_limit,
    )


class Housekeeping:
    """Small periodic duties of a running engine."""

    def __init__(self, parts: Parts, sampler: PositionSampler, standing_stop: Path) -> None:
        self._parts = parts
        self._sampler = sampler
        self._standing_stop = standing_stop
        self._place = 0  # in the book, where the next turn goes on

    async def run(self) -> None:
        """Go round for ever; ends only by cancellation."""
        turn = 0
        while True:
            await self._obey_standing_stop()
            await self._parts.gate.persist()  # a stop that the disk refused, or took too long over
            if turn % SLOW_TURNS == 0:
                await self._read_height()
                await self._sample_positions()
                if self._parts.ingest.loaded.is_set():
                    await self._parts.failures.resolve_gone(self._parts.holdings.book.__contains__)
            turn += 1
            await self._parts.clock.sleep(PERIOD_S)

    async def _obey_standing_stop(self) -> None:
        """A stop that was left as a file, by an operator whose socket did not answer, is a stop."""
        order = read_standing_stop(self._standing_stop)
        if order is not None and self._parts.gate.state.is_running:
            await self._parts.commands.stop(*order)

    async def _read_height(self) -> None:
        try:
            self._parts.heights.current = await self._parts.chain.block_height(Level.PROCESSED)
        except RpcFailure as failure:
            log.warning("block height unknown", reason=str(failure))

    async def _sample_positions(self) -> None:
        """The riskiest positions and some of the others in turn, for the database and for the charts.

        The rows of those that left the book go first: one that came back is sampled again.
        """
        book = self._parts.holdings.book
        for _ in range(min(len(book.departed), DEPARTED_IN_TURN)):
            self._sampler.forget(Pubkey.from_bytes(book.departed.popleft()))
        prices = [self._parts.board.current(symbol) for symbol in self._parts.board.symbols]
        riskiest = risk.riskiest(book, prices, SAMPLED_RISKIEST)
        in_turn, self._place = book.addresses_from(self._place, SAMPLED_IN_TURN)
        for number, address in enumerate(dict.fromkeys([*riskiest, *in_turn])):
            if number % AT_A_TIME == 0:
                await self._parts.clock.sleep(PAUSE_S)
                await self._parts.lull.wait(LONGEST_WAIT_S)
            sample = self._sample(address, self._parts.clock.now_ns())
            if sample is None:
                continue
            self._sampler.offer([sample])
            if number < len(riskiest) and sample.health is not None:
                self._parts.history.add(address, _milli(sample.health))

    def _sample(self, address: Pubkey, now_ns: int) -> PositionSample | None:
        position = self._parts.holdings.book.get(address)
        if position is None:
            return None
        decision = self._decide(position)
        if decision is None:
            return PositionSample(position, None, None, Band.UNKNOWN, now_ns)
        if decision.action is not Action.HOLD:
            band = Band.LIQUIDATABLE
        else:
            at_risk = is_below(decision.health, self._parts.settings.at_risk_factor_milli)
            band = Band.AT_RISK if at_risk else Band.HEALTHY
        return PositionSample(position, decision.price.price_e6, decision.health, band, now_ns)

    def _decide(self, position: Position) -> Decision | None:
        """The decision at the price of now, None where health is unknown."""
        if self._parts.holdings.book.unknown_reason(position.address) is not None:
            return None
        decision = decide(position, self._parts.board.current(position.symbol))
        return decision if decision.health.value_e12 else None


def _milli(health: Health) -> int:
    """The health factor in thousandths, rounded down."""
    return 10_000_000 * health.equity_e12 // (health.maintenance_bps * health.value_e12)
