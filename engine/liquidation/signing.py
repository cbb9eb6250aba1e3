"""From a decision to a signed intent: what it may cost, what it may use, and the bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from engine.chain.blockhash import BlockhashCache, NoFreshBlockhash
from engine.chain.fees import (
    BASE_FEE_LAMPORTS,
    FeeBudgetSpent,
    PriorityFees,
    priority_fee_lamports,
)
from engine.clock import Clock
from engine.control import SendingStopped
from engine.domain import Decision, Intent, OutcomeClass
from engine.journal.journal import Journal
from engine.liquidation import decision_record
from engine.liquidation.compute_limits import ComputeLimits, kind_of
from engine.liquidation.funds import Funds
from engine.liquidation.queue import Entry
from engine.liquidation.tracker import Tracker
from engine.liquidation.transaction import TransactionBuilder
from engine.oracle.board import PriceBoard


class CannotAct(Exception):
    """Something outside of the position keeps this attempt from being signed."""

    def __init__(self, outcome: OutcomeClass, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome


class Signing:
    """Signs what the funds, the day's budget and a fresh blockhash allow; nothing is durable yet."""

    def __init__(
        self,
        *,
        board: PriceBoard,
        blockhashes: BlockhashCache,
        fees: PriorityFees,
        builder: TransactionBuilder,
        journal: Journal,
        tracker: Tracker,
        funds: Funds,
        clock: Clock,
        limits: ComputeLimits,
        on_budget_spent: Callable[[str], None],
    ) -> None:
        self._board = board
        self._blockhashes = blockhashes
        self._fees = fees
        self._builder = builder
        self._journal = journal
        self._tracker = tracker
        self._funds = funds
        self._clock = clock
        self._limits = limits
        self._on_budget_spent = on_budget_spent
        self._unfollowed_lamports = 0

    @contextmanager
    def counting(self, fee_lamports: int) -> Iterator[None]:
        """Others sign while the disk writes: the day's budget counts this fee until the tracker does."""
        self._unfollowed_lamports += fee_lamports
        try:
            yield
        finally:
            self._unfollowed_lamports -= fee_lamports

    def sign(self, entry: Entry, decision: Decision) -> Intent:
        """The intent of this decision. Raises CannotAct, FundsShort; SendingStopped for a spent budget."""
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
        self._check_budget(entry.fee_lamports, now_ns)
        try:
            blockhash = self._blockhashes.current()
        except NoFreshBlockhash as missing:
            raise CannotAct(OutcomeClass.NODE_ERROR, str(missing)) from missing
        signed = self._builder.build(
            decision, feed, blockhash, compute_unit_limit=limit, priority_fee_microlamports=price
        )
        entry.decided, entry.compute_unit_limit = decision.action, limit
        entry.health_factor = decision.health.factor
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
            compute_unit_limit=limit,
            priority_fee_microlamports=price,
            detected_at_ns=entry.detected_at_ns,
            created_at_ns=now_ns,
            decision_json=decision_record.encode(decision),
        )

    def _check_budget(self, fee_lamports: int, now_ns: int) -> None:
        try:
            self._fees.check_budget(
                paid_lamports=self._journal.fees_of_day(now_ns),
                in_flight_lamports=self._tracker.fees_in_flight_lamports + self._unfollowed_lamports,
                next_lamports=fee_lamports,
            )
        except FeeBudgetSpent as spent:
            if not spent.is_paid:
                raise CannotAct(OutcomeClass.INSUFFICIENT_FUNDS, f"insufficient funds: {spent}") from spent
            self._on_budget_spent(str(spent))
            raise SendingStopped(f"fee budget spent: {spent}") from spent

    def rehearsal(self, decision: Decision) -> bytes | None:
        """The like of it, for a node to say what it uses; None when that is known, or cannot be asked now."""
        feed = self._board.feed_of(decision.position.symbol)
        if feed is None or not self._limits.wants_rehearsal(kind_of(decision)):
            return None
        try:
            return self._builder.rehearsal(decision, feed, self._blockhashes.current())
        except NoFreshBlockhash:
            return None
