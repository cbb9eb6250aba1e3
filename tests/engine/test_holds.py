"""A held symbol: nothing of it is sent, everyone sees why, and it goes on by itself when it is let go."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from engine.domain import Verdict
from engine.oracle.hermes import SourceState
from engine.telemetry.events import Level

BTC, SOL = "BTC/USD", "SOL/USD"


def say(rig, symbol: str, dollars: float, **changes: int) -> None:
    """The second source says this now."""
    opinion = {"conf_e6": 0, "publish_time_s": rig.clock.now_ns() // 10**9, **changes}
    rig.parts.prices.on_opinion(symbol, round(dollars * 10**6), **opinion)


def told(rig, symbol: str) -> list[tuple[Level, str]]:
    """What the event log says of a symbol's price."""
    events = rig.parts.events.latest(200)
    return [(event.level, event.text) for event in events if event.text.startswith(f"price {symbol} ")]


def row(rig, symbol: str):
    """The symbol's row of a viewer's picture."""
    return next(each for each in rig.parts.snapshots.take().prices if each.symbol == symbol)


async def nothing_is_sent(rig, verdict: Verdict) -> None:
    await rig.tick(5)
    assert rig.parts.board.current(BTC).verdict is verdict
    assert rig.wire.sent == []


async def test_diverged_sources_hold_a_liquidation_and_agreement_lets_it_go_without_any_new_price(rig):
    position = rig.open()
    say(rig, BTC, 60_000)
    rig.price(BTC, 58_000)
    await nothing_is_sent(rig, Verdict.DIVERGED)
    picture = rig.parts.snapshots.take()
    assert "BTC/USD held: sources diverged" in picture.engine.degraded
    held = row(rig, BTC)
    assert (held.verdict, held.second_e6, held.halted) == ("sources diverged", 60_000 * 10**6, False)
    assert held.held_since_ns is not None
    assert told(rig, BTC) == [(Level.ATTENTION, "price BTC/USD held: sources diverged")]
    assert picture.oracle.holds["BTC/USD: sources diverged"] == 1

    say(rig, BTC, 58_000)
    assert rig.entry(position) is not None  # at once
    await rig.until(lambda: rig.wire.sent)
    assert told(rig, BTC)[-1][0] is Level.INFO
    assert told(rig, BTC)[-1][1].startswith("price BTC/USD ok after ")
    assert row(rig, BTC).held_since_ns is None
    assert rig.parts.snapshots.take().oracle.held_ms["BTC/USD"] > 1_000


async def test_a_hold_by_a_second_source_that_falls_silent_ends_with_time_and_the_liquidation_goes_on(rig):
    rig.open()
    say(rig, BTC, 60_000)
    for _ in range(6):
        rig.price(BTC, 58_000)
        await rig.tick(24)
        assert rig.wire.sent == []
    await nothing_is_sent(rig, Verdict.DIVERGED)
    rig.keep_prices_fresh()
    await rig.until(lambda: rig.wire.sent, slots=10)  # its last word is a minute old; nobody says anything


async def test_a_jump_waits_and_the_second_sources_word_lets_it_go(rig):
    rig.open()
    rig.price(BTC, 40_000)
    await nothing_is_sent(rig, Verdict.JUMP)
    say(rig, BTC, 41_000)
    await nothing_is_sent(rig, Verdict.JUMP)
    say(rig, BTC, 40_100)
    await rig.until(lambda: rig.wire.sent)


async def test_a_lying_second_source_alone_liquidates_nobody(rig):
    rig.open()
    for dollars in (59_000, 50_000, 30_000, 1, 200_000):
        say(rig, BTC, dollars)
        await nothing_is_sent(rig, Verdict.DIVERGED)
    say(rig, BTC, 60_000)
    await nothing_is_sent(rig, Verdict.OK)


async def test_other_symbols_go_on_while_one_is_held_even_if_that_one_is_sol(rig):
    rig.open()
    say(rig, SOL, 140)
    assert rig.parts.board.current(SOL).verdict is Verdict.DIVERGED
    rig.price(BTC, 58_000)
    await rig.until(lambda: rig.wire.sent)


@pytest.mark.parametrize("changes", [{"conf": 10**13}, {"price": -1}])
async def test_a_hold_that_the_chain_ends_is_followed_by_the_liquidation(rig, changes):
    rig.open()
    rig.price(BTC, 58_000, **changes)
    await rig.tick(5)
    assert rig.wire.sent == []
    rig.price(BTC, 58_000)
    await rig.until(lambda: rig.wire.sent)


