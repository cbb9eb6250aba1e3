"""The compute units that a liquidation asks for: learned from what the like of it used, and a fifth more.

To ask for too few fails and costs the fee; to ask for too many costs a fee that grows with them. Nothing
waits for a rehearsal: the first of its kind goes out with the setting, and is rehearsed while its intent is
written to disk. What that used, or any that landed since, is what the next ones go by.
"""

from __future__ import annotations

from typing import NamedTuple

import structlog

from engine.chain.port import Chain
from engine.domain import Action, Decision, Generation, Intent, Outcome, OutcomeClass
from engine.liquidation import decision_record
from engine.protocol.compute import MAX_COMPUTE_UNITS
from engine.protocol.margin import UnsupportedLeverage, health_at

log = structlog.get_logger("executor")

_MARGIN_NUMERATOR, _MARGIN_DENOMINATOR = 12, 10


class Kind(NamedTuple):
    """What decides how much the program has to do."""

    action: Action
    generation: Generation
    is_in_debt: bool  # then the fund pays, else it is paid


def kind_of(decision: Decision) -> Kind:
    """The kind of liquidation that a decision asks for."""
    return Kind(decision.action, decision.position.generation, decision.health.equity_e12 < 0)


class ComputeLimits:
    """The most that each kind was seen to use, in this process. There are eight kinds at most."""

    def __init__(self, chain: Chain, setting: int) -> None:
        self._chain = chain
        self._setting = setting
        self._used: dict[Kind, int] = {}
        self._rehearsed: set[Kind] = set()

    def limit_of(self, kind: Kind) -> int:
        """Compute units to ask for; the setting while nothing like it was seen."""
        used = self._used.get(kind)
        if used is None:
            return self._setting
        return min(-(-used * _MARGIN_NUMERATOR // _MARGIN_DENOMINATOR), MAX_COMPUTE_UNITS)

    def wants_rehearsal(self, kind: Kind) -> bool:
        """Whether nobody knows yet what this kind needs, or what was known was too little."""
        return kind not in self._rehearsed

    async def rehearse(self, kind: Kind, unsigned: bytes) -> None:
        """Ask a node what a transaction uses that nobody could land, since it has no signature."""
        self._rehearsed.add(kind)
        try:
            simulation = await self._chain.simulate(unsigned, [])
        except Exception as error:
            # It is only to learn from: whatever breaks it must not break what is sent.
            self._rehearsed.discard(kind)
            log.info("not rehearsed", reason=str(error), error=type(error).__name__)
            return
        if simulation.fault is None:
            self._learn(kind, simulation.compute_units)
        else:
            # Somebody was first, or the price is back: it says nothing about what it takes.
            self._rehearsed.discard(kind)

    def saw(self, intent: Intent, outcome: Outcome) -> None:
        """A transaction landed; one that ran out of units needs more than it asked for."""
        if not outcome.landed or not outcome.compute_units:
            return
        try:
            inputs = decision_record.decode(intent.decision_json)
            equity_e12 = health_at(inputs.terms, inputs.price_e6).equity_e12
        except (decision_record.DecisionRecordInvalid, UnsupportedLeverage):
            return  # an intent of an older engine
        kind = Kind(intent.action, inputs.generation, equity_e12 < 0)
        if outcome.outcome is OutcomeClass.EXCEEDED_CUS:
            self._rehearsed.discard(kind)
            self._learn(kind, max(outcome.compute_units, intent.compute_unit_limit))
        else:
            self._learn(kind, outcome.compute_units)

    def _learn(self, kind: Kind, used: int) -> None:
        self._used[kind] = max(self._used.get(kind, 0), min(used, MAX_COMPUTE_UNITS))
