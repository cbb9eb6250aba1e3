"""Watches the insurance fund: its account, its trend, and every contribution exactly once."""

from __future__ import annotations

from collections import Counter, deque

import structlog
from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.chain.port import Chain, LandedTransaction, Level, RpcFailure
from engine.clock import Clock
from engine.domain import FundState
from engine.journal.errors import JournalUnavailable
from engine.journal.journal import Journal
from engine.journal.records import FundTransaction, FundTransactionKind
from engine.protocol.accounts import AccountRefused, decode_fund
from engine.protocol.addresses import insurance_fund_address
from engine.protocol.events import ContributionEvent, read_events_of

log = structlog.get_logger("fund")

TREND_LENGTH = 120
PAGE = 1000
MAX_PAGES = 20
SYNC_S = 5.0
READ_UP_TO = "fund history read up to"
UNREAD_PASSES = 60  # five minutes of waiting for a node to show a transaction that it lists


class FundWatcher:
    """The fund as its account says. The first sight of a balance is not a deposit: only events are."""

    def __init__(self, chain: Chain, journal: Journal, program_id: Pubkey, clock: Clock) -> None:
        self.address = insurance_fund_address(program_id)
        self._program_id = program_id
        self._chain = chain
        self._journal = journal
        self._clock = clock
        self._newest: Signature | None = None  # of the history that was read
        self._recorded_lamports: int | None = None  # None until the journal was asked
        self._unread_passes = 0
        self.state: FundState | None = None
        self.updated_at_ns = 0
        self.refused: Counter[str] = Counter()
        self.trend: deque[int] = deque(maxlen=TREND_LENGTH)

    def apply(self, data: bytes, owner: Pubkey, slot: int) -> None:
        """Take the fund account's new content; one that is not the fund is counted and changes nothing."""
        if self.state is not None and slot < self.state.slot:
            return
        try:
            if owner != self._program_id:
                raise AccountRefused("foreign owner")
            self.state = decode_fund(data, slot)
        except AccountRefused as refusal:
            self.refused[refusal.reason] += 1
            if self.refused[refusal.reason] == 1:
                log.warning("fund account refused", reason=refusal.reason)
            return
        self.updated_at_ns = self._clock.now_ns()

    def sample(self) -> None:
        """Add the current balance to the trend."""
        if self.state is not None:
            self.trend.append(self.state.balance_lamports)

    async def refresh(self) -> None:
        """Read the account once; raises RpcFailure."""
        read = await self._chain.account(self.address)
        if read.data is not None and read.owner is not None:
            self.apply(read.data, read.owner, read.slot)

    async def run(self) -> None:
        """Sample the trend and record new contributions; ends only by cancellation."""
        while True:
            self.sample()
            try:
                await self.record_contributions()
            except (RpcFailure, JournalUnavailable) as failure:
                log.warning("contributions not read", reason=str(failure))
            await self._clock.sleep(SYNC_S)

    async def record_contributions(self) -> None:
        """Read the fund's finalized history down to what is known, and record each contribution in it."""
        if self._recorded_lamports is None:
            self._newest = _signature(self._journal.noted(READ_UP_TO))
            self._recorded_lamports = self._journal.totals()["fund_contributions_lamports"]
        if self.state is None or self._recorded_lamports >= self.state.total_contributions_lamports:
            return
        before = self._newest
        try:
            await self._read(await self._unread_signatures())
        finally:
            if self._newest is not None and self._newest != before:
                await self._journal.note(READ_UP_TO, str(self._newest))

    async def _read(self, fresh: list[Signature]) -> None:
        """Go through signatures that come newest first, from the oldest on, as far as the node shows them."""
        for signature in reversed(fresh):
            landed = await self._chain.transaction(signature, Level.FINALIZED)
            if landed is None and self._unread_passes < UNREAD_PASSES:
                self._unread_passes += 1
                return  # the node knows it and will show it; nothing is passed over meanwhile
            if landed is None:
                log.warning("transaction of the fund cannot be read", signature=str(signature))
            elif landed.fault is None:
                await self._record(signature, landed)
            self._newest, self._unread_passes = signature, 0

    async def _unread_signatures(self) -> list[Signature]:
        """Newest first, down to the last one that was read."""
        fresh: list[Signature] = []
        for _ in range(MAX_PAGES):
            page = await self._chain.signatures_of(
                self.address, before=fresh[-1] if fresh else None, limit=PAGE
            )
            for signature in page:
                if signature == self._newest:
                    return fresh
                fresh.append(signature)
            if len(page) < PAGE:
                return fresh
        log.warning("fund history is longer than is read", signatures=len(fresh))
        return fresh

    async def _record(self, signature: Signature, landed: LandedTransaction) -> None:
        events = read_events_of(self._program_id, landed.logs)
        contributions = [each for each in events if isinstance(each, ContributionEvent)]
        for index, event in enumerate(contributions):
            is_new = await self._journal.record_fund_transaction(
                FundTransaction(
                    signature=signature,
                    kind=FundTransactionKind.CONTRIBUTION,
                    amount_lamports=event.amount_lamports,
                    account=event.contributor,
                    slot=landed.slot,
                    at_ns=event.timestamp_s * 10**9,
                    event_index=index,
                )
            )
            if is_new and self._recorded_lamports is not None:
                self._recorded_lamports += event.amount_lamports


def _signature(text: str | None) -> Signature | None:
    return None if text is None else Signature.from_string(text)
