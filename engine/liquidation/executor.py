"""Carries a queued position through its attempts: read, decide, sign, journal, send, and what comes after.

The order is the design's first rule: nothing leaves before its intent is durable, and nothing new is signed
for a position before its former transaction is final.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from engine.book.holdings import Holdings
from engine.chain.account_reader import AccountReader
from engine.chain.blockhash import BlockhashCache, NoFreshBlockhash
from engine.chain.fees import (
    BASE_FEE_LAMPORTS,
    FeeBudgetSpent,
    PriorityFees,
    priority_fee_lamports,
)
from engine.chain.port import RpcFailure
from engine.clock import Clock
from engine.control import Gate, SendingStopped
from engine.domain import Action, Decision, Intent, OutcomeClass
from engine.journal.errors import IntentAlreadyOpen, JournalUnavailable
from engine.journal.journal import Journal
from engine.liquidation import decision_record
from engine.liquidation.classify import classify_failure
from engine.liquidation.compute_limits import ComputeLimits, kind_of
from engine.liquidation.decide import decide
from engine.liquidation.departure import Departures
from engine.liquidation.flight import Flight
from engine.liquidation.funds import Funds, FundsShort
from engine.liquidation.hands import Hands
from engine.liquidation.queue import Entry, LiquidationQueue, Stage
from engine.liquidation.retry import Retries
from engine.liquidation.sol_price import SolPrice, SolPriceHeld
from engine.liquidation.tracker import Tracker
from engine.liquidation.transaction import SignedLiquidation, TransactionBuilder
from engine.oracle.board import PriceBoard

log = structlog.get_logger("executor")


class CannotAct(Exception):
    """Something outside of the position keeps this attempt from being signed."""

    def __init__(self, outcome: OutcomeClass, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome


class Executor:
    """The workers. One attempt at a time per position, many positions at once."""

    def __init__(
        self,
        *,
        queue: LiquidationQueue,
        holdings: Holdings,
        board: PriceBoard,
        accounts: AccountReader,
        blockhashes: BlockhashCache,
        fees: PriorityFees,
        builder: TransactionBuilder,
        journal: Journal,
        gate: Gate,
        departures: Departures,
        tracker: Tracker,
        retries: Retries,
        funds: Funds,
        sol_price: SolPrice,
        clock: Clock,
        node_is_current: Callable[[], bool],
        limits: ComputeLimits,
        workers: int,
        on_budget_spent: Callable[[str], None],
        on_invariant: Callable[[str], None],
    ) -> None:
        self._queue = queue
        self._holdings = holdings
        self._board = board
        self._accounts = accounts
        self._blockhashes = blockhashes
        self._fees = fees
        self._builder = builder
        self._journal = journal
        self._gate = gate
        self._departures = departures
        self._tracker = tracker
        self._retries = retries
        self._funds = funds
        self._sol_price = sol_price
        self._clock = clock
        self._node_is_current = node_is_current
        self._limits = limits
        self._on_budget_spent = on_budget_spent
        self._on_invariant = on_invariant
        self.hands = Hands(workers)
        self._journaling_lamports = 0

    async def work(self) -> None:
        """Take entries and attempt them, for ever; one that breaks never takes the others with it."""
        async with asyncio.TaskGroup() as departures:
            while True:
                await self._gate.wait_open()
                await self._funds.wait_covered()
                entry = await self._queue.take(self.hands.may_take)
                with self.hands.hold(entry):
                    await self._work_on(entry, departures)

    async def _work_on(self, entry: Entry, departures: asyncio.TaskGroup) -> None:
        try:
            await self._attempt(entry, departures)
        except (SendingStopped, FundsShort):
            self._queue.requeue(entry)
        except SolPriceHeld:
            self._queue.requeue(entry)
            await self._sol_price.wait_usable()
        except Exception as error:
            # A fault of ours in one liquidation: it fails like any other, with its history.
            log.exception("attempt broke", position=str(entry.address))
            if entry.stage in (Stage.SIGNED, Stage.SENT, Stage.LANDED):
                return  # the tracker has it, and follows it to its end
            await self._retries.unsigned(
                entry, OutcomeClass.PROGRAM_ERROR, f"internal error: {type(error).__name__}"
            )

    async def _attempt(self, entry: Entry, departures: asyncio.TaskGroup) -> None:
        """One attempt, up to the moment when the tracker has it and its bytes are on their way."""
        self._gate.check()
        try:
            if not self._node_is_current():
                raise CannotAct(OutcomeClass.NODE_ERROR, "node error: it announces no new slots")
            decision = await self._decide_afresh(entry)
            if decision is None or decision.action is Action.HOLD:
                await self._retries.dropped(entry, decision.reason if decision else self._why_not(entry))
                return
            self._sol_price.check()
            intent = await self._make_durable(entry, decision, departures)
        except CannotAct as reason:
            await self._retries.unsigned(entry, reason.outcome, str(reason))
            return
        if intent is not None:
            flight = Flight(intent, entry)
            self._tracker.follow(flight)
            entry.stage = Stage.SIGNED
            await self._departures.begin(flight, departures)

    def _rehearse(self, decision: Decision, background: asyncio.TaskGroup) -> None:
        """Have it found out what the like of this one uses, while the disk writes, unless that is known."""
        kind, feed = kind_of(decision), self._board.feed_of(decision.position.symbol)
        if feed is None or not self._limits.wants_rehearsal(kind):
            return
        try:
            unsigned = self._builder.rehearsal(decision, feed, self._blockhashes.current())
        except NoFreshBlockhash:
            return
        background.create_task(self._limits.rehearse(kind, unsigned))

    async def _decide_afresh(self, entry: Entry) -> Decision | None:
        """Read the account again and decide at the price of now; None when it is gone or unreadable."""
        try:
            read = await self._accounts.read(entry.address)
        except RpcFailure as failure:
            raise CannotAct(*classify_failure(failure)) from failure
        self._holdings.apply(entry.address, read.data, read.owner, read.slot)
        position = self._holdings.decidable(entry.address)
        if position is None:
            return None
        return decide(position, self._board.current(position.symbol))

    def _why_not(self, entry: Entry) -> str:
        reason = self._holdings.book.unknown_reason(entry.address)
        return "the account is closed" if reason is None else f"the account cannot be read: {reason}"

    async def _make_durable(
        self, entry: Entry, decision: Decision, background: asyncio.TaskGroup
    ) -> Intent | None:
        """Sign and journal; None when the position turns out to have a transaction in flight already."""
        intent = self._sign(entry, decision)
        self._gate.check()
        self._rehearse(decision, background)
        # Other workers sign while the disk writes: the day's budget counts this one from now on.
        fee_lamports = entry.fee_lamports
        self._journaling_lamports += fee_lamports
        try:
            await self._journal.record_intent(intent)
        except IntentAlreadyOpen:
            self._follow_stray(entry)
            return None
        except JournalUnavailable as error:
            raise CannotAct(OutcomeClass.NODE_ERROR, f"journal unavailable: {error}") from error
        finally:
            self._journaling_lamports -= fee_lamports
        return intent

    def _sign(self, entry: Entry, decision: Decision) -> Intent:
        position = decision.position
        feed = self._board.feed_of(position.symbol)
        if feed is None:
            raise CannotAct(OutcomeClass.STALE_PRICE, f"stale price: no feed for {position.symbol}")
        limit = max(entry.compute_unit_limit, self._limits.limit_of(kind_of(decision)))
        price = self._fees.choose_microlamports(
            value_e6=decision.health.value_e12 // 10**6, attempt=entry.attempt, compute_unit_limit=limit
        )
        entry.fee_lamports = BASE_FEE_LAMPORTS + priority_fee_lamports(price, limit)
        self._funds.check(entry.fee_lamports)
        now_ns = self._clock.now_ns()
        try:
            in_flight = self._tracker.fees_in_flight_lamports + self._journaling_lamports
            self._fees.check_budget(
                paid_lamports=self._journal.fees_of_day(now_ns),
                in_flight_lamports=in_flight,
                next_lamports=entry.fee_lamports,
            )
            blockhash = self._blockhashes.current()
        except FeeBudgetSpent as spent:
            if not spent.is_paid:
                raise CannotAct(OutcomeClass.INSUFFICIENT_FUNDS, f"insufficient funds: {spent}") from spent
            self._on_budget_spent(str(spent))
            raise SendingStopped(f"fee budget spent: {spent}") from spent
        except NoFreshBlockhash as missing:
            raise CannotAct(OutcomeClass.NODE_ERROR, str(missing)) from missing
        signed = self._builder.build(
            decision, feed, blockhash, compute_unit_limit=limit, priority_fee_microlamports=price
        )
        entry.decided, entry.compute_unit_limit = decision.action, limit
        entry.health_factor = decision.health.factor
        return self._intent(entry, decision, signed, price)

    def _intent(
        self,
        entry: Entry,
        decision: Decision,
        signed: SignedLiquidation,
        price_microlamports: int,
    ) -> Intent:
        position = decision.position
        return Intent(
            signature=signed.signature,
            position=position.address,
            owner=position.owner,
            symbol=position.symbol,
            action=decision.action,
            amount_e6=decision.amount_e6,
            attempt=entry.attempt,
            liquidation_id=entry.liquidation_id,
            raw_transaction=signed.raw,
            blockhash=signed.blockhash,
            last_valid_block_height=signed.last_valid_block_height,
            compute_unit_limit=entry.compute_unit_limit,
            priority_fee_microlamports=price_microlamports,
            detected_at_ns=entry.detected_at_ns,
            created_at_ns=self._clock.now_ns(),
            decision_json=decision_record.encode(decision),
        )

    def _follow_stray(self, entry: Entry) -> None:
        """A write that was given up on became durable after all: it is followed to its end first.

        Its bytes never left, so it will be proven expired, and then the entry goes on.
        """
        for flight in self._tracker.flights:
            is_anothers = flight.entry is not entry and flight.may_have_left
            if is_anothers and flight.intent.position == entry.address and not flight.is_owed:
                self._on_invariant(
                    f"{entry.address} was to be sent again while {flight.intent.signature} is out"
                )
        entry.stage = Stage.SIGNED
        for intent in self._journal.open_intents():
            if intent.position == entry.address:
                self._tracker.adopt(Flight(intent, entry, withheld=True))
