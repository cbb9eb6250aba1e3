"""Reads transactions that are final, many by one request where a node takes that, and says what each did."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog
from solders.pubkey import Pubkey

from engine.chain.port import Chain, Level, RpcFailure
from engine.clock import Clock
from engine.domain import Outcome
from engine.liquidation.flight import Flight
from engine.liquidation.outcomes import landed_outcome
from engine.liquidation.precedence import Precedence

log = structlog.get_logger("tracker")

TOGETHER = 25  # transactions asked for by one request
PARALLEL_READS = 8
GIVE_WAY_S = 0.005
GIVE_WAY_TURNS = 100


class FinalReads:
    """What is read stays with the flight, so that recording it again needs no node."""

    def __init__(
        self, *, chain: Chain, fund: Pubkey, program_id: Pubkey, clock: Clock, is_busy: Callable[[], bool]
    ) -> None:
        self._chain = chain
        self._fund = fund
        self._precedence = Precedence(chain, program_id)
        self._clock = clock
        self._is_busy = is_busy
        self._reads = asyncio.Semaphore(PARALLEL_READS)
        self._was_busy, self._look_again_ns = False, 0

    async def look(self, flights: Sequence[Flight]) -> None:
        """Read what one request brings of these, at most TOGETHER; `read` asks for the others one by one."""
        unread = [flight for flight in flights if flight.landed is None]
        if len(unread) < 2:
            return
        try:
            async with self._reads:
                await self._give_way()
                told = await self._chain.final_transactions([flight.intent.signature for flight in unread])
        except RpcFailure as failure:
            log.info("transactions not told together", reason=str(failure))
            return
        for flight in unread:
            flight.landed = told.get(flight.intent.signature)

    async def read(self, flight: Flight) -> Outcome | None:
        """What a flight's transaction did, and who was first where it came too late; None if unread."""
        if flight.outcome is not None:
            return flight.outcome
        try:
            async with self._reads:
                if flight.landed is None:
                    await self._give_way()
                    flight.landed = await self._chain.transaction(flight.intent.signature, Level.FINALIZED)
                if flight.landed is not None:
                    stamps = flight.stamps(self._clock.now_ns())
                    outcome = landed_outcome(flight.intent, flight.landed, self._fund, stamps)
                    flight.outcome = await self._precedence.explain(flight.intent, outcome, flight.landed)
        except RpcFailure as failure:
            log.warning("transaction unread", reason=str(failure))
        return flight.outcome

    async def _give_way(self) -> None:
        """Wait, but not for ever, while liquidations wait to be sent: recording can wait, they cannot."""
        for _ in range(GIVE_WAY_TURNS):
            now_ns = self._clock.monotonic_ns()
            if now_ns >= self._look_again_ns:  # the queue is long when there is much to be read
                self._was_busy, self._look_again_ns = self._is_busy(), now_ns + int(GIVE_WAY_S * 1e9)
            if not self._was_busy:
                return
            await self._clock.sleep(GIVE_WAY_S)
