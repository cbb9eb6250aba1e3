"""Sees everything in the world at once, and says at each step what must not be.

It has its own books: what was committed, what left, what landed, what the engine was told. It never asks the
engine, except at the end for what the engine itself says of what it did not finish.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.domain import Intent, Outcome, OutcomeClass
from engine.liquidation import decision_record
from sim.cluster import Cluster, Landed, Liquidation
from sim.knowledge import Knowledge
from sim.network import raw_in
from sim.timeline import Timeline

ONE_OPEN = "one open intent per position"
INTENT_FIRST = "no signature on the wire without a committed intent"
ONCE = "no position liquidated twice for one episode"
RECORDED = "every landed transaction recorded once with the chain's amounts"
TRUE_SUCCESS = "no recorded success that did not land"
SILENCE = "nothing leaves after an acknowledged stop"
JUSTIFIED = "no healthy, stale or unknown position submitted"
CAPS = "caps hold across crashes"
RECOVERS = "recovers, or says why not"
WHOLE = "the engine does not break"

INVARIANTS = (
    ONE_OPEN,
    INTENT_FIRST,
    ONCE,
    RECORDED,
    TRUE_SUCCESS,
    SILENCE,
    JUSTIFIED,
    CAPS,
    RECOVERS,
    WHOLE,
)


_WITHDRAWN = "never sent"
_SHIPPED = frozenset({"intents", "outcome", "failed", "record", "movement"})


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise, when, and what was seen."""

    invariant: str
    at_s: float
    what: str


@dataclass(slots=True)
class _Life:
    """One intent from its commit on."""

    intent: Intent
    transaction: Liquidation
    left: int = 0
    outcome: Outcome | None = None

    @property
    def is_withdrawn(self) -> bool:
        """Whether it was closed before its first byte left: nothing of it can land."""
        return self.outcome is not None and self.outcome.outcome.value == _WITHDRAWN and not self.left


def _was_withdrawn(life: _Life) -> bool:
    """Whether it was recorded that its bytes never left, and they did not."""
    return life.outcome is not None and life.outcome.outcome is OutcomeClass.NEVER_SENT and not life.left


