"""A whole engine's alerts: seen by its viewers, acknowledged by its operators, kept across a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from post_office import post_office
from rig import SOL, Rig

from engine.api import wire
from engine.commands import CommandError
from engine.journal.records import OutboxKind
from engine.telemetry.alerts import Alert


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """An engine that decides, and looks at itself once a second."""
    rig = Rig(tmp_path)
    rig.boot()
    await rig.start()
    rig.spawn(rig.parts.alerts.run())
    yield rig
    await rig.kill()


def on(rig: Rig) -> list[str]:
    return [alert.rule for alert in rig.parts.alerts.active]


def row(rig: Rig, rule: str) -> wire.AlertRow:
    (found,) = [row for row in rig.parts.snapshots.take().alerts if row.rule == rule]
    return found


async def test_an_engine_that_is_well_has_none(rig: Rig) -> None:
    for _ in range(200):
        rig.keep_prices_fresh()
        await rig.tick()
    assert on(rig) == []
    assert rig.parts.alerts.ended == []


async def test_a_held_price_is_an_alert_in_the_snapshot_in_the_log_and_over_when_it_is_back(rig: Rig) -> None:
    rig.price("BTC/USD", 60_000, conf=60_000 * 10**8 // 50)
    await rig.until(lambda: on(rig) == ["price-held"])
    held = row(rig, "price-held")
    assert (held.severity, held.text, held.ended_ns) == (
        "warning",
        "price BTC/USD held: wide confidence",
        None,
    )
    assert "ALERT price-held: price BTC/USD held: wide confidence" in texts(rig)
    rig.keep_prices_fresh()
    rig.price("BTC/USD", 60_000)
    await rig.until(lambda: on(rig) == [])
    assert rig.parts.snapshots.take().alerts == []
    page = rig.parts.snapshots.alerts()
    assert (page.active, [each.rule for each in page.alerts]) == (0, ["price-held"])
    assert page.alerts[0].ended_ns is not None
    assert any(text.startswith("alert over after") for text in texts(rig))


def texts(rig: Rig) -> list[str]:
    return [event.text for event in rig.parts.events.latest(500)]


async def test_a_wallet_that_runs_low_is_told_with_what_it_holds(rig: Rig) -> None:
    rig.parts.wallet.balance_lamports = SOL * 2 // 5
    await rig.until(lambda: "wallet-low" in on(rig))
    assert row(rig, "wallet-low").text == "the wallet holds 0.400 SOL: fund it with 0.5 to 1 SOL"


async def test_the_engines_own_stop_is_danger_and_an_operators_is_not(rig: Rig) -> None:
    await rig.parts.commands.stop("ann", "drill")
    await rig.until(lambda: on(rig) == ["stopped"])
    assert row(rig, "stopped").text == "stopped by ann: drill"
    await rig.finish(rig.parts.commands.resume("ann", "done", rig.gate.state.version))
    await rig.until(lambda: on(rig) == [])
    assert rig.parts.commands.emergency.trip("invariant broken: two open intents: keep the log")
    await rig.until(lambda: on(rig) == ["stopped-itself"])
    stopped = row(rig, "stopped-itself")
    assert (stopped.severity, stopped.text.split(": ")[1]) == ("danger", "invariant broken")


async def test_the_wait_of_a_first_start_is_a_stop_and_no_alarm(rig: Rig) -> None:
    rig.gate.shut("engine", "first start on this cluster: resume when you are ready")
    await rig.until(lambda: on(rig) == ["stopped"])


async def test_who_acknowledged_is_shown_and_in_the_audit(rig: Rig) -> None:
    await rig.parts.commands.stop("ann", "drill")
    await rig.until(lambda: on(rig) == ["stopped"])
    number = row(rig, "stopped").id
    said = await rig.finish(rig.parts.commands.acknowledge_alert("bob", number))
    assert said == "Acknowledged by bob: stopped by ann: drill"
    again = await rig.finish(rig.parts.commands.acknowledge_alert("carl", number))
    assert again == said
    seen = row(rig, "stopped")
    assert (seen.acknowledged_by, seen.ended_ns) == ("bob", None)
    assert seen.acknowledged_ns is not None
    for unknown in ("999", "x", "٣", "9" * 40, "-1"):
        with pytest.raises(CommandError, match="No alert with the id") as refused:
            await rig.parts.commands.acknowledge_alert("bob", unknown)
        assert (refused.value.code, refused.value.status) == ("unknown_alert", 404)
    await rig.parts.commands.settle_audits()
    audited = [
        (each["actor"], each["accepted"])
        for each in rig.recorded(OutboxKind.CONTROL)
        if each["command"] == "acknowledge-alert"
    ]
    assert audited == [("bob", True), ("carl", True)] + [("bob", False)] * 5


async def test_a_restart_keeps_what_was_on_and_what_was(rig: Rig) -> None:
    told: list[Alert] = []
    await rig.parts.commands.stop("ann", "drill")
    await rig.until(lambda: on(rig) == ["stopped"])
    first = row(rig, "stopped")
    await rig.finish(rig.parts.commands.acknowledge_alert("bob", first.id))
    await rig.until(lambda: '"bob"' in (rig.journal.noted("alerts") or ""))
    await rig.kill()
    rig.boot()
    rig.parts.notices.tell = told.append  # type: ignore[method-assign]
    await rig.start()
    rig.spawn(rig.parts.alerts.run())
    await rig.tick(10)
    after = row(rig, "stopped")
    assert (after.id, after.since_ns, after.acknowledged_by) == (first.id, first.since_ns, "bob")
    assert told == []  # nobody is woken a second time
    await rig.finish(rig.parts.commands.resume("ann", "done", rig.gate.state.version))
    await rig.until(lambda: on(rig) == [])
    assert [(alert.rule, alert.ended_ns is None) for alert in told] == [("stopped", False)]


async def test_a_record_of_alerts_that_cannot_be_read_costs_no_start(rig: Rig) -> None:
    await rig.finish(rig.journal.note("alerts", '{"next_number": "none"}'))
    await rig.kill()
    rig.boot()
    await rig.start()
    rig.spawn(rig.parts.alerts.run())
    await rig.tick(5)
    assert on(rig) == []


async def test_a_look_that_fails_takes_nothing_down_and_the_next_one_is_made(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = rig.parts.alerts
    before = watch.figures

    def fail() -> None:
        raise KeyError("a fault")

    with monkeypatch.context() as patch:
        patch.setattr(watch._reader, "read", fail)
        await rig.tick(10)
        assert watch.figures is before
    await rig.tick(10)
    assert watch.figures.at_ns > before.at_ns


async def test_what_starts_and_ends_goes_to_the_channels(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    async with post_office() as office:
        rig.boot(ALERT_URLS=f"{office.url}/hook", ALERT_GROUP_S="0")
        await rig.start()
        rig.spawn(rig.parts.alerts.run())
        rig.spawn(rig.parts.notices.run())
        try:
            await rig.parts.commands.stop("ann", "drill")
            await rig.until(lambda: on(rig) == ["stopped"])
            await office.until(1)
            await rig.finish(rig.parts.commands.resume("ann", "done", rig.gate.state.version))
            await rig.until(lambda: on(rig) == [])
            await office.until(2)
        finally:
            await rig.kill()
    assert [post["title"] for post in office.posts] == [
        "test on simulated: stopped, alerts 1 on",
        "test on simulated: alerts 1 over",
    ]


def values(rig: Rig) -> dict[str, float]:
    """The metrics as a scrape would get them now, each with its labels as they are written."""
    lines = rig.parts.metrics.render().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}


async def test_the_metrics_are_of_the_last_look_at_the_engine(rig: Rig) -> None:
    rig.spawn(rig.parts.risks.run())
    rig.open()
    await rig.until(lambda: values(rig)['positions_monitored{band="healthy"}'] == 1)
    told = values(rig)
    assert told["insurance_fund_balance"] == 1000 * SOL
    assert told['engine_price_verdict{symbol="BTC/USD",verdict="ok"}'] == 1
    assert told["engine_ready"] == 1
    rig.keep_prices_fresh()
    rig.price("BTC/USD", 56_000)
    await rig.until(lambda: values(rig)['liquidations_total{action="full",symbol="BTC/USD"}'] == 1)
    told = values(rig)
    assert told["liquidation_latency_seconds_count"] == 1
    assert told['engine_stage_seconds_count{stage="detect_to_confirm"}'] == 1
    assert told["engine_fees_lamports_total"] >= 5_000
