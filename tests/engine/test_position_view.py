"""What a viewer is told of a position that is not being liquidated just now."""

from __future__ import annotations

from engine.book.book import terms_of
from engine.protocol.margin import threshold_e6


async def test_a_position_that_waits_for_finality_says_so(rig):
    position = rig.open()
    line_usd = threshold_e6(terms_of(position)) / 10**6
    rig.price("BTC/USD", line_usd - 1)
    await rig.until(lambda: rig.parts.tracker.confirmed)
    rig.price("BTC/USD", line_usd * 0.95)
    row = rig.parts.snapshots.detail(position.address).row
    assert row.band == "liquidatable"
    assert row.why == "waits until its last liquidation is final"
    rig.keep_prices_fresh()
    await rig.until(rig.ended(position))
