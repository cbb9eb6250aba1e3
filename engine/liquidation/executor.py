"""Carries a queued position through its attempts: decide, sign, journal, read again, send; and what follows.

The order is the design's first rule: nothing leaves before its intent is durable, and nothing new is signed
for a position before its former transaction is final, or withdrawn before its first byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import structlog

from engine.book.holdings import Holdings
from engine.chain.account_reader import AccountReader
from engine.chain.blockhash import BlockhashCache
from engine.chain.fees import PriorityFees
from engine.chain.port import AccountRead, RpcFailure
from engine.clock import Clock
from engine.control import Gate, SendingStopped
from engine.domain import Action, Decision, Intent, OutcomeClass
from engine.journal.errors import IntentAlreadyOpen, JournalUnavailable
from engine.journal.journal import Journal
from engine.liquidation.classify import classify_failure
from engine.liquidation.compute_limits import ComputeLimits, kind_of
from engine.liquidation.decide import decide
from engine.liquidation.departure import Departures
from engine.liquidation.flight import Flight
from engine.liquidation.funds import Funds, FundsShort
from engine.liquidation.hands import Hands
from engine.liquidation.outcomes import never_sent_outcome
from engine.liquidation.queue import Entry, LiquidationQueue, Stage
from engine.liquidation.retry import Retries
from engine.liquidation.signing import CannotAct, Signing
from engine.liquidation.sol_price import SolPrice, SolPriceHeld
from engine.liquidation.tracker import Tracker
from engine.liquidation.transaction import TransactionBuilder
from engine.oracle.board import PriceBoard
from engine.protocol.accounts import encode_position

log = structlog.get_logger("executor")


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
        self._journal = journal
        self._gate = gate
        self._departures = departures
        self._tracker = tracker
        self._retries = retries
        self._funds = funds
        self._sol_price = sol_price
        self._node_is_current = node_is_current
        self._limits = limits
        self._on_invariant = on_invariant
        self._builder = builder
        self._signing = Signing(
            board=board,
            blockhashes=blockhashes,
            fees=fees,
            builder=builder,
            journal=journal,
            tracker=tracker,
            funds=funds,
            clock=clock,
            limits=limits,
            on_budget_spent=on_budget_spent,
        )
        self.hands = Hands(workers)

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
        except CannotAct as reason:
            await self._retries.unsigned(entry, reason.outcome, str(reason))
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
        """One attempt, up to the moment when the tracker has it and its bytes have left.

        A first one is signed by what the book says, and the account is read again while the disk writes.
        Where the book is in doubt, or an attempt has failed, reading comes first: nothing is signed in vain.
        """
        self._gate.check()
        if not self._node_is_current():
            raise CannotAct(OutcomeClass.NODE_ERROR, "node error: it announces no new slots")
        decision = self._decided(entry) if entry.attempt == 1 and not entry.is_doubtful else None
        if decision is None:
            await self._with_care(entry, departures)
            return
        self._sol_price.check()
        intent = self._signing.sign(entry, decision)
        self._gate.check()
        with self._signing.counting(entry.fee_lamports):
            reading = self._accounts.begin(entry.address)  # first: the disk works while the node answers
            recording = asyncio.ensure_future(self._journal.record_intent(intent))
            self._rehearse(decision, departures)
            if not await self._is_durable(entry, recording):
                return
            try:
                entry.is_doubtful = not self._is_as_decided(await reading, decision)
            except RpcFailure as failure:
                await self._withdraw(entry, intent, classify_failure(failure))
                return
            if entry.is_doubtful:
                await self._withdraw(entry, intent, None)
                return
            flight = self._follow(entry, intent)
        await self._departures.begin(flight, departures)

    async def _with_care(self, entry: Entry, departures: asyncio.TaskGroup) -> None:
        """Read the account again, decide at the price of then, and sign only what is still wanted."""
        try:
            read = await self._accounts.read(entry.address)
        except RpcFailure as failure:
            raise CannotAct(*classify_failure(failure)) from failure
        self._holdings.apply(entry.address, read.data, read.owner, read.slot)
        entry.is_doubtful = False
        position = self._holdings.decidable(entry.address)
        decision = None if position is None else decide(position, self._board.current(position.symbol))
        if decision is None or decision.action is Action.HOLD:
            await self._retries.dropped(entry, decision.reason if decision else self._why_not(entry))
            return
        self._sol_price.check()
        intent = self._signing.sign(entry, decision)
        self._gate.check()
        with self._signing.counting(entry.fee_lamports):
            recording = asyncio.ensure_future(self._journal.record_intent(intent))
            self._rehearse(decision, departures)
            if not await self._is_durable(entry, recording):
                return
            flight = self._follow(entry, intent)
        await self._departures.begin(flight, departures)

    def _decided(self, entry: Entry) -> Decision | None:
        """What the book and the price of now say; None unless that is to liquidate."""
        position = self._holdings.decidable(entry.address)
        if position is None:
            return None
        decision = decide(position, self._board.current(position.symbol))
        return None if decision.action is Action.HOLD else decision

    def _why_not(self, entry: Entry) -> str:
        reason = self._holdings.book.unknown_reason(entry.address)
        return "the account is closed" if reason is None else f"the account cannot be read: {reason}"

    def _is_as_decided(self, read: AccountRead, decision: Decision) -> bool:
        """Whether the account still says what was decided on, whatever slot it says it in."""
        known = decision.position
        if read.owner != self._holdings.program_id or read.data != encode_position(known):
            self._holdings.apply(known.address, read.data, read.owner, read.slot)
        position = self._holdings.decidable(known.address)
        return position is not None and replace(position, slot=known.slot) == known

    def _rehearse(self, decision: Decision, background: asyncio.TaskGroup) -> None:
        """Have it found out what the like of this one uses, while the disk writes, unless that is known."""
        unsigned = self._signing.rehearsal(decision)
        if unsigned is not None:
            background.create_task(self._limits.rehearse(kind_of(decision), unsigned))

    async def _is_durable(self, entry: Entry, recording: asyncio.Future[None]) -> bool:
        """Wait for the disk; False when the position turns out to have a transaction in flight already."""
        try:
            await recording
        except IntentAlreadyOpen:
            self._follow_stray(entry)
            return False
        except JournalUnavailable as error:
            raise CannotAct(OutcomeClass.NODE_ERROR, f"journal unavailable: {error}") from error
        return True

    def _follow(self, entry: Entry, intent: Intent) -> Flight:
        """From now on the tracker has it."""
        flight = Flight(intent, entry)
        self._tracker.follow(flight)
        entry.stage = Stage.SIGNED
        return flight

    async def _withdraw(self, entry: Entry, intent: Intent, trouble: tuple[OutcomeClass, str] | None) -> None:
        """End an intent whose bytes stay here: the account changed, or (`trouble`) it cannot be read."""
        why = "the account is not what it was decided on" if trouble is None else trouble[1]
        try:
            await self._journal.record_outcome(never_sent_outcome(intent, why))
        except JournalUnavailable as error:
            # Open it stays, and keeps its position, until it is proven that it cannot land.
            log.error("not recorded as never sent", reason=str(error))
            self._tracker.follow(Flight(intent, entry, withheld=True))
            entry.stage = Stage.SIGNED
            return
        if trouble is None:
            self._queue.requeue(entry)
        else:
            await self._retries.again(entry, *trouble, intent.signature)

    def _follow_stray(self, entry: Entry) -> None:
        """The position has a transaction that nobody follows: it is followed to its end first.

        Its bytes never left, so it will be proven expired, and then the entry goes on.
        """
        for flight in self._tracker.flights:
            is_anothers = flight.entry is not entry and flight.may_have_left
            if is_anothers and flight.intent.position == entry.address and not flight.is_owed:
                self._on_invariant(
                    f"{entry.address} was to be sent again while {flight.intent.signature} is out"
                )
        strays = [each for each in self._journal.open_intents() if each.position == entry.address]
        if not strays:
            # The very transaction was withdrawn a moment ago: with another limit it has another signature.
            entry.compute_unit_limit += 1
            self._queue.requeue(entry)
            return
        entry.stage = Stage.SIGNED
        for intent in strays:
            self._tracker.adopt(Flight(intent, entry, withheld=True))
