"""A liquidation from detection to its recorded end, on the real program: each way in which it can go."""

from __future__ import annotations

import asyncio

from simulated import START_NS, Fate
from solders.instruction import Instruction
from solders.transaction import VersionedTransaction

from engine.chain.port import RpcFailure
from engine.domain import Action, Generation, OutcomeClass, Side
from engine.journal.errors import JournalUnavailable
from engine.journal.records import OutboxKind
from engine.liquidation import decision_record
from engine.liquidation.queue import Stage
from engine.protocol.accounts import decode_fund, decode_position
from engine.protocol.addresses import PROGRAM_ID
from engine.protocol.instructions import instruction_name, read_liquidation

SOL = 10**9


def calls(raw: bytes) -> list[Instruction]:
    """The program's instructions in a transaction."""
    message = VersionedTransaction.from_bytes(raw).message
    keys = message.account_keys
    return [each for each in message.instructions if keys[each.program_id_index] == PROGRAM_ID]


# --- success ---


async def test_a_partial_liquidation_restores_the_margin_and_is_recorded_with_the_chains_figures(rig):
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.until(rig.ended(position))
    (outcome,) = rig.outcomes()
    left = decode_position(position.address, bytes(rig.on_chain(position).data), 0)
    assert outcome.outcome is OutcomeClass.CONFIRMED
    assert outcome.liquidated_size_e6 == position.size_e6 - left.size_e6
    assert outcome.liquidation_price_e6 == 58_000 * 10**6
    (landed,) = rig.ledger.history.naming(position.address)
    assert (outcome.slot, outcome.fee_lamports) == (landed.slot, landed.fee_lamports)
    assert outcome.compute_units == landed.metadata.compute_units_consumed()
    assert rig.parts.tally.partial == 1
    assert rig.parts.tally.full == 0


async def test_a_partial_decision_sends_a_partial_instruction_and_never_a_full_one(rig):
    rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.until(lambda: rig.wire.sent)
    (call,) = calls(rig.wire.sent[0])
    assert instruction_name(bytes(call.data)).value == "liquidate_partial"
    amount = read_liquidation(bytes(call.data), [PROGRAM_ID]).amount_e6
    assert 0 < amount < 1_000_000


async def test_a_full_liquidation_with_bad_debt_closes_the_account_and_books_what_the_fund_paid(rig):
    position = rig.open()
    before = decode_fund(bytes(rig.ledger.account(rig.parts.fund.address).data), 0)
    rig.price("BTC/USD", 56_000)
    await rig.until(rig.ended(position))
    (outcome,) = rig.outcomes()
    after = decode_fund(bytes(rig.ledger.account(rig.parts.fund.address).data), 0)
    assert rig.on_chain(position) is None
    assert position.address not in rig.parts.holdings.book
    assert outcome.bad_debt_lamports == outcome.covered_lamports > 0
    assert before.balance_lamports - after.balance_lamports == outcome.covered_lamports
    (movement,) = rig.recorded(OutboxKind.FUND)
    assert int(movement["amount_lamports"]) == outcome.covered_lamports
    assert rig.parts.tally.bad_debt_covered_lamports == outcome.covered_lamports


async def test_what_a_full_liquidation_leaves_over_is_booked_as_equity_of_the_fund(rig):
    # Worth less than ten dollars it is closed whole, while there is equity.
    position = rig.open(size_e6=100, collateral_e6=300_000)
    rig.price("BTC/USD", 58_000)
    await rig.until(rig.ended(position))
    assert [row["kind"] for row in rig.recorded(OutboxKind.FUND)] == ["equity"]


async def test_bad_debt_that_the_fund_cannot_cover_is_recorded_as_uncovered_and_raised(bare):
    bare._plant_fund(balance=1_000)
    bare.boot()
    await bare.start()
    position = bare.open()
    bare.price("BTC/USD", 56_000)
    await bare.until(bare.ended(position))
    (outcome,) = bare.outcomes()
    assert outcome.covered_lamports == 1_000 < outcome.bad_debt_lamports
    assert bare.parts.tally.bad_debt_uncovered_lamports == outcome.bad_debt_lamports - 1_000
    assert any("uncovered bad debt" in event.text for event in bare.parts.events.latest(50))