class Observer:
    """The judge of one run."""

    def __init__(self, cluster: Cluster, timeline: Timeline, limits: Limits) -> None:
        self._cluster = cluster
        self._timeline = timeline
        self._limits = limits
        self.knowledge = Knowledge()
        self.violations: list[Violation] = []
        self.counts: Counter[str] = Counter()
        self.lives: dict[Signature, _Life] = {}
        self._of_position: dict[Pubkey, list[_Life]] = {}
        self._stop: str | None = None
        self.has_history = False  # whether the journal holds anything that is shipped
        self._successes: dict[Pubkey, list[Landed]] = {}

    def count(self, name: str) -> None:
        """Something happened that a campaign must have seen."""
        self.counts[name] += 1

    def blame(self, invariant: str, what: str) -> None:
        """A promise was broken."""
        self.violations.append(Violation(invariant, self._timeline.now_s, what))
        self._timeline.note(f"VIOLATION {invariant}: {what}")

    # --- the journal ---

    def committed(self, jobs: Sequence[Any]) -> None:
        """These records are durable from now on."""
        for job in jobs:
            work = job.work
            if not isinstance(work, partial):
                continue
            self.has_history |= bool(work.keywords.keys() & _SHIPPED)
            if "intents" in work.keywords:
                for intent, is_open in zip(work.keywords["intents"], job.result[1], strict=True):
                    if is_open:
                        self._on_intent(intent)
            elif "outcome" in work.keywords:
                self._on_outcome(work.keywords["outcome"])
            elif "struck" in work.keywords:
                self._on_struck(work.keywords["struck"])

    def _on_struck(self, outcomes: Sequence[Outcome]) -> None:
        """Of these the open ones were closed: what was not committed has nothing to close."""
        self.count("intents were struck out")
        for outcome in outcomes:
            if outcome.signature in self.lives:
                self.count("an open intent was struck out")
                self._on_outcome(outcome)

    def opened(self, intents: Sequence[Intent]) -> None:
        """These are durable ahead of the journal."""
        self.has_history = True
        for intent in intents:
            self.count("intent ahead of the journal")
            self._on_intent(intent)

    def recovered(self, intents: Sequence[Intent], found_ahead: int) -> None:
        """A start has found these open: one of them may be durable though nobody was told."""
        if found_ahead:
            self.count("intents were found ahead of the journal")
        for intent in intents:
            if intent.signature not in self.lives:
                self.count("intent found that nobody was told of")
                self._on_intent(intent)

    def _on_intent(self, intent: Intent) -> None:
        self.count("intent committed")
        self._timeline.note(f"intent {intent.signature} of {intent.position} attempt {intent.attempt}")
        transaction = self._cluster.parse(intent.raw_transaction)
        assert transaction is not None
        life = _Life(intent, transaction)
        for earlier in self._of_position.setdefault(intent.position, []):
            self._judge_pair(earlier, life)
        self._of_position[intent.position].append(life)
        self.lives[intent.signature] = life
        self._judge_fees(transaction)

    def _judge_pair(self, earlier: _Life, later: _Life) -> None:
        """The earlier transaction must have had its end when the later one was signed."""
        if earlier.outcome is None:
            self.blame(ONE_OPEN, f"{later.intent.signature} beside {earlier.intent.signature}")
        signature = earlier.intent.signature
        is_over = self._cluster.is_final(signature) or self._cluster.is_dead(earlier.transaction)
        if is_over or _was_withdrawn(earlier):
            return
        self.blame(
            ONCE, f"{later.intent.signature} signed while {signature} may still land, or be taken back"
        )

    def _on_outcome(self, outcome: Outcome) -> None:
        self._timeline.note(f"outcome {outcome.signature} {outcome.outcome.value} {outcome.slot}")
        self.count(f"outcome {outcome.outcome.value}")
        life = self.lives.get(outcome.signature)
        if life is None:
            self.blame(RECORDED, f"an outcome of {outcome.signature}, which has no intent")
            return
        life.outcome = life.outcome or outcome
        if life.is_withdrawn:
            return
        landed = self._cluster.landed.get(outcome.signature)
        if outcome.landed and (landed is None or not self._cluster.is_final(outcome.signature)):
            self.blame(TRUE_SUCCESS, f"{outcome.signature} recorded as landed, and is not in a final block")
        elif outcome.outcome is OutcomeClass.NEVER_SENT:
            if life.left:
                self.blame(TRUE_SUCCESS, f"{outcome.signature} recorded as never sent, and it was")
        elif not outcome.landed and not self._cluster.is_dead(life.transaction):
            self.blame(TRUE_SUCCESS, f"{outcome.signature} recorded as expired, and is or may be in a block")
        elif landed is not None and outcome.landed:
            figures = figures_on_chain(landed)
            recorded = figures_recorded(outcome)
            if figures != recorded:
                self.blame(RECORDED, f"{outcome.signature}: {figures} on chain, {recorded} recorded")

    # --- the wire ---

    def on_wire(self, raw: bytes) -> None:
        """These bytes of a request leave."""
        transaction = self._limits.transaction_in(raw)
        if transaction is None:
            return
        signature = transaction.signature
        self._timeline.note(f"wire {signature}")
        self.count("bytes left")
        self._judge_departure(transaction)
        life = self.lives.get(signature)
        if life is None:
            self.blame(INTENT_FIRST, f"{signature} left")
        else:
            if _was_withdrawn(life):
                self.blame(ONCE, f"{signature} left, after it was withdrawn")
            life.left += 1
            if life.left > 1:
                self.count("the same bytes left again")
        if self._stop is not None:
            self.blame(SILENCE, f"{signature} left, after {self._stop}")

    def _judge_departure(self, transaction: Liquidation) -> None:
        """It must be right by what the engine was told up to the moment in which the bytes leave."""
        complaint = self.knowledge.complaint(
            transaction, self._limits.now_ns(), self._limits.max_age_s, self._timeline.now_s
        )
        if complaint is not None:
            self.blame(JUSTIFIED, f"{transaction.signature} of {transaction.position}: {complaint}")
        life = self.lives.get(transaction.signature)
        if life is not None and life.left == 0:
            inputs = decision_record.decode(life.intent.decision_json)
            if (wrong := inputs.complaint()) is not None:
                self.blame(JUSTIFIED, f"{transaction.signature}: {wrong}")

    # --- the operator ---

    def stop_acknowledged(self, how: str) -> None:
        """From now on nothing may leave."""
        self._stop = f"{how} at {self._timeline.now_s:.3f} s"
        self._timeline.note(f"stop in force: {how}")

    def stop_lifted(self) -> None:
        """The operator resumes, or was told that a restart may forget the stop, and one came."""
        self._stop = None

    @property
    def is_stopped(self) -> bool:
        """Whether an acknowledged stop is in force."""
        return self._stop is not None

    # --- the chain ---

    def on_landed(self, landed: Landed) -> None:
        """A transaction of the wallet is in a block."""
        self.count("landed" if landed.fault is None else "landed with an error")
        transaction = landed.transaction
        if landed.effect is None:
            return
        self.count("liquidated wholly" if landed.effect.is_full else "liquidated in part")
        for other in self._successes.setdefault(transaction.position, []):
            first, life = other.transaction.signature, self.lives.get(transaction.signature)
            if first == transaction.signature or first not in self._cluster.landed or life is None:
                continue
            inputs = decision_record.decode(life.intent.decision_json)
            if inputs.account_slot < other.slot:
                self.blame(ONCE, f"{transaction.signature} landed on the same episode as {first}")
        self._successes[transaction.position].append(landed)

    def _judge_fees(self, transaction: Liquidation) -> None:
        """What is paid and what may have to be paid, by whichever process signed it."""
        priority = transaction.fee_lamports - 5_000
        if priority > self._limits.fee_cap_lamports:
            self.blame(CAPS, f"{transaction.signature} pays {priority} in priority fees")
        paid = sum(each.transaction.fee_lamports for each in self._cluster.landed.values())
        may = sum(
            life.transaction.fee_lamports
            for signature, life in self.lives.items()
            if not life.is_withdrawn
            and signature not in self._cluster.landed
            and not self._cluster.is_dead(life.transaction)
        )
        if paid + may > self._limits.fee_budget_lamports:
            self.blame(CAPS, f"{paid} paid and {may} in flight, of {self._limits.fee_budget_lamports}")

    # --- the end ---

    def judge_records(self, rows: dict[tuple[Any, ...], Sequence[Any]]) -> None:
        """The table of liquidations against the chain, once everything was shipped."""
        for signature, landed in self._cluster.landed.items():
            if not self._cluster.is_final(signature):
                continue
            row = rows.get((str(signature),))
            if row is None:
                self.blame(RECORDED, f"{signature} landed in {landed.slot} and has no row")
            elif figures_in_row(row) != figures_on_chain(landed):
                self.blame(RECORDED, f"{signature}: {figures_on_chain(landed)} on chain, {row} in its row")
        for (name,), row in rows.items():
            landed = self._cluster.landed.get(Signature.from_string(name))
            if (row[18] or row[16] is None) and landed is None:
                self.blame(TRUE_SUCCESS, f"{name} has a row that says it landed")


