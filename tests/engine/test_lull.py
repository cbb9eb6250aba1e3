"""What can wait gives way to what is on its way to its first byte, and comes about all the same."""

from __future__ import annotations

import asyncio

from engine.lull import REST_S, Lull
from engine.store.outbox import LONGEST_WAIT_S as BATCH_WAIT_S
from engine.store.outbox import OutboxShipper
from engine.watch import AT_A_TIME, LONGEST_WAIT_S, PAUSE_S, Housekeeping


async def test_a_lull_is_waited_for_while_a_transaction_is_on_its_way_and_no_longer(bare):
    bare.boot()
    await bare.start()
    bare.open()
    bare.price("BTC/USD", 58_000)
    await bare.settle()  # it has left, and is nobody's work any more
    (entry,) = bare.parts.queue
    with bare.parts.executor.hands.hold(entry):
        waiting = bare.spawn(bare.parts.lull.wait(60.0))
        await bare.clock.advance(1.0)
        assert not waiting.done()
    await bare.clock.advance(REST_S)
    assert waiting.done()
    before_ns = bare.clock.monotonic_ns()
    await bare.parts.lull.wait(60.0)
    assert bare.clock.monotonic_ns() == before_ns


async def test_what_gives_way_comes_about_where_no_lull_ever_comes(bare):
    bare.boot()
    waiting = bare.spawn(Lull(lambda: True, bare.clock).wait(0.25))
    await bare.clock.advance(0.25 - REST_S)
    assert not waiting.done()
    await bare.clock.advance(2 * REST_S)
    assert waiting.done()


class Samples:
    """Where samples go."""

    def __init__(self) -> None:
        self.taken = 0

    def offer(self, samples) -> None:
        self.taken += len(samples)


async def test_positions_are_sampled_in_pieces_between_which_a_liquidation_goes_first(bare, tmp_path):
    bare.boot()
    await bare.start()
    for _ in range(3 * AT_A_TIME):
        bare.open()
    samples = Samples()
    busy = [False]
    bare.parts.lull = Lull(lambda: busy[0], bare.clock)
    sampling = bare.spawn(Housekeeping(bare.parts, samples, tmp_path / "STOP")._sample_positions())
    await bare.clock.advance(PAUSE_S)
    assert samples.taken == AT_A_TIME
    busy[0] = True
    await bare.clock.advance(PAUSE_S + LONGEST_WAIT_S / 2)
    assert samples.taken == AT_A_TIME
    busy[0] = False
    await bare.clock.advance(REST_S)
    assert samples.taken == 2 * AT_A_TIME
    await bare.finish(asyncio.wait_for(sampling, 20))
    assert samples.taken == 3 * AT_A_TIME


async def test_a_batch_for_the_database_waits_behind_what_is_being_sent_and_not_for_ever(bare):
    bare.boot()
    begun = []
    shipper = OutboxShipper(bare.journal, None, bare.clock)

    async def begin() -> bool:
        begun.append(bare.clock.monotonic_ns())
        return True

    shipper._try = begin
    bare.spawn(shipper.run(Lull(lambda: True, bare.clock)))
    await bare.clock.advance(BATCH_WAIT_S - REST_S)
    assert not begun
    await bare.clock.advance(2 * REST_S)
    assert len(begun) == 1
