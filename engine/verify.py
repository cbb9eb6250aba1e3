"""Whether the engine kept its promises, told from the chain and the database alone.

Nothing here asks the engine or its journal: what landed comes from a node's history, what was decided and
recorded from PostgreSQL, and every decision is computed again from the inputs that were recorded with it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.evidence.chain import ChainEvidence, LandedLiquidation
from engine.evidence.database import DatabaseEvidence, RecordedIntent, RecordedLiquidation
from engine.evidence.nodes import PATIENCE_S
from engine.protocol.program_errors import ProgramError
from engine.store.pool import open_pool
from engine.store.rows import Owner

# The record of a transaction is written when it is final and shipped a moment later; a running engine gets
# this long before a landed transaction without a row counts as one.
SETTLE_S = 5.0
_REREAD_S = 0.25

FINALITY_SLOTS = 32  # a block is final when so many have been voted for on top of it
BLOCKHASH_BLOCKS = 150  # how long a blockhash is valid


@dataclass(frozen=True, slots=True)
class ChainCounts:
    """The wallet's finalized liquidations on chain; amounts of the successful ones, fees of all."""

    liquidation_transactions_landed: int  # without error
    landed_with_error: int
    full: int
    partial: int
    rewards_lamports: int
    fees_lamports: int
    bad_debt_covered_lamports: int
    bad_debt_uncovered_lamports: int


@dataclass(frozen=True, slots=True)
class DatabaseCounts:
    """What the database has of the same wallet, program and cluster."""

    liquidations: int  # rows without error
    attempts_with_error: int
    failed_liquidations: int
    failed_liquidations_open: int
    intents: int
    open_intents: int
    fund_transactions: int
    refused_records: int
    fees_lamports: int
    bad_debt_covered_lamports: int
    bad_debt_uncovered_lamports: int