@dataclass(frozen=True, slots=True)
class Figures:
    """What is said of a landed transaction."""

    succeeded: bool
    slot: int
    fee_lamports: int
    size_e6: int
    price_e6: int
    reward_lamports: int
    bad_debt_lamports: int
    covered_lamports: int


def figures_on_chain(landed: Landed) -> Figures:
    """By the chain."""
    effect = landed.effect
    fee = landed.transaction.fee_lamports
    if effect is None:
        return Figures(False, landed.slot, fee, 0, 0, 0, 0, 0)
    return Figures(
        True,
        landed.slot,
        fee,
        effect.size_e6,
        effect.price_e6,
        effect.reward_lamports,
        effect.bad_debt_lamports,
        effect.covered_lamports,
    )


def figures_recorded(outcome: Outcome) -> Figures:
    """By the journal."""
    return Figures(
        outcome.error_message is None,
        outcome.slot or 0,
        outcome.fee_lamports,
        outcome.liquidated_size_e6,
        outcome.liquidation_price_e6,
        outcome.reward_lamports,
        outcome.bad_debt_lamports,
        outcome.covered_lamports,
    )


def figures_in_row(row: Sequence[Any]) -> Figures:
    """By the database's table of liquidations; see engine.store.rows.liquidation_row."""
    size, price, reward, fee, covered, uncovered, error = row[10:17]
    return Figures(error is None, row[19], fee, size, price, reward, covered + uncovered, covered)


class Limits:
    """What the settings allow, and how to read what is on the wire."""

    def __init__(
        self,
        cluster: Cluster,
        now_ns: Any,
        fee_cap_lamports: int,
        fee_budget_lamports: int,
        max_age_s: int,
    ) -> None:
        self._cluster = cluster
        self.now_ns = now_ns
        self.fee_cap_lamports = fee_cap_lamports
        self.fee_budget_lamports = fee_budget_lamports
        self.max_age_s = max_age_s

    def transaction_in(self, request: bytes) -> Liquidation | None:
        """The transaction in a JSON-RPC request's bytes, None when these are not the ones that hold it."""
        if b"sendTransaction" not in request:
            return None
        return self._cluster.parse(raw_in(request))
