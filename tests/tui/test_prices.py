"""The prices pane: both sources, holds with their reason and age, and halts louder than holds."""

from __future__ import annotations

import msgspec
import pytest
import snapshots
from consoles import Console
from peer import Peer
from snapshots import NS

from engine.api import wire
from engine.paths import ProfilePaths
from tui.lines import Tone
from tui.panes.prices import _lines, _second_source

NOW_NS = 1_760_000_000 * NS


def row(**changes: object) -> wire.PriceRow:
    usable = wire.PriceRow(
        symbol="SOL/USD",
        price_e6=150_000_000,
        conf_e6=75_000,
        publish_time_s=NOW_NS // NS,
        age_ms=400,
        verdict="ok",
        held_since_ns=None,
    )
    return msgspec.structs.replace(usable, **changes)


def text(price: wire.PriceRow, width: int = 60) -> list[str]:
    return ["".join(part.text for part in shown) for shown in _lines(price, NOW_NS, width)]


def oracle(state: str) -> wire.OracleView:
    return wire.OracleView(second_source=state, message="", refused={}, holds={}, held_ms={})


@pytest.mark.parametrize(
    ("second_e6", "difference"),
    [(150_000_000, "+0.00 %"), (150_014_999, "+0.00 %"), (151_500_000, "+1.00 %"), (145_500_000, "−3.00 %")],
)
def test_a_usable_price_says_how_far_the_second_source_is_from_it(second_e6: int, difference: str) -> None:
    assert text(row(second_e6=second_e6))[0].endswith(f"ok ±5  {difference}")


def test_without_a_second_source_nothing_is_said_of_it() -> None:
    assert text(row())[0].endswith("ok ±5")
    assert len(text(row(verdict="stale", held_since_ns=NOW_NS))) == 2
    assert _second_source(oracle("off")) == ()


def test_a_held_price_says_why_since_when_and_what_the_second_source_says() -> None:
    held = row(verdict="sources diverged", held_since_ns=NOW_NS - 12 * NS, second_e6=145_500_000)
    first, why, second = text(held)
    assert first.endswith("▲")
    assert why == "   held 12 s: sources diverged ±5bp"
    assert second == "   Hermes 145.50  −3.00 %"


def test_a_halt_is_red_and_a_hold_is_not() -> None:
    since_ns = NOW_NS - 360 * NS
    held = _lines(row(verdict="stale", held_since_ns=since_ns), NOW_NS, 60)
    halted = _lines(row(verdict="stale", held_since_ns=since_ns, halted=True), NOW_NS, 60)
    assert {part.tone for part in held[1]} == {Tone.ATTENTION}
    assert {part.tone for part in halted[1]} == {Tone.DANGER}
    assert halted[1][0].text == "   HALTED 6m00s: stale ±5bp"


async def test_the_screen_shows_how_the_second_source_is(paths: ProfilePaths, peer: Peer) -> None:
    peer.snapshot = msgspec.structs.replace(snapshots.snapshot(), oracle=oracle("away"))
    async with Console.attached(paths) as console:
        await console.says("Hermes away")
