"""Counts since the engine started, fed by final outcomes alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from engine.domain import Action, Outcome, OutcomeClass


@dataclass(slots=True)
class Tally:
    """What this process has done; lamports as the chain reports them."""

    full: int = 0
    partial: int = 0
    done: Counter[tuple[Action, str]] = field(default_factory=Counter)  # the same by action and symbol
    failed: int = 0  # given up
    failed_by_outcome: Counter[OutcomeClass] = field(default_factory=Counter)
    already_liquidated: int = 0
    attempts: int = 0
    fees_lamports: int = 0
    bad_debt_covered_lamports: int = 0
    bad_debt_uncovered_lamports: int = 0
    liquidatable_seen: int = 0
    rehearsed: int = 0  # by a dry run: they would have liquidated

    def add_failed(self, outcome: OutcomeClass) -> None:
        """Count one liquidation that was given up, by how its last attempt ended."""
        self.failed += 1
        self.failed_by_outcome[outcome] += 1

    def add_outcome(self, action: Action, symbol: str, outcome: Outcome) -> None:
        """Count one final outcome."""
        self.attempts += 1
        self.fees_lamports += outcome.fee_lamports
        if outcome.outcome is OutcomeClass.ALREADY_LIQUIDATED:
            self.already_liquidated += 1
        if outcome.outcome is OutcomeClass.DRY_RUN:
            self.rehearsed += 1
        if outcome.outcome is not OutcomeClass.CONFIRMED:
            return
        self.done[action, symbol] += 1
        if action is Action.FULL:
            self.full += 1
        else:
            self.partial += 1
        self.bad_debt_covered_lamports += outcome.covered_lamports
        self.bad_debt_uncovered_lamports += outcome.bad_debt_lamports - outcome.covered_lamports
