"""Follows every signed transaction to its final end: statuses, rebroadcasts of the same bytes, proven expiry.

An intent is final in two ways only: its transaction is finalized, with or without an error; or the finalized
block height is above its last valid one and a search of the history does not know the signature.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Protocol

import structlog
from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.chain.confirmations import Hints
from engine.chain.fees import BASE_FEE_LAMPORTS, priority_fee_lamports
from engine.chain.parcel import Parcel
from engine.chain.port import Chain, Level, RpcFailure, SignatureStatus
from engine.clock import Clock
from engine.control import SendingStopped
from engine.domain import Intent, Outcome
from engine.liquidation.final_reads import TOGETHER, FinalReads
from engine.liquidation.flight import Flight
from engine.liquidation.outcomes import expired_outcome

log = structlog.get_logger("tracker")

STATUS_BATCH = 256
POLL_S = 0.5  # slots wake the tracker; this is for when none are announced
FINALITY_ROUNDS = 28
FORK_LOOK_ROUNDS = 8
UNREAD_NS = 60 * 10**9  # final for so long and not to be read: somebody has to look at the nodes


class Wire(Protocol):
    """The gated way out; see engine.chain.sender."""

    def send(
        self, raw: bytes, on_write: Callable[[int], None], still_wanted: Callable[[], bool] = ...
    ) -> Awaitable[None]:
        """Send one transaction's bytes: at once where it can, else while the answer is awaited.

        Before each write `still_wanted` is asked.
        """
        ...

    def send_together(self, parcels: Sequence[Parcel]) -> Sequence[Awaitable[None]]:
        """Send several transactions, each as `send` does."""
        ...


class Follower(Protocol):
    """Who wants to know; what is awaited is over before the tracker goes on with that flight."""

    async def on_confirmed(self, flight: Flight) -> None:
        """The transaction landed and is confirmed, with or without an error; not yet final."""
        ...

    def on_taken_back(self, flight: Flight) -> None:
        """It was confirmed, and is unknown now: a fork took it back, and what it did with it."""
        ...

    async def on_final(self, flight: Flight, outcome: Outcome) -> bool:
        """The end. Returns False when it could not be recorded, to be told again."""
        ...

    async def on_owed(self, flight: Flight) -> bool:
        """It is final for good, and no node shows it: what it did is owed, its position need not wait.

        Returns False when that could not be recorded.
        """
        ...

    def still_wanted(self, flight: Flight) -> bool:
        """Whether the position would be liquidated by today's price: only then are bytes sent again."""
        ...


