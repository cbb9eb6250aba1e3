"""The engine's own emergency stops: what must never happen did, so it stops itself and calls for a person.

Each stop latches like an operator's: on disk, across restarts, until somebody resumes. A cause that is still
there refuses the resume and says so; one that only a person can judge is named and accepted with the resume.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import structlog
from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.chain.fees import FeeBudgetSpent, PriorityFees
from engine.chain.port import Chain, Level, RpcFailure
from engine.clock import Clock
from engine.journal.errors import JournalUnavailable
from engine.journal.journal import Journal
from engine.stopping.check import Check

log = structlog.get_logger("sentinel")

PERIOD_S = 5.0
PAGE = 1000
PAGES = 10  # of signatures since the last look; more are looked at in the next one
READS = 100  # transactions of unknown signatures that are read in one look
SEEN = "wallet_seen"  # the journal's note: up to here every signature of the wallet is accounted for
_NOTHING = "-"


class Cause(StrEnum):
    """Why the engine stopped itself."""

    FOREIGN = "unknown signature by our wallet"
    INVARIANT = "invariant broken"
    BUDGET = "fee budget spent"
    JOURNAL = "journal unreadable"


_RAISE = "raise FEE_BUDGET_LAMPORTS and start anew"
REMEDIES = {
    Cause.FOREIGN: "find out who else has the key; resume accepts it",
    Cause.INVARIANT: "keep the log, start the engine anew, then resume",
    Cause.BUDGET: f"{_RAISE}, or resume tomorrow (UTC)",
    Cause.JOURNAL: "start the engine anew: its first line says what to do",
}


class Sentinel:
    """Looks for what must never happen, hears of it from others, and stops. Belongs to the event loop.

    `wallet` is None where others may send with it, as beside a dry run. `stop` shuts the gate at once,
    with the reason that it gets, in the engine's name; False: it was shut.
    """

    def __init__(
        self,
        *,
        chain: Chain,
        wallet: Pubkey | None,
        journal: Journal,
        is_ours: Callable[[Signature], bool] = lambda _: False,
        fees: PriorityFees,
        clock: Clock,
        stop: Callable[[str], bool],
    ) -> None:
        self._chain = chain
        self._wallet = wallet
        self._journal = journal
        self._is_ours = is_ours  # beside the journal's intents
        self._fees = fees
        self._clock = clock
        self._stop = stop
        self._broken: list[str] = []
        self._foreign: dict[Signature, None] = {}
        self._not_ours: dict[Signature, None] = {}  # name the wallet, but were signed by others
        self._newest: Signature | None = None
        self._has_looked = False

    def trip(self, cause: Cause, what: str) -> None:
        """Stop, because of this."""
        if cause is Cause.INVARIANT and len(self._broken) < READS:
            self._broken.append(what)
        if self._stop(f"{cause.value}: {what}: {REMEDIES[cause]}"):
            log.error("the engine stopped itself", cause=cause.value, what=what)

    def checks(self) -> list[Check]:
        """What a resume must know of the causes."""
        return [self._journal_check(), self._invariant_check(), self._budget_check(), self._foreign_check()]

    async def accept(self) -> None:
        """A person resumed: the foreign signatures that the checks named are no reason to stop again."""
        self._foreign.clear()
        await self._keep_newest()

    async def run(self) -> None:
        """Look round for ever; ends only by cancellation."""
        while True:
            self.look_at_journal()
            try:
                await self.look_at_wallet()
            except (RpcFailure, JournalUnavailable) as failure:
                log.warning("the wallet's signatures are unknown", reason=str(failure))
            await self._clock.sleep(PERIOD_S)

    def look_at_journal(self) -> None:
        """Stop when the file makes no sense any more."""
        damage = self._journal.damage
        if damage is not None:
            self.trip(Cause.JOURNAL, damage)

    async def look_at_wallet(self) -> None:
        """Stop when the chain has a transaction that our wallet signed and the journal does not know.

        The very first look takes the wallet's history as it is: what was before is nobody's fault here.
        Raises RpcFailure, JournalUnavailable.
        """
        wallet = self._wallet
        if wallet is None:
            return
        kept = self._journal.noted(SEEN)
        page = await self._chain.signatures_of(wallet, before=None, limit=PAGE)
        newest = page[0] if page else None
        if kept is None:
            self._newest, self._has_looked = newest, True
            await self._keep_newest()
            return
        unknown = await self._unknown_since(kept, page, wallet)
        self._newest, self._has_looked = newest, True
        is_complete = len(unknown) < READS
        for signature in unknown:
            is_ours = await self._is_by_wallet(signature)
            is_complete = is_complete and is_ours is not None
            if is_ours:
                self._foreign[signature] = None
                self.trip(Cause.FOREIGN, str(signature))
        if is_complete and not self._foreign:
            await self._keep_newest()

    async def _unknown_since(self, kept: str, page: list[Signature], wallet: Pubkey) -> list[Signature]:
        """Signatures that name the wallet, after the kept one and not in the journal; the oldest first."""
        unknown: list[Signature] = []
        for _ in range(PAGES):
            for signature in page:
                if str(signature) == kept:
                    return unknown[-READS:][::-1]
                if self._is_unknown(signature):
                    unknown.append(signature)
            if len(page) < PAGE:
                break
            page = await self._chain.signatures_of(wallet, before=page[-1], limit=PAGE)
        return unknown[-READS:][::-1]

    def _is_unknown(self, signature: Signature) -> bool:
        is_told = signature in self._foreign or signature in self._not_ours
        return not is_told and not self._journal.knows(signature) and not self._is_ours(signature)

    async def _is_by_wallet(self, signature: Signature) -> bool | None:
        """Whether the wallet signed it; None while no node shows it, so that it is looked at again.

        A transfer to the wallet names it, too, and needs no key of ours.
        """
        try:
            landed = await self._chain.transaction(signature, Level.FINALIZED)
        except RpcFailure:
            return None
        if landed is None:
            return None
        if self._wallet in landed.signers:
            return True
        self._not_ours[signature] = None
        while len(self._not_ours) > PAGE:
            self._not_ours.pop(next(iter(self._not_ours)))
        return False

    async def _keep_newest(self) -> None:
        newest = _NOTHING if self._newest is None else str(self._newest)
        if not self._has_looked or self._journal.noted(SEEN) == newest:
            return
        try:
            await self._journal.note(SEEN, newest)
        except JournalUnavailable as error:
            log.error("the wallet's last signature is not kept", reason=str(error))

    def _journal_check(self) -> Check:
        damage = self._journal.damage
        if damage is None and not self._journal.path.exists():
            damage = f"{self._journal.path} is gone"
        detail = "readable" if damage is None else f"unreadable ({damage}): {REMEDIES[Cause.JOURNAL]}"
        return Check("journal", damage is None, detail, required=True)

    def _invariant_check(self) -> Check:
        if not self._broken:
            return Check("invariants", ok=True, detail="none broken since the start", required=True)
        detail = f"{self._broken[-1]}: {REMEDIES[Cause.INVARIANT]}"
        return Check("invariants", ok=False, detail=detail, required=True)

    def _budget_check(self) -> Check:
        """A budget without room for one more transaction would undo the resume at once."""
        paid, next_lamports = self._journal.fees_of_day(self._clock.now_ns()), self._fees.lowest_lamports()
        try:
            self._fees.check_budget(paid_lamports=paid, in_flight_lamports=0, next_lamports=next_lamports)
        except FeeBudgetSpent as spent:
            detail = f"{Cause.BUDGET.value}: {spent}, {next_lamports} for the next: {REMEDIES[Cause.BUDGET]}"
            if not paid:
                detail = f"the fee budget is less than one transaction's {next_lamports} lamports: {_RAISE}"
            return Check("fees", ok=False, detail=detail, required=True)
        return Check("fees", ok=True, detail=f"{paid} lamports paid today", required=True)

    def _foreign_check(self) -> Check:
        """Only a person can judge it, so it is told and keeps nobody from resuming."""
        if not self._foreign:
            return Check("signatures", ok=True, detail="all of the wallet are ours", required=False)
        named = ", ".join(str(signature) for signature in list(self._foreign)[:3])
        detail = f"{len(self._foreign)} not ours, resume accepts them: {named}"
        return Check("signatures", ok=False, detail=detail, required=False)
