"""The figures at the right: goals missed, the pace, today's fees against the budget, the fund's runway."""

from __future__ import annotations

import msgspec
import pytest
import snapshots
from consoles import Console
from peer import Peer
from snapshots import NS

from engine.api import wire
from tui.lines import Tone
from tui.panes.fund import runway
from tui.panes.totals import Pace, last_day


def test_the_pace_counts_the_last_minute_and_starts_anew_with_the_engine() -> None:
    pace = Pace()
    pace.add(10, 5_000)
    pace.add(12, 25_000)
    assert pace.per_minute() == "2 in 20 s"
    for second in range(26, 200):
        pace.add(12 + second, 1_000 * second)
    assert pace.per_minute() == "60"
    pace.add(1, 500)
    assert pace.per_minute() == "0 in 0.0 s"


@pytest.mark.parametrize(
    ("balances", "said", "tone"),
    [
        ([50, 50], "watching", Tone.MUTED),
        ([50] * 30, "does not fall", Tone.PLAIN),
        ([50 - number for number in range(30)], "11 s at this pace", Tone.DANGER),
        ([9] * 30, "below the minimum", Tone.DANGER),
    ],
)
def test_the_runway_is_how_long_the_fund_lasts_at_the_pace_that_was_seen(
    balances: list[int], said: str, tone: Tone
) -> None:
    fund = snapshots.snapshot().fund
    assert fund is not None
    seen = [(number * NS, balance * NS) for number, balance in enumerate(balances)]
    shown = runway(seen, fund)
    assert said in shown.text
    assert shown.tone is tone


async def test_missed_goals_and_a_spent_budget_show_by_shape_and_figure(console: Console, peer: Peer) -> None:
    slow = msgspec.structs.replace(peer.snapshot.latency, detect_to_submit=snapshots.latency(60_000))
    totals = msgspec.structs.replace(
        peer.snapshot.totals, fees_today_lamports=450_000_000, fee_budget_lamports=500_000_000
    )
    assert "▲" not in console.text_of("#latency")
    await peer.push(msgspec.structs.replace(peer.snapshot, latency=slow, totals=totals))
    await console.until(lambda: "▲detect→submit  60.0  120  186" in console.text_of("#latency"))
    assert "not known yet" in console.text_of("#totals")
    assert "0.450000 of 0.500" in console.text_of("#totals")
    assert "ok ±5" in console.text_of("#prices")


@pytest.mark.parametrize(
    ("done", "failed", "age_s", "said", "tone"),
    [
        (995, 5, 5, "99.5 %", Tone.HEALTHY),
        (98, 2, 5, "98.0 %", Tone.ATTENTION),
        (98, 2, 300, "98.0 % 5m00s ago", Tone.ATTENTION),
    ],
)
async def test_the_last_day_is_held_against_the_goal_and_says_when_it_is_old(
    console: Console, peer: Peer, done: int, failed: int, age_s: int, said: str, tone: Tone
) -> None:
    day = wire.LastDay(done=done, failed=failed, at_ns=peer.snapshot.taken_at_ns - age_s * NS)
    await peer.push(
        msgspec.structs.replace(
            peer.snapshot, totals=msgspec.structs.replace(peer.snapshot.totals, last_day=day)
        )
    )
    await console.until(lambda: said in console.text_of("#totals"))
    assert last_day(day, peer.snapshot.taken_at_ns).tone is tone
