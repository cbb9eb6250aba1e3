"""Who was first: the transaction that changed a position before ours, found in the position's history."""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog
from solders.pubkey import Pubkey

from engine.chain.port import Chain, LandedTransaction, Level, RpcFailure
from engine.domain import Intent, Outcome, OutcomeClass
from engine.liquidation import decision_record
from engine.liquidation.classify import may_be_overtaken
from engine.protocol.events import LiquidationEvent, PositionClosedEvent, read_events_of

log = structlog.get_logger("tracker")

LOOK_BACK = 10  # transactions of the position; each costs a request


@dataclass(frozen=True, slots=True)
class Predecessor:
    """Who changed the position before us, and in which slot; an owner may also have closed it."""

    who: Pubkey
    is_owner: bool
    slot: int


class Precedence:
    """Looks up who was first where our own finalized transaction came too late."""

    def __init__(self, chain: Chain, program_id: Pubkey) -> None:
        self._chain = chain
        self._program_id = program_id

    async def explain(self, intent: Intent, outcome: Outcome, landed: LandedTransaction) -> Outcome:
        """The outcome with the one who was first, if the chain says so; else as it is.

        A position that somebody liquidated meanwhile was liquidated already, whatever ours was told: that it
        is healthy now, that the amount is more than is left, or that the account is gone.
        """
        if not may_be_overtaken(landed.fault):
            return outcome
        try:
            first = await self._look(intent, landed.slot)
        except RpcFailure as failure:
            log.warning("who was first is not known", position=str(intent.position), reason=str(failure))
            return outcome
        if first is None:
            return outcome
        told, _, detail = (outcome.error_message or "").partition(": ")
        if first.is_owner:
            # Nobody liquidated it; there may be another position at its address by now, which is healthy.
            message = f"{told}: closed by its owner {first.who} in slot {first.slot}: {detail}"
            return replace(outcome, error_message=message)
        return replace(
            outcome,
            outcome=OutcomeClass.ALREADY_LIQUIDATED,
            error_message=f"already liquidated: by {first.who} in slot {first.slot}: {detail}",
            liquidated_by=first.who,
        )

    async def _look(self, intent: Intent, before_slot: int) -> Predecessor | None:
        """The newest change by somebody else since the account was read that we decided on."""
        since_slot = _decided_at_slot(intent)
        for signature in await self._chain.signatures_of(intent.position, before=None, limit=LOOK_BACK):
            if signature == intent.signature:
                continue
            landed = await self._chain.transaction(signature, Level.FINALIZED)
            if landed is None or landed.fault is not None or landed.slot > before_slot:
                continue
            if landed.slot < since_slot:
                return None
            found = self._change(intent.position, landed)
            if found is not None:
                return found
        return None

    def _change(self, position: Pubkey, landed: LandedTransaction) -> Predecessor | None:
        for event in read_events_of(self._program_id, landed.logs):
            if isinstance(event, LiquidationEvent) and event.position == position:
                return Predecessor(event.liquidator, False, landed.slot)
            if isinstance(event, PositionClosedEvent) and event.position == position:
                return Predecessor(event.owner, True, landed.slot)
        return None


def _decided_at_slot(intent: Intent) -> int:
    """The slot of the account that was decided on, 0 where the record cannot be read."""
    try:
        return decision_record.decode(intent.decision_json).account_slot
    except decision_record.DecisionRecordInvalid:
        return 0