class Tracker:
    """The signatures in flight, looked after once per slot."""

    def __init__(
        self,
        *,
        chain: Chain,
        wire: Wire,
        fund: Pubkey,
        program_id: Pubkey,
        clock: Clock,
        rebroadcast_ms: int,
        is_busy: Callable[[], bool],
        hints: Hints,
    ) -> None:
        self._chain = chain
        self._wire = wire
        self._clock = clock
        self._rebroadcast_ns = rebroadcast_ms * 1_000_000
        self._flights: dict[Signature, Flight] = {}
        self._final_reads = FinalReads(
            chain=chain, fund=fund, program_id=program_id, clock=clock, is_busy=is_busy
        )
        self._hints = hints
        hints.listen(self.hear)
        self._heard: set[Signature] = set()
        self._slot_began = False
        self._kick = asyncio.Event()
        self._has_final = asyncio.Event()
        self._fees_lamports = 0
        self.rounds = 0

    def __len__(self) -> int:
        return len(self._flights)

    @property
    def flights(self) -> list[Flight]:
        """Everything in flight."""
        return list(self._flights.values())

    @property
    def last_valid_block_height(self) -> int | None:
        """The height above which nothing that is out can land, None when nothing is."""
        return max((flight.intent.last_valid_block_height for flight in self.out), default=None)

    @property
    def out(self) -> list[Flight]:
        """Flights whose bytes have left, or may have, and that have not landed: what a stop cannot recall."""
        # Of a copy: a stop asks from its own thread.
        return [each for each in self.flights if each.may_have_left and each.status is None]

    @property
    def confirmed(self) -> list[Flight]:
        """Flights that landed, with or without a fault, and are not final yet."""
        return [flight for flight in self.flights if flight.status is not None]

    @property
    def unread(self) -> list[Flight]:
        """Flights that are final and could not be read so far."""
        return [flight for flight in self._flights.values() if flight.failed_reads]

    @property
    def fees_in_flight_lamports(self) -> int:
        """What the transactions in flight cost in fees if all of them land."""
        return self._fees_lamports

    def follow(self, flight: Flight) -> None:
        """Take over a transaction that was made durable. It is followed even if its bytes never left."""
        if flight.intent.signature not in self._flights:
            flight.followed_ns = self._clock.monotonic_ns()
            self._fees_lamports += _fee_lamports(flight.intent)
            self._flights[flight.intent.signature] = flight
            self._hints.watch(flight.intent.signature)

    def adopt(self, flight: Flight) -> None:
        """Follow a transaction on behalf of this flight's entry, whoever had it followed before."""
        known = self._flights.get(flight.intent.signature)
        if known is None:
            self.follow(flight)
        else:
            known.entry = flight.entry

    def kick(self) -> None:
        """A slot began: statuses may have moved."""
        self._slot_began = True
        self._kick.set()

    def hear(self, signature: Signature) -> None:
        """A node says that this one got into a block: nothing is believed of it, but it is asked for now."""
        flight = self._flights.get(signature)
        if flight is not None and flight.status is None:
            self._heard.add(signature)
            self._kick.set()

    async def run(self, follower: Follower) -> None:
        """Follow statuses for ever; ends only by cancellation. `run_settling` goes beside it."""
        while True:
            try:
                async with asyncio.timeout(POLL_S):
                    await self._kick.wait()
            except TimeoutError:
                self._slot_began = True  # as far as anybody knows
            self._kick.clear()
            is_round, self._slot_began = self._slot_began, False
            heard, self._heard = self._heard, set()
            if is_round and self._flights:
                await self.round(follower, only_due=True)
            elif heard:
                await self._look_at(heard, follower)

    async def run_settling(self, follower: Follower) -> None:
        """Read what became final, for ever, giving way to liquidations that wait to be sent."""
        while True:
            await self._has_final.wait()
            self._has_final.clear()
            if not await self.settle(follower):
                await self._clock.sleep(POLL_S)
                self._has_final.set()

    async def round(self, follower: Follower, *, only_due: bool = False) -> bool:
        """Look once after every flight; False when the node failed, which leaves them as they are.

        With `only_due`, confirmed ones are looked at when they may be final, and now and then for a fork.
        """
        self.rounds += 1
        try:
            undecided = [flight for flight in self._flights.values() if not _is_final(flight)]
            if only_due and self.rounds % FORK_LOOK_ROUNDS:
                undecided = [flight for flight in undecided if self._may_have_moved(flight)]
            unknown = await self._advance(undecided, follower)
            if unknown:
                await self._settle_unknown(unknown, follower)
        except RpcFailure as failure:
            log.warning("statuses unknown", reason=str(failure))
            return False
        return True

    async def _look_at(self, heard: Collection[Signature], follower: Follower) -> None:
        """Ask for the statuses of these alone, between two rounds."""
        flights = [flight for flight in self._flights.values() if flight.intent.signature in heard]
        try:
            await self._advance(flights, follower)
        except RpcFailure as failure:
            log.warning("statuses unknown", reason=str(failure))

    def _may_have_moved(self, flight: Flight) -> bool:
        """Not confirmed yet, or so long ago (a round is about a slot) that it should be final."""
        return flight.status is None or self.rounds - flight.confirmed_round >= FINALITY_ROUNDS

    async def settle(self, follower: Follower) -> bool:
        """Read every final transaction and tell its outcome; False when one could not be read or recorded."""
        now_ns = self._clock.monotonic_ns()
        final = [
            flight for flight in self._flights.values() if _is_final(flight) and flight.next_read_ns <= now_ns
        ]
        parts = [final[start : start + TOGETHER] for start in range(0, len(final), TOGETHER)]
        settled = await asyncio.gather(*(self._settle_part(part, follower) for part in parts))
        await self._release_unread(follower)
        return all(settled) and not self.unread

    async def _settle_part(self, flights: Sequence[Flight], follower: Follower) -> bool:
        try:
            await self._final_reads.look(flights)
        except Exception:
            log.exception("reading together broke")  # each is read for itself then
        settled = await asyncio.gather(
            *(self._settle(flight, follower) for flight in flights), return_exceptions=True
        )
        for flight, result in zip(flights, settled, strict=True):
            if isinstance(result, Exception):
                # A fault in one of them must not end the following of the others.
                log.error("outcome broke", signature=str(flight.intent.signature), exc_info=result)
        return all(result is True for result in settled)

    async def _advance(
        self, flights: Sequence[Flight], follower: Follower, *, are_overdue: bool = False
    ) -> list[Flight]:
        """Ask for statuses and note them; returns the flights that no node knows.

        For overdue ones that is the proof that they expired, so only nodes are heard that have finalized a
        block above their last valid one.
        """
        unknown: list[Flight] = []
        for start in range(0, len(flights), STATUS_BATCH):
            batch = flights[start : start + STATUS_BATCH]
            signatures = [flight.intent.signature for flight in batch]
            last_valid = max(flight.intent.last_valid_block_height for flight in batch)
            statuses = await self._chain.statuses(
                signatures,
                search_history=are_overdue,
                above_height=last_valid if are_overdue else None,
            )
            seen_at_ns = self._clock.now_ns()
            for flight, status in zip(batch, statuses, strict=True):
                if status is None:
                    unknown.append(flight)
                elif status.level >= Level.CONFIRMED and not _is_final(flight):
                    await self._note(flight, status, seen_at_ns, follower)
        return unknown

    async def _note(
        self, flight: Flight, status: SignatureStatus, seen_at_ns: int, follower: Follower
    ) -> None:
        """A confirmed or finalized status: told once per slot that the transaction is in."""
        is_news = flight.status is None or flight.status.slot != status.slot
        flight.status = status
        if is_news:
            flight.confirmed_round = self.rounds
            flight.confirmed_at_ns = seen_at_ns
            try:
                await follower.on_confirmed(flight)
            except Exception:
                # Telling of it is one thing, following it and the others another.
                log.exception("confirmation broke", signature=str(flight.intent.signature))
        if status.level is Level.FINALIZED:
            flight.note_final(seen_at_ns, self._clock.monotonic_ns())
            self._has_final.set()

    async def _settle(self, flight: Flight, follower: Follower) -> bool:
        """The outcome is what the finalized transaction says."""
        outcome = await self._final_reads.read(flight)
        if outcome is None:
            flight.note_unread(self._clock.monotonic_ns())
            log.warning("final transaction not read yet", signature=str(flight.intent.signature))
            return False
        return await self._finish(flight, outcome, follower)

    async def _release_unread(self, follower: Follower) -> None:
        """Let positions go on whose last transaction is final and has been unreadable for too long.

        What it did is never guessed: it is owed, and asked for until a node shows it. A status alone is one
        node's word, so the position waits until nothing of that transaction could land any more either.
        """
        now_ns = self._clock.monotonic_ns()
        held = [each for each in self.unread if not each.is_owed and now_ns - each.final_ns >= UNREAD_NS]
        if not held:
            return
        try:
            height = await self._chain.block_height(Level.FINALIZED)
        except RpcFailure as failure:
            log.warning("block height unknown", reason=str(failure))
            return
        for flight in held:
            if height > flight.intent.last_valid_block_height and await follower.on_owed(flight):
                flight.is_owed = True

    async def _settle_unknown(self, unknown: Iterable[Flight], follower: Follower) -> None:
        """Flights that no node knows: send again while they can land, prove their expiry when they cannot."""
        height = await self._chain.block_height(Level.FINALIZED)
        overdue: list[Flight] = []
        resend: list[Awaitable[None]] = []
        for flight in unknown:
            if flight.status is not None:
                flight.status, flight.confirmed_at_ns = None, None
                follower.on_taken_back(flight)
            if height > flight.intent.last_valid_block_height:
                overdue.append(flight)
            elif self._is_due(flight) and follower.still_wanted(flight):
                resend.append(self._rebroadcast(flight, follower))
        await asyncio.gather(*resend)
        gone = await self._advance(overdue, follower, are_overdue=True) if overdue else []
        for flight in gone:
            stamps = flight.stamps(self._clock.now_ns())
            await self._finish(flight, expired_outcome(flight.intent, stamps), follower)

    def _is_due(self, flight: Flight) -> bool:
        """Whether its bytes may leave (again): at intervals, if the position still wants it.

        That counts for bytes that never left too, because the connection failed or the price came back for a
        moment. What a stop withheld stays here until it expires: a resume starts from fresh decisions.
        """
        last_ns = flight.followed_ns if flight.last_write_ns is None else flight.last_write_ns
        return not flight.withheld and self._clock.monotonic_ns() - last_ns >= self._rebroadcast_ns

    async def _rebroadcast(self, flight: Flight, follower: Follower) -> None:
        """Send the same bytes again; the gate may refuse, and that is that."""
        try:
            await self._wire.send(
                flight.intent.raw_transaction,
                lambda at_ns: flight.note_write(at_ns, self._clock.monotonic_ns()),
                partial(follower.still_wanted, flight),
            )
        except SendingStopped:
            flight.withheld = not flight.may_have_left
        except RpcFailure as failure:
            log.info("rebroadcast refused", signature=str(flight.intent.signature), reason=str(failure))
        except Exception:
            # A fault of ours in one send must not end the following of the others.
            log.exception("rebroadcast broke", signature=str(flight.intent.signature))

    async def _finish(self, flight: Flight, outcome: Outcome, follower: Follower) -> bool:
        if not await follower.on_final(flight, outcome):
            return False
        del self._flights[flight.intent.signature]
        self._hints.forget(flight.intent.signature)
        self._fees_lamports -= _fee_lamports(flight.intent)
        return True


def _is_final(flight: Flight) -> bool:
    return flight.status is not None and flight.status.level is Level.FINALIZED


def _fee_lamports(intent: Intent) -> int:
    priority = priority_fee_lamports(intent.priority_fee_microlamports, intent.compute_unit_limit)
    return BASE_FEE_LAMPORTS + priority
