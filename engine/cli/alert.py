"""`alert`: what is wrong now, who has seen it, and whether a message about it would arrive."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.failures import EXIT_REFUSED, BadUsage, fail, run_async
from engine.cli.options import ProfileOption, checked_profile, given_settings

if TYPE_CHECKING:
    from engine.api import wire
    from engine.paths import ProfilePaths
    from engine.setting_sources import Given

app = typer.Typer(help="Shows alerts, acknowledges them, and tries the channels that they go to.")


@app.callback()
def alert() -> None:
    """Shows alerts, acknowledges them, and tries the channels that they go to."""


@app.command("list")
def show(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with those that are over.")] = False,
    profile: ProfileOption = None,
) -> None:
    """The alerts that are on, the most urgent first, and the last ones that are over."""
    page = run_async(_page(checked_profile(context, profile)))
    if as_json:
        import msgspec

        print(msgspec.json.encode(page).decode())
        return
    print("\n".join(_line(row) for row in page.alerts) or "No alert is on, and none was.")


@app.command()
def acknowledge(
    context: typer.Context,
    alert_id: Annotated[str, typer.Argument(metavar="ID", help="As `alert list` shows it.")],
    profile: ProfileOption = None,
) -> None:
    """Note in the record that you have seen an alert; it stays on until what it tells of is over."""
    if not alert_id.isascii() or not alert_id.isdecimal() or len(alert_id) > 15:
        raise BadUsage(f"{alert_id!a} is no alert's ID: copy one from `liquidation-engine alert list`")
    print(run_async(_acknowledge(checked_profile(context, profile), alert_id)))


@app.command()
def test(context: typer.Context, profile: ProfileOption = None) -> None:
    """Send one message over every channel of ALERT_URLS, and say of each whether it arrived."""
    given = given_settings(context, checked_profile(context, profile))
    if not run_async(_test(given)):
        fail("A channel did not deliver: correct it in ALERT_URLS, or look at its server", EXIT_REFUSED)


async def _page(paths: ProfilePaths) -> wire.AlertPage:
    from engine.api.client import EngineClient

    async with EngineClient(paths.socket) as engine:
        return await engine.alerts()


async def _acknowledge(paths: ProfilePaths, alert_id: str) -> str:
    from engine.api.client import EngineClient

    async with EngineClient(paths.socket) as engine:
        return (await engine.acknowledge_alert(alert_id)).message


def _line(row: wire.AlertRow) -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(row.since_ns // 10**9))
    if row.ended_ns is not None:
        state = f"over after {max(0, row.ended_ns - row.since_ns) // 10**9} s"
    else:
        state = f"seen by {row.acknowledged_by}" if row.acknowledged_by else "on"
    return f"{row.id:>5}  {row.severity:<7}  since {since}  {state}  {row.rule}: {row.text}"


async def _test(given: Given) -> bool:
    """Whether every channel delivered. Needs no engine and no node: only what the settings say of alerts."""
    from engine.telemetry.alerts import Alert, Severity
    from engine.telemetry.channels import channels_of
    from engine.telemetry.notices import attempt, compose

    if "SOLANA_RPC_URL" not in given.values:
        given = given.under({"SOLANA_RPC_URL": "http://localhost"}, "not needed")
    channels = channels_of(given.settings())
    print("log and console: always told, by the engine itself")
    if not channels:
        print("ALERT_URLS names no channel: nobody else is told")
    text = "a message of `liquidation-engine alert test`: nothing is wrong"
    trial = Alert(
        number=0, rule="test", subject="", severity=Severity.INFO, text=text, since_ns=time.time_ns()
    )
    notice = compose("liquidation-engine", [trial])
    arrived = True
    for channel in channels:
        began = time.monotonic()
        failure = await attempt(channel, notice)
        took_ms = (time.monotonic() - began) * 1000
        print(
            f"{channel.name}: {f'delivered in {took_ms:.0f} ms' if failure is None else f'FAILED: {failure}'}"
        )
        arrived = arrived and failure is None
    return arrived
