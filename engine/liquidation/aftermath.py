"""What happens when a transaction of ours is confirmed, and when it is final: record, count, tell, go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from solders.pubkey import Pubkey

from engine.book.book import terms_of
from engine.book.holdings import Holdings
from engine.chain.account_reader import AccountReader
from engine.chain.port import RpcFailure
from engine.clock import Clock
from engine.domain import Action, Outcome, OutcomeClass
from engine.journal.errors import JournalUnavailable, UnknownIntent
from engine.journal.journal import Journal
from engine.journal.records import FundTransaction, FundTransactionKind
from engine.liquidation import decision_record
from engine.liquidation.classify import SETTLED, is_hopeless, may_be_overtaken
from engine.liquidation.compute_limits import ComputeLimits
from engine.liquidation.decide import decide
from engine.liquidation.detector import Detector
from engine.liquidation.failures import Failures
from engine.liquidation.flight import Flight
from engine.liquidation.outcomes import fund_effect
from engine.liquidation.queue import LiquidationQueue, Stage
from engine.liquidation.retry import Retries
from engine.oracle.board import PriceBoard
from engine.protocol.addresses import insurance_fund_address
from engine.telemetry.events import EventLog, Level
from engine.telemetry.latency import Latencies
from engine.telemetry.tally import Tally

log = structlog.get_logger("aftermath")


class Aftermath:
    """The tracker's follower."""

    def __init__(
        self,
        *,
        journal: Journal,
        queue: LiquidationQueue,
        retries: Retries,
        failures: Failures,
        holdings: Holdings,
        board: PriceBoard,
        detector: Detector,
        accounts: AccountReader,
        latencies: Latencies,
        tally: Tally,
        events: EventLog,
        clock: Clock,
        limits: ComputeLimits,
        on_invariant: Callable[[str], None],
    ) -> None:
        self._journal = journal
        self._queue = queue
        self._retries = retries
        self._failures = failures
        self._holdings = holdings
        self._board = board
        self._detector = detector
        self._accounts = accounts
        self._latencies = latencies
        self._tally = tally
        self._events = events
        self._clock = clock
        self._limits = limits
        self._on_invariant = on_invariant
        self._looking: set[asyncio.Task[None]] = set()

    def still_wanted(self, flight: Flight) -> bool:
        """Whether the position would be liquidated at the price of now."""
        position = self._holdings.decidable(flight.intent.position)
        if position is None:
            return False
        return decide(position, self._board.current(position.symbol)).action is not Action.HOLD

    async def on_confirmed(self, flight: Flight) -> None:
        """Confirmed, not yet final: the latency is known, and operators hear of it."""
        intent, status = flight.intent, flight.status
        if status is None or flight.confirmed_at_ns is None:
            return
        flight.entry.stage = Stage.LANDED
        is_first_told, flight.is_timed = not flight.is_timed, True
        if is_first_told and flight.is_timeable:
            assert flight.submitted_at_ns is not None
            self._latencies.submit_to_confirm.observe_ns(flight.confirmed_at_ns - flight.submitted_at_ns)
            self._latencies.detect_to_confirm.observe_ns(flight.confirmed_at_ns - flight.entry.free_at_ns)
        if status.fault is None:
            size = f"  size {intent.amount_e6 / 1e6:g}"
            done = "DRY RUN, would have liquidated" if status.is_rehearsal else "liquidated"
            self._events.add(
                Level.OURS, f"{done} {_name(flight)}  {intent.action.value}{size}  slot {status.slot}"
            )
            # A closed account is not announced to subscribers of its program: it has to be looked for.
            self._look_again(intent.position)

    def on_taken_back(self, flight: Flight) -> None:
        """Operators hear of it, and the book learns at once what the position is like without it.

        Only of a position that the book has are the same bytes sent again.
        """
        flight.entry.stage = Stage.SENT
        self._events.add(Level.ATTENTION, f"taken back by a fork, followed on  {_name(flight)}")
        self._look_again(flight.intent.position)

    async def on_owed(self, flight: Flight) -> bool:
        """Keep it as owed, tell of it, and let its position go on."""
        try:
            await self._journal.record_owed(
                flight.intent.signature, flight.finalized_at_ns or self._clock.now_ns()
            )
        except JournalUnavailable as error:
            log.error("transaction not recorded as owed", reason=str(error))
            return False
        self._events.add(
            Level.DANGER,
            f"ERROR no node shows the final transaction {flight.intent.signature}: {_name(flight)} goes on, "
            "what it did is asked for until a node tells: look at the nodes",
        )
        self._queue.finish(flight.entry)
        self._detector.look_at(flight.intent.position, flight.entry.again_at_ns)
        return True

    async def on_final(self, flight: Flight, outcome: Outcome) -> bool:
        """Record the end exactly once, then free the position or try again."""
        try:
            # The outcome comes last: it closes the intent, and whatever is missing then stays missing.
            await self._record_fund_effect(flight, outcome)
            await self._journal.record_outcome(outcome)
        except JournalUnavailable as error:
            log.error("outcome not recorded yet", reason=str(error))
            return False
        except UnknownIntent:
            self._on_invariant(f"{outcome.signature} has an outcome and no intent")
            self._queue.finish(flight.entry)
            return True
        if not flight.is_counted:
            flight.is_counted = True
            self._count(flight, outcome)
            self._limits.saw(flight.intent, outcome)
        await self._go_on(flight, outcome)
        return True

    async def _record_fund_effect(self, flight: Flight, outcome: Outcome) -> None:
        landed = flight.landed
        if landed is None or outcome.outcome is not OutcomeClass.CONFIRMED:
            return
        effect = fund_effect(landed, insurance_fund_address(self._holdings.program_id))
        for kind, amount in (
            (FundTransactionKind.COVERAGE, effect.covered_lamports),
            (FundTransactionKind.EQUITY, effect.equity_lamports),
        ):
            if amount:
                await self._journal.record_fund_transaction(
                    FundTransaction(
                        signature=outcome.signature,
                        kind=kind,
                        amount_lamports=amount,
                        account=flight.intent.position,
                        slot=landed.slot,
                        at_ns=outcome.confirmed_at_ns or self._clock.now_ns(),
                    )
                )

    def _count(self, flight: Flight, outcome: Outcome) -> None:
        self._tally.add_outcome(flight.intent.action, flight.intent.symbol, outcome)
        if outcome.outcome is OutcomeClass.CONFIRMED and not outcome.liquidated_size_e6:
            self._events.add(
                Level.DANGER,
                f"ERROR {flight.intent.signature} succeeded, but the chain shows no event of it: its amounts "
                f"are recorded as 0  {_name(flight)}",
            )
        self._tell_bad_debt(flight, outcome)

    def _tell_bad_debt(self, flight: Flight, outcome: Outcome) -> None:
        is_rehearsal = outcome.outcome is OutcomeClass.DRY_RUN
        uncovered = outcome.bad_debt_lamports - outcome.covered_lamports
        if uncovered > 0:
            level, beginning = (
                (Level.ATTENTION, "DRY RUN, would be") if is_rehearsal else (Level.DANGER, "ERROR")
            )
            self._events.add(
                level, f"{beginning} uncovered bad debt {uncovered / 1e9:.9f} SOL  {_name(flight)}"
            )
        elif outcome.bad_debt_lamports:
            beginning = "DRY RUN, would be bad debt" if is_rehearsal else "bad debt"
            amount = outcome.bad_debt_lamports / 1e9
            self._events.add(
                Level.ATTENTION, f"{beginning} {amount:.9f} SOL covered by the fund  {_name(flight)}"
            )

    async def _go_on(self, flight: Flight, outcome: Outcome) -> None:
        entry = flight.entry
        if flight.is_owed:
            return  # its position went on without it
        if outcome.outcome in SETTLED or await self._was_overtaken(flight):
            await self._failures.resolve_position(flight.intent.position)
            if outcome.outcome is not OutcomeClass.CONFIRMED:
                self._events.add(Level.INFO, f"{outcome.error_message}  {_name(flight)}")
            await self._read_again(flight.intent.position)
            self._queue.finish(entry)
            self._detector.look_at(flight.intent.position, entry.again_at_ns)
        else:
            await self._retries.again(
                entry,
                outcome.outcome,
                outcome.error_message or outcome.outcome.value,
                outcome.signature,
                is_hopeless=flight.landed is not None and is_hopeless(flight.landed.fault),
            )

    async def _was_overtaken(self, flight: Flight) -> bool:
        """Whether the position is no longer what was decided on: then it is decided anew, and not retried."""
        if flight.landed is None or not may_be_overtaken(flight.landed.fault):
            return False
        await self._read_again(flight.intent.position)
        position = self._holdings.book.get(flight.intent.position)
        try:
            decided_on = decision_record.decode(flight.intent.decision_json).terms
        except decision_record.DecisionRecordInvalid:
            return False
        return position is None or terms_of(position) != decided_on

    def _look_again(self, address: Pubkey) -> None:
        looking = asyncio.create_task(self._read_again(address))
        self._looking.add(looking)
        looking.add_done_callback(self._looking.discard)

    async def _read_again(self, address: Pubkey) -> None:
        """After a liquidation the account is closed, or smaller: the book learns it at once."""
        try:
            read = await self._accounts.read(address)
        except RpcFailure:
            return  # the subscription and the next snapshot know too
        self._holdings.apply(address, read.data, read.owner, read.slot)


def _name(flight: Flight) -> str:
    text = str(flight.intent.position)
    return f"{text[:4]}…{text[-4:]} {flight.intent.symbol}"
