"""An engine that is kept awake: its vigil beside real work, and that nothing of a rehearsal reaches it."""

from __future__ import annotations

import asyncio

from engine.liquidation.queue import Stage
from engine.vigil import BUSY_S, REHEARSE_NS


async def test_the_vigil_is_kept_while_a_sent_transaction_waits_to_be_final_and_not_while_one_is_at_work(
    bare,
):
    bare.boot(LOW_LATENCY="on")
    await bare.start()
    look, hands = bare.parts.vigil.look, bare.parts.executor.hands
    position = bare.open()
    bare.price("BTC/USD", 58_000)
    await bare.until(lambda: bare.entry(position).stage is Stage.LANDED)
    assert len(bare.parts.queue) == 1
    assert look() == 0.0
    with hands.hold(bare.entry(position)):
        assert look() == BUSY_S
    assert look() == 0.0
    noting = asyncio.ensure_future(bare.journal.note("a name", "a value"))
    await asyncio.sleep(0)
    assert look() == BUSY_S
    await noting
    assert look() == 0.0


async def test_nothing_of_a_rehearsal_reaches_the_engines_book_queue_journal_or_wire(bare):
    bare.boot(LOW_LATENCY="on")
    await bare.start()
    position = bare.open()
    await bare.tick()
    vigil = bare.parts.vigil

    def standing() -> tuple[object, ...]:
        journal, board = bare.journal, bare.parts.board
        return (
            (journal.last_seq, journal.totals(), journal.open_intents(), journal.failed()),
            (len(bare.parts.holdings.book), bare.parts.holdings.decidable(position.address)),
            board.current("SOL/USD"),
            (len(bare.parts.queue), list(bare.wire.sent), bare.gate.state, len(bare.parts.tracker)),
        )

    before = standing()
    file = (bare.directory / "journal.db").read_bytes()
    for _ in range(50):
        assert vigil.look() == 0.0
        await bare.clock.advance(REHEARSE_NS / 1e9)
    assert standing() == before
    assert (bare.directory / "journal.db").read_bytes() == file