async def test_shorts_high_leverage_and_the_older_layout_are_liquidated_alike(rig):
    short = rig.open(
        side=Side.SHORT, symbol="ETH/USD", entry_price_e6=3_000 * 10**6, collateral_e6=120 * 10**6
    )
    wild = rig.open(
        leverage=1000,
        collateral_e6=60 * 10**6,
        symbol="SOL/USD",
        entry_price_e6=150 * 10**6,
        size_e6=10**9 // 10,
    )
    old = rig.open(generation=Generation.DEPLOYED, created_at_s=0)
    rig.price("ETH/USD", 3_090)
    rig.price("SOL/USD", 149.45)
    rig.price("BTC/USD", 58_000)
    for position in (short, wild, old):
        await rig.until(rig.ended(position))
    assert [outcome.outcome for outcome in rig.outcomes()] == [OutcomeClass.CONFIRMED] * 3


async def test_a_position_is_liquidated_again_after_its_first_liquidation(rig):
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.until(rig.ended(position))
    rig.price("BTC/USD", 57_000)
    await rig.until(lambda: len(rig.wire.sent) == 2)
    await rig.until(rig.ended(position))
    first, second = rig.outcomes()
    assert first.outcome is second.outcome is OutcomeClass.CONFIRMED
    assert len({row["liquidation_id"] for row in rig.recorded(OutboxKind.INTENT)}) == 2


# --- the intent comes first ---


async def test_no_bytes_leave_before_their_intent_is_durable_with_its_inputs(rig):
    send = rig.wire.send
    seen = []

    async def look(raw, on_write, still_wanted):
        signature = VersionedTransaction.from_bytes(raw).signatures[0]
        (intent,) = [each for each in rig.journal.open_intents() if each.signature == signature]
        row = rig.journal._reader.execute("SELECT body FROM intents").fetchone()
        assert str(signature) in row[0]
        assert intent.raw_transaction == raw
        inputs = decision_record.decode(intent.decision_json)
        assert inputs.complaint() is None
        seen.append(intent)
        await send(raw, on_write, still_wanted)

    rig.wire.send = look
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.until(rig.ended(position))
    assert len(seen) == 1
    assert seen[0].last_valid_block_height > 0
    assert seen[0].action is Action.PARTIAL


async def test_when_the_journal_refuses_nothing_is_sent(rig):
    async def refuse(_):
        raise JournalUnavailable("the disk is full")

    record, rig.journal.record_intent = rig.journal.record_intent, refuse
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.tick(20)
    assert rig.wire.sent == []
    assert position.address not in rig.parts.queue
    (failed,) = rig.parts.failures.rows
    assert "journal unavailable" in failed.error_message
    rig.journal.record_intent = record
    await rig.tick(80)
    rig.keep_prices_fresh()
    await rig.until(lambda: rig.wire.sent)


async def test_a_write_that_came_through_late_is_followed_to_its_end_before_anything_new_is_signed(rig):
    record = rig.journal.record_intent

    async def late(intent):
        await record(intent)
        raise JournalUnavailable("no answer in 10 s")

    rig.journal.record_intent = late
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.settle()
    rig.journal.record_intent = record
    (stray,) = rig.journal.open_intents()
    rig.wire.fate = Fate.DROP
    while rig.journal.open_intents() == [stray]:
        rig.keep_prices_fresh()
        await rig.tick()
        assert set(rig.wire.signatures) <= {stray.signature} or stray not in rig.journal.open_intents()
    rig.wire.fate = Fate.DELIVER
    rig.keep_prices_fresh()
    await rig.until(rig.ended(position))
    assert [each.outcome for each in rig.outcomes()] == [
        OutcomeClass.BLOCKHASH_EXPIRED,
        OutcomeClass.CONFIRMED,
    ]
    assert stray.signature != rig.outcomes()[-1].signature