@dataclass(frozen=True, slots=True)
class Violations:
    """Broken promises; all zero when the engine is healthy."""

    healthy_submitted: int
    submitted_twice: int
    landed_not_recorded: int
    recorded_not_landed: int


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The three objects, and one line per violation that says which signature or position and why."""

    chain: ChainCounts
    database: DatabaseCounts
    violations: Violations
    findings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Evidence:
    """Everything that was read, for the comparisons below."""

    landed: dict[Signature, LandedLiquidation]
    recorded: dict[Signature, RecordedLiquidation]
    intents: list[RecordedIntent]
    final_height: int
    liquidated_again: list[Pubkey]  # wholly, twice, without having been opened in between


async def verify(
    rpc_urls: Sequence[str],
    database_url: str,
    wallet: Pubkey,
    program_id: Pubkey,
    *,
    settle_s: float = SETTLE_S,
    patience_s: float = PATIENCE_S,
) -> VerifyReport:
    """Compare a wallet's finalized history with the database.

    Raises RpcUnreachable when none of the nodes answers a read in `patience_s`, or DatabaseUnavailable.
    Reading takes a call per transaction of the wallet.
    """
    async with ChainEvidence(rpc_urls, program_id, patience_s) as chain:
        owner = Owner(await chain.genesis_hash(), str(wallet), str(program_id))
        database = await open_pool(database_url)
        try:
            records = DatabaseEvidence(database, database_url, owner)
            evidence = await _gather(chain, records, wallet, settle_s)
            counts = await records.counts()
        finally:
            await database.close()
    findings = {
        "healthy_submitted": _healthy_submitted(evidence),
        "submitted_twice": _submitted_twice(evidence),
        "landed_not_recorded": _landed_not_recorded(evidence),
        "recorded_not_landed": _recorded_not_landed(evidence),
    }
    return VerifyReport(
        chain=_chain_counts(evidence.landed.values()),
        database=_database_counts(evidence, counts),
        violations=Violations(**{name: len(found) for name, found in findings.items()}),
        findings=[f"{name}: {line}" for name, found in findings.items() for line in found],
    )


async def _gather(
    chain: ChainEvidence, records: DatabaseEvidence, wallet: Pubkey, settle_s: float
) -> _Evidence:
    """The chain first, then the database, which is behind it by a moment; then the chain once more for
    what became final in between."""
    landed = {each.signature: each for each in await chain.liquidations_of(wallet)}
    recorded = await records.liquidations()
    waited_s = 0.0
    while waited_s < settle_s and not landed.keys() <= recorded.keys():
        await asyncio.sleep(_REREAD_S)
        waited_s += _REREAD_S
        recorded = await records.liquidations()
    # Asked again by name: a row that claims to have landed may be younger than the history that was read.
    claimed = [each.signature for each in recorded.values() if each.landed or each.succeeded]
    missing = [signature for signature in claimed if signature not in landed]
    landed |= {each.signature: each for each in await chain.liquidations(missing)}
    intents = await records.intents()
    landed = _still_in_record(landed, recorded, intents, await records.pruned_to_slot())
    return _Evidence(
        landed=landed,
        recorded=recorded,
        intents=intents,
        final_height=await chain.block_height(),
        liquidated_again=await _liquidated_again(chain, landed.values()),
    )


def _still_in_record(
    landed: dict[Signature, LandedLiquidation],
    recorded: dict[Signature, RecordedLiquidation],
    intents: list[RecordedIntent],
    pruned_to_slot: int,
) -> dict[Signature, LandedLiquidation]:
    """Without what the record no longer speaks of, because its days were pruned; the chain never forgets."""
    known = {*recorded, *(intent.signature for intent in intents)}
    return {
        signature: each
        for signature, each in landed.items()
        if each.slot > pruned_to_slot or signature in known
    }


async def _liquidated_again(chain: ChainEvidence, landed: Iterable[LandedLiquidation]) -> list[Pubkey]:
    """Positions closed twice. The same address may be opened again in between, which is no fault."""
    closings: defaultdict[Pubkey, list[LandedLiquidation]] = defaultdict(list)
    for each in landed:
        if each.succeeded and each.call.amount_e6 is None:
            closings[each.call.position].append(each)
    again = []
    for position, closed in closings.items():
        for first, second in pairwise(sorted(closed, key=lambda each: each.slot)):
            if not await chain.was_opened_between(position, first.slot, second.slot):
                again.append(position)
    return again


def _healthy_submitted(evidence: _Evidence) -> list[str]:
    """Intents that their own inputs do not justify, and refusals by the program that no intent explains."""
    found = {
        intent.signature: intent.complaint for intent in evidence.intents if intent.complaint is not None
    }
    by_signature = {intent.signature: intent for intent in evidence.intents}
    for landed in evidence.landed.values():
        intent = by_signature.get(landed.signature)
        if landed.error_code == ProgramError.PositionNotLiquidatable and intent is None:
            found[landed.signature] = "the program refused it as healthy, and no intent justifies it"
        if intent is not None and intent.position != landed.call.position:
            found[landed.signature] = "it liquidates another position than its intent names"
    return [f"{signature}: {why}" for signature, why in found.items()]


def _submitted_twice(evidence: _Evidence) -> list[str]:
    by_position: defaultdict[Pubkey, list[RecordedIntent]] = defaultdict(list)
    for intent in evidence.intents:
        by_position[intent.position].append(intent)
    found = [
        f"{later.signature}: signed while {earlier.signature} could still land on {earlier.position}"
        for intents in by_position.values()
        for earlier, later in pairwise(intents)
        if not _was_final(earlier, later, evidence)
    ]
    return found + [f"{position}: liquidated wholly, twice" for position in evidence.liquidated_again]


def _was_final(earlier: RecordedIntent, later: RecordedIntent, evidence: _Evidence) -> bool:
    """Whether the earlier transaction had ended for good when the later one was signed.

    The recorded times say so, or, where a clock that jumped makes them say otherwise, the chain itself: what
    the later one knew of the chain is from after the end of the earlier one.
    """
    landed = evidence.landed.get(earlier.signature)
    if earlier.landed or landed is not None:
        if earlier.finalized_at is None:
            return False
        is_after = landed is not None and later.seen_slot >= landed.slot + FINALITY_SLOTS
        return is_after or earlier.finalized_at <= later.created_at
    if earlier.ended_at is None:
        return False
    is_after = later.last_valid_block_height - BLOCKHASH_BLOCKS > earlier.last_valid_block_height
    if not is_after and earlier.ended_at > later.created_at:
        return False
    # Bytes that never left need not expire; for any others this height is reached after the later signing
    # at the earliest, so an expiry that was declared too early shows as long as the height is not there.
    return earlier.submitted_at is None or evidence.final_height > earlier.last_valid_block_height


def _landed_not_recorded(evidence: _Evidence) -> list[str]:
    found = []
    for landed in evidence.landed.values():
        row = evidence.recorded.get(landed.signature)
        difference = "it has no row" if row is None else _difference(landed, row)
        if difference is not None:
            found.append(f"{landed.signature}: {difference}")
    return found


def _difference(landed: LandedLiquidation, row: RecordedLiquidation) -> str | None:
    """The first figure in which a row and the chain disagree, None when they agree in all."""
    pairs = {
        "success": (landed.succeeded, row.succeeded),
        "landed": (True, row.landed),
        "slot": (landed.slot, row.slot),
        "fee": (landed.fee_lamports, row.fee_lamports),
    }
    event = landed.event
    if landed.succeeded and event is None:
        return "the chain has no event of it"
    if event is not None:
        whole_bad_debt = row.covered_lamports + row.uncovered_lamports
        pairs |= {
            "liquidated_size": (event.liquidated_size_e6, row.liquidated_size_e6),
            "liquidation_price": (event.liquidation_price_e6, row.liquidation_price_e6),
            "reward": (event.liquidator_reward_lamports, row.reward_lamports),
            "bad debt": (event.bad_debt_lamports, whole_bad_debt),
            "covered bad debt": (landed.covered_lamports, row.covered_lamports),
        }
    for name, (on_chain, in_database) in pairs.items():
        if on_chain != in_database:
            return f"{name} is {on_chain} on chain and {in_database} in the database"
    return None


def _recorded_not_landed(evidence: _Evidence) -> list[str]:
    found = []
    for row in evidence.recorded.values():
        landed = evidence.landed.get(row.signature)
        if landed is None and (row.succeeded or row.landed):
            found.append(f"{row.signature}: recorded as landed, unknown to the chain")
        elif landed is not None and row.succeeded and not landed.succeeded:
            found.append(f"{row.signature}: recorded as a success, failed on chain")
    return found


def _chain_counts(landed: Iterable[LandedLiquidation]) -> ChainCounts:
    every = list(landed)
    succeeded = [each for each in every if each.succeeded]
    events = [each.event for each in succeeded if each.event is not None]
    covered = sum(each.covered_lamports for each in succeeded)
    return ChainCounts(
        liquidation_transactions_landed=len(succeeded),
        landed_with_error=len(every) - len(succeeded),
        full=sum(each.call.amount_e6 is None for each in succeeded),
        partial=sum(each.call.amount_e6 is not None for each in succeeded),
        rewards_lamports=sum(event.liquidator_reward_lamports for event in events),
        fees_lamports=sum(each.fee_lamports for each in every),
        bad_debt_covered_lamports=covered,
        bad_debt_uncovered_lamports=sum(event.bad_debt_lamports for event in events) - covered,
    )


def _database_counts(evidence: _Evidence, counts: dict[str, int]) -> DatabaseCounts:
    rows: Sequence[RecordedLiquidation] = list(evidence.recorded.values())
    return DatabaseCounts(
        liquidations=sum(row.succeeded for row in rows),
        attempts_with_error=sum(not row.succeeded for row in rows),
        failed_liquidations=counts.get("failed_liquidations", 0),
        failed_liquidations_open=counts.get("failed_liquidations_open", 0),
        intents=len(evidence.intents),
        open_intents=sum(intent.ended_at is None for intent in evidence.intents),
        fund_transactions=counts.get("fund_transactions", 0),
        refused_records=counts.get("refused_records", 0),
        fees_lamports=sum(row.fee_lamports for row in rows),
        bad_debt_covered_lamports=sum(row.covered_lamports for row in rows),
        bad_debt_uncovered_lamports=sum(row.uncovered_lamports for row in rows),
    )
