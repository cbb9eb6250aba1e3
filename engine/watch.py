"""What the engine does beside liquidating: it reconciles at the start, and keeps an eye on itself."""

from __future__ import annotations

from pathlib import Path

import structlog

from engine.chain.port import Level, RpcFailure
from engine.control import read_standing_stop
from engine.domain import Action, Band, Intent
from engine.liquidation.decide import decide
from engine.liquidation.queue import Entry, Stage
from engine.liquidation.tracker import Flight
from engine.parts import Parts
from engine.protocol.margin import is_below
from engine.store.positions import PositionSample, PositionSampler

log = structlog.get_logger("engine")

PERIOD_S = 0.25
SLOW_TURNS = 8  # every two seconds
SAMPLED_POSITIONS = 200
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
                submitted_at_ns=submitted_at_ns,
                last_write_ns=None if submitted_at_ns is None else parts.clock.monotonic_ns(),
                withheld=submitted_at_ns is None,
            )
        )
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
        action=intent.action,
        detected_at_ns=intent.detected_at_ns,
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

    async def run(self) -> None:
        """Go round for ever; ends only by cancellation."""
        turn = 0
        while True:
            await self._obey_standing_stop()
            await self._parts.gate.persist()  # a stop that the disk refused, or took too long over
            if turn % SLOW_TURNS == 0:
                await self._read_height()
                self._sample_positions()
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

    def _sample_positions(self) -> None:
        """The riskiest positions, for the database and for the charts."""
        parts = self._parts
        prices = [parts.board.current(symbol) for symbol in parts.board.symbols]
        now_ns = parts.clock.now_ns()
        samples = []
        for address in parts.holdings.book.riskiest(prices, SAMPLED_POSITIONS):
            position = parts.holdings.decidable(address)
            if position is None:
                continue
            decision = decide(position, parts.board.current(position.symbol))
            health = decision.health
            if health.value_e12 == 0:
                continue
            milli = 10_000_000 * health.equity_e12 // (health.maintenance_bps * health.value_e12)
            parts.history.add(address, milli)
            band = Band.LIQUIDATABLE if decision.action is not Action.HOLD else _band(is_below(health, 1300))
            samples.append(PositionSample(position, decision.price.price_e6, health, band, now_ns))
        self._sampler.offer(samples)


def _band(is_at_risk: bool) -> Band:
    return Band.AT_RISK if is_at_risk else Band.HEALTHY