# --- each class of failure ---


async def test_backoff_doubles_from_100_ms_and_then_the_liquidation_is_given_up_and_kept(rig):
    rig.chain.faults.failing["accounts"] = RpcFailure("node error: busy")
    position = rig.open()
    rig.clock.slept_s.clear()
    rig.price("BTC/USD", 58_000)
    await rig.settle()
    for pause_s in (0.1, 0.2, 0.4, 0.8):
        entry = rig.entry(position)
        assert entry.stage is Stage.WAITING
        attempts = rig.chain.asked.count("accounts")
        await rig.clock.advance(pause_s - 0.001)
        await rig.settle()
        assert rig.chain.asked.count("accounts") == attempts
        await rig.clock.advance(0.001)
        await rig.settle()
        assert rig.chain.asked.count("accounts") == attempts + 1
    assert [each for each in rig.clock.slept_s if each < 1 and each != 0.5] == [0.1, 0.2, 0.4, 0.8]
    assert position.address not in rig.parts.queue
    (failed,) = rig.parts.failures.rows
    assert (failed.outcome, failed.attempts) == (OutcomeClass.NODE_ERROR, 5)
    assert [row["liquidation_id"] for row in rig.recorded(OutboxKind.FAILED)] == [failed.liquidation_id]
    assert rig.parts.tally.failed == 1


async def test_a_timeout_is_told_as_a_timeout(rig):
    rig.chain.faults.failing["accounts"] = RpcFailure("timeout after 5.0 s", is_timeout=True)
    rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.settle()
    await rig.clock.advance(2)
    await rig.settle()
    assert [failed.outcome for failed in rig.parts.failures.rows] == [OutcomeClass.TIMEOUT]


async def test_a_failed_position_rests_and_is_then_tried_again_under_the_same_id(rig):
    position, failed = await rig.given_up()
    rig.price("BTC/USD", 57_990)
    assert position.address not in rig.parts.queue
    assert rig.parts.detector.liquidatable() == []
    await rig.clock.advance(31)
    await rig.tick()
    rig.price("BTC/USD", 57_980)
    assert rig.entry(position).liquidation_id == failed.liquidation_id
    await rig.until(rig.ended(position))
    assert rig.parts.failures.rows == []
    assert rig.recorded(OutboxKind.FAILED)[-1]["status"] == "resolved"


async def test_exceeded_compute_units_raise_the_limit_of_the_next_attempt(bare):
    bare.boot()
    bare.parts.executor._limits._setting = 3_000  # lower than an operator may set it
    bare.parts.executor._limits.wants_rehearsal = lambda kind: False
    await bare.start()
    position = bare.open()
    bare.price("BTC/USD", 58_000)
    await bare.until(bare.ended(position))
    outcomes = bare.outcomes()
    limits = [int(row["compute_unit_limit"]) for row in bare.recorded(OutboxKind.INTENT)]
    assert outcomes[0].outcome is OutcomeClass.EXCEEDED_CUS
    assert outcomes[0].landed
    assert outcomes[0].fee_lamports > 0
    assert outcomes[-1].outcome is OutcomeClass.CONFIRMED
    assert limits == [3_000 * 2**attempt for attempt in range(len(limits))]


async def test_already_liquidated_on_chain_is_settled_and_no_failure(rig):
    position = rig.open()
    rig.wire.fate = Fate.HOLD
    rig.price("BTC/USD", 58_000)
    await rig.until(lambda: rig.wire.waiting)
    rig.close(position.address, tell=False)
    rig.wire.connected.set()
    await rig.until(rig.ended(position))
    (outcome,) = rig.outcomes()
    assert outcome.outcome is OutcomeClass.ALREADY_LIQUIDATED
    assert outcome.landed
    assert outcome.fee_lamports > 0
    assert rig.parts.failures.rows == []
    assert rig.parts.tally.already_liquidated == 1
    assert rig.parts.tally.failed == 0