async def test_an_outage_is_a_warning_after_a_minute_and_a_danger_after_five_and_ends_by_itself(rig):
    rig.open()
    await rig.clock.advance(61)
    assert told(rig, BTC) == [(Level.ATTENTION, "price BTC/USD held: stale")]
    assert row(rig, BTC).halted is False
    await rig.clock.advance(238)
    assert len(told(rig, BTC)) == 1
    await rig.clock.advance(3)
    level, text = told(rig, BTC)[-1]
    assert (level, text) == (Level.DANGER, "price BTC/USD HALTED: its last price is 301 s old")
    assert row(rig, BTC).halted is True
    await rig.clock.advance(5)
    assert len(told(rig, BTC)) == 2  # once, not at each look
    assert "BTC/USD halted: stale" in rig.parts.snapshots.take().engine.degraded
    assert rig.wire.sent == []

    rig.keep_prices_fresh()
    rig.price(BTC, 58_000)
    assert row(rig, BTC).halted is False
    assert told(rig, BTC)[-1] == (Level.INFO, "price BTC/USD ok after 246 s: was stale")
    await rig.until(lambda: rig.wire.sent)


def metrics(rig) -> dict[str, float]:
    """What a scrape would get now, by name and labels."""
    rig.parts.alerts.look()
    lines = rig.parts.metrics.render().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}


async def test_a_warning_at_a_minute_and_a_halt_at_five_are_in_the_picture_in_the_log_and_in_the_metrics(rig):
    published_ns = rig.clock.now_ns()
    rig.keep_prices_fresh()
    await rig.clock.advance(59)
    assert (row(rig, BTC).verdict, row(rig, BTC).held_since_ns) == ("ok", None)
    assert metrics(rig)[f'engine_price_verdict{{symbol="{BTC}",verdict="ok"}}'] == 1
    with capture_logs() as logged:
        await rig.clock.advance(3)
        since_ns = row(rig, BTC).held_since_ns
        assert 60 * 10**9 < since_ns - published_ns <= 62 * 10**9
        assert (row(rig, BTC).verdict, row(rig, BTC).halted) == ("stale", False)
        now = metrics(rig)
        assert now[f'engine_price_verdict{{symbol="{BTC}",verdict="stale"}}'] == 1
        assert now[f'engine_holds_total{{reason="stale",symbol="{BTC}"}}'] == 1
        assert now[f'engine_price_halted{{symbol="{BTC}"}}'] == 0
        await rig.clock.advance(236)
        assert metrics(rig)[f'engine_price_halted{{symbol="{BTC}"}}'] == 0
        await rig.clock.advance(4)
        assert (row(rig, BTC).halted, row(rig, BTC).held_since_ns) == (True, since_ns)
        assert metrics(rig)[f'engine_price_halted{{symbol="{BTC}"}}'] == 1
        rig.keep_prices_fresh()
    assert row(rig, BTC).held_since_ns is None
    now = metrics(rig)
    assert now[f'engine_price_halted{{symbol="{BTC}"}}'] == 0
    assert now[f'engine_held_seconds_total{{symbol="{BTC}"}}'] > 240
    assert [each["event"] for each in logged if each.get("symbol") == BTC] == [
        "price held",
        "price still held",
        "price usable",
    ]
    assert [each["halted"] for each in logged if each["event"] == "price still held"] == [True] * 3


async def test_the_age_at_which_the_program_refuses_cannot_be_set_away(bare):
    bare.boot(SYMBOLS='{"BTC/USD": {"max_age_s": 60, "halt_age_s": 86400}}', HALT_PRICE_AGE_S="86400")
    await bare.start()
    bare.open()
    await bare.gate.stop("ada", "wait")
    bare.price(BTC, 58_000)
    await bare.clock.advance(61)
    await bare.gate.resume("ada", "go", bare.gate.state.version)
    await nothing_is_sent(bare, Verdict.STALE)


async def test_symbols_with_limits_of_their_own_are_held_by_these(bare):
    bare.boot(SYMBOLS='{"BTC/USD": {"max_jump_bps": 100}}')
    await bare.start()
    bare.open()
    bare.price(BTC, 58_000)
    await nothing_is_sent(bare, Verdict.JUMP)
    for _ in range(2):
        bare.price(BTC, 58_000)
        await bare.tick()
    await bare.until(lambda: bare.wire.sent)


async def test_what_becomes_of_the_second_source_is_told_once_and_a_refused_key_loudly(rig):
    for _ in range(2):
        rig.parts.prices.on_second_source(SourceState.AWAY, "it answers 503")
    rig.parts.prices.on_second_source(SourceState.OK, "")
    rig.parts.prices.on_second_source(SourceState.REFUSED, "Hermes answers 401 and wants a key")
    events = [(each.level, each.text) for each in rig.parts.events.latest(3)]
    assert events == [
        (Level.ATTENTION, "second price source away: it answers 503"),
        (Level.INFO, "the second price source is there"),
        (Level.DANGER, "no second price source: Hermes answers 401 and wants a key"),
    ]