async def test_healthy_again_on_chain_is_settled_without_another_attempt(rig):
    position = rig.open()
    rig.wire.fate = Fate.HOLD
    rig.price("BTC/USD", 58_000)
    await rig.until(lambda: rig.wire.waiting)
    await rig.recover_unheard()
    await rig.until(rig.ended(position))
    (outcome,) = rig.outcomes()
    assert outcome.outcome is OutcomeClass.HEALTHY_AGAIN
    assert len(rig.wire.sent) == 1


async def test_what_recovers_while_a_connection_is_waited_for_is_not_sent(rig):
    position = rig.open()
    rig.wire.fates, rig.wire.asks_late = [Fate.HOLD], True
    rig.price("BTC/USD", 58_000)
    await rig.until(lambda: rig.wire.waiting)
    rig.price("BTC/USD", 60_000)
    rig.wire.connected.set()
    await rig.until(lambda: not rig.wire.waiting)
    assert rig.wire.sent == []
    rig.price("BTC/USD", 58_000)
    await rig.until(lambda: rig.wire.sent)
    await rig.until(rig.ended(position))


async def test_a_price_that_is_stale_by_the_programs_clock_is_retried(rig):
    position = rig.open()
    rig.wire.fate = Fate.HOLD
    rig.price("BTC/USD", 58_000)
    await rig.until(lambda: rig.wire.waiting)
    rig.write_price("BTC/USD", 58_000, publish_time_s=START_NS // 10**9 - 100)
    rig.wire.connected.set()
    await rig.until(rig.outcomes)
    assert rig.outcomes()[0].outcome is OutcomeClass.STALE_PRICE
    assert rig.entry(position).attempt == 2


async def test_a_position_that_the_program_cannot_settle_rests_longer_each_time(rig):
    # Its bad debt is no u64 of lamports: anybody may open such a position, and each attempt costs a fee.
    position = rig.open(
        size_e6=2**64 - 1,
        entry_price_e6=10**9,
        collateral_e6=1,
        leverage=1000,
        symbol="SOL/USD",
        maintenance_margin_e6=1,
    )
    attempts = []
    for _ in range(3):
        rig.keep_prices_fresh()
        await rig.until(lambda: rig.parts.failures.is_resting(position.address), slots=2000)
        attempts.append(len(rig.outcomes()))
        rested = 0
        while rig.parts.failures.is_resting(position.address):
            await rig.clock.advance(10)
            rested += 10
        attempts.append(rested)
        await rig.tick()
    assert {each.outcome for each in rig.outcomes()} == {OutcomeClass.PROGRAM_ERROR}
    assert attempts[1] < attempts[3] < attempts[5]
    assert len(rig.parts.failures.rows) == 1


# --- many at once ---


async def test_in_a_crash_every_position_gets_one_signature_at_a_time(bare):
    bare.boot(WORKERS="16")
    await bare.start()
    positions = [bare.open(collateral_e6=(1_500 + 40 * number) * 10**6) for number in range(60)]
    bare.wire.fates = [Fate.DROP, Fate.DELIVER, Fate.TIME_OUT, Fate.REFUSE, Fate.BREAK] * 30
    watched = asyncio.ensure_future(_never_two_open(bare))
    for dollars in (59_000, 58_200, 57_400, 56_700):
        bare.price("BTC/USD", dollars)
        await bare.tick(4)
    await bare.until(lambda: not len(bare.parts.queue) and not len(bare.parts.tracker))
    watched.cancel()
    for position in positions:
        landed = [each for each in bare.ledger.history.naming(position.address) if each.fault is None]
        recorded = [
            outcome.signature
            for _, outcome in bare.journal.attempts_of(position.address, 50)
            if outcome is not None and outcome.outcome is OutcomeClass.CONFIRMED
        ]
        assert sorted(map(str, recorded)) == sorted(str(each.signature) for each in landed)
    assert bare.parts.tally.attempts == len(bare.outcomes())


async def _never_two_open(rig):
    while True:
        positions = [intent.position for intent in rig.journal.open_intents()]
        assert len(positions) == len(set(positions))
        await asyncio.sleep(0)
