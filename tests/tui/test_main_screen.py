"""The main screen at its sizes: every pane shows its data, or says why it has none."""

from __future__ import annotations

import msgspec
import pytest
import snapshots
from consoles import Console
from peer import Peer
from rich.console import RenderableType
from textual._compositor import ChopsUpdate, CompositorUpdate
from textual.screen import Screen

from engine.api import wire
from engine.paths import ProfilePaths
from tui.app import ConsoleApp
from tui.lines import Tone
from tui.live_table import LiveTable
from tui.panes.at_risk import AtRiskPane
from tui.panes.queue import QueuePane
from tui.panes.table_pane import TablePane
from tui.screens.main import MainScreen


async def test_every_pane_shows_its_part_at_120_by_40(console: Console) -> None:
    text = console.screen_text()
    worst = snapshots.position(0)
    expected = {
        "banner": "● RUNNING",
        "slot": "slot 312,884,191",
        "wallet": "0.840 SOL",
        "at risk": "24 of 12,804",
        "liquidatable": "8 liquidatable",
        "position": f"{worst.address[:4]}…{worst.address[-4:]}",
        "health": "0.900",
        "queue": "oldest",
        "failed": "exceeded CUs",
        "next step": "retry raises",
        "fund": "52.113 SOL",
        "fund used": "31.0 %",
        "latency": "0.74 1.48 2.29",
        "totals": "99.3 %",
        "price": "63,410.00",
        "held price": "wide confidence",
        "event": "LIQUIDATION CONFIRMED",
        "stop key": "ctrl+e STOP",
    }
    missing = {name: wanted for name, wanted in expected.items() if wanted not in text}
    assert missing == {}


async def test_80_by_24_shows_the_tables_first_and_the_figures_on_the_second_page(
    paths: ProfilePaths, peer: Peer
) -> None:
    async with Console.attached(paths, size=(80, 24)) as console:
        first = console.screen_text()
        for wanted in ("AT RISK", "QUEUE", "FAILED", "fund 52.113 SOL", "0.74/1.48", "ctrl+e STOP", "q Quit"):
            assert wanted in first, wanted
        await console.press("tab", "tab", "tab")
        for wanted in ("INSURANCE FUND", "LATENCY", "PRICES", "SINCE START", "EVENTS"):
            await console.says(wanted)
        second = console.screen_text()
        for wanted in ("● RUNNING", "ctrl+e STOP"):
            assert wanted in second, wanted
        assert "AT RISK" not in second
        await console.press("tab")
        await console.says("AT RISK")


async def test_200_by_50_has_room_for_equity_and_messages(paths: ProfilePaths, peer: Peer) -> None:
    async with Console.attached(paths, size=(200, 50)) as console:
        text = console.screen_text()
        for wanted in (
            "equity $",
            "collateral $",
            "Computational budget exceeded",
            "INSURANCE FUND",
            "PRICES",
        ):
            assert wanted in text, wanted


async def test_a_terminal_below_60_by_16_keeps_the_banner_and_the_stop_key(
    paths: ProfilePaths, peer: Peer
) -> None:
    async with Console.attached(paths, size=(50, 12)) as console:
        text = console.screen_text()
        assert "● RUNNING" in text
        assert "too small" in text
        assert "60×16" in text
        assert "AT RISK" not in text
        await console.press("ctrl+e")
        await peer.command("emergency-stop")
        await console.says("■ STOPPED")


async def test_a_resized_terminal_changes_its_layout(console: Console, peer: Peer) -> None:
    peer.talking.clear()
    await console.pilot.resize_terminal(80, 24)
    await console.says("fund 52.113 SOL")
    await console.until(lambda: "0.840 SOL" in console.banner() and "wallet" not in console.banner())
    await console.pilot.resize_terminal(40, 10)
    await console.says("too small")
    await console.pilot.resize_terminal(120, 40)
    await console.says("INSURANCE FUND")


async def test_no_key_acts_on_the_rows_that_a_small_terminal_hides(console: Console, peer: Peer) -> None:
    await console.press("3")
    await console.pilot.resize_terminal(40, 10)
    await console.says("too small")
    await console.press("q")
    await console.says("Leave running")
    await console.press("escape")
    await console.says("too small")
    await console.press("d", "r", "enter", "c")
    assert "too small" in console.screen_text()
    await console.press("ctrl+e")
    await peer.command("emergency-stop")
    assert [name for name, _ in peer.commands] == ["emergency-stop"]


@pytest.mark.parametrize("meanwhile", [(), ("q", "escape")])
async def test_a_terminal_that_was_too_small_gives_the_keys_back_to_the_rows(
    console: Console, meanwhile: tuple[str, ...]
) -> None:
    await console.pilot.resize_terminal(40, 10)
    await console.says("too small")
    await console.until(lambda: console.app.focused is None)
    await console.press(*meanwhile)
    await console.pilot.resize_terminal(120, 40)
    await console.until(lambda: console.app.focused is console.app.screen.query_one("#at-risk-table"))
    await console.press("h")
    await console.says("HISTORY")


async def test_empty_panes_say_why(console: Console, peer: Peer) -> None:
    book = msgspec.structs.replace(peer.snapshot.book, at_risk=0, liquidatable=0, healthy=12_804)
    await peer.push(
        msgspec.structs.replace(
            peer.snapshot,
            book=book,
            at_risk=[],
            queue=[],
            queue_length=0,
            failed=[],
            failed_length=0,
            fund=None,
            prices=[],
            events=[],
        )
    )
    await console.says("nothing is at risk: 12,804 positions are healthy")
    text = console.screen_text()
    for wanted in (
        "empty: nothing to liquidate",
        "nothing failed",
        "its account was not read yet",
        "no market is watched yet",
        "nothing happened yet",
        "nothing to liquidate",
    ):
        assert wanted in text, wanted


async def test_before_the_first_snapshot_every_pane_says_what_it_waits_for(paths: ProfilePaths) -> None:
    async with Console.opened(paths) as console:
        await console.says("◐ STARTING")
        text = console.screen_text()
        assert text.count("waiting for the engine") == 8
        assert "no data yet" in text


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"phase": "reconciling"}, "◐ RECONCILING"),
        ({"phase": "standby"}, "◐ STANDBY"),
        ({"degraded": ["the database is away: history is late"]}, "▲ DEGRADED  the database is away"),
    ],
)
async def test_the_banner_names_the_engines_state(
    console: Console, peer: Peer, change: dict[str, object], sentence: str
) -> None:
    engine = msgspec.structs.replace(peer.snapshot.engine, **change)
    await peer.push(msgspec.structs.replace(peer.snapshot, engine=engine))
    await console.says(sentence)


async def test_the_filter_keeps_what_matches_and_escape_gives_it_up(console: Console) -> None:
    await console.press("slash", *"btc")
    await console.says('8 match "btc"')
    table = console.app.screen.query_one("#at-risk-table", LiveTable)
    assert {row.cells[1].text for row in table.rows} == {"BTC/USD"}
    await console.press("escape")
    await console.until(lambda: len(table.rows) == 24)
    assert console.app.screen.focused is table


async def test_a_held_display_stands_still_under_a_banner_that_goes_on(console: Console, peer: Peer) -> None:
    await console.press("p")
    await console.says("‖ display held")
    await peer.push(
        msgspec.structs.replace(peer.snapshot, failed=[], failed_length=0, gate=snapshots.gate("stopped", 2))
    )
    await console.says("■ STOPPED")
    assert "insufficient funds" in console.screen_text()
    await console.press("p")
    await console.says("nothing failed")


async def test_help_lists_every_shown_key(console: Console) -> None:
    await console.press("question_mark")
    await console.says("lift the stop")
    text = console.screen_text()
    for wanted in ("ctrl+e", "retry", "Dismiss", "Filter", "Pause", "Clear queue", "Quit", "Copy address"):
        assert wanted.lower() in text.lower(), wanted
    assert "● RUNNING" in text
    await console.press("escape")
    await console.says("AT RISK")


async def test_detail_writes_the_arithmetic_out_with_its_numbers(console: Console) -> None:
    row: wire.PositionRow = snapshots.position(0)
    await console.press("enter")
    await console.says("partial 12.5 of 100.5")
    text = console.screen_text()
    for wanted in (
        row.address,
        row.owner,
        "394.71 + 100.5 × (90.56 − 92.41) = 208.96",
        "100.5 × 92.41 = 9,287.21",
        "= 2.50 %",
        "2.250 % / 2.50 % = 0.900",
        "when the mark rises to = 92.18",
        snapshots.signature(0),
        "blockhash expired",
        "price_slot 312884171",
        "last 100 samples",
    ):
        assert wanted in text, wanted


async def test_the_detail_of_a_position_that_is_gone_says_so_and_stays(console: Console, peer: Peer) -> None:
    await console.press("enter")
    await console.says("partial 12.5 of 100.5")
    await peer.push(msgspec.structs.replace(peer.snapshot, at_risk=[]))
    await console.says("No position")
    assert "partial 12.5 of 100.5" in console.screen_text()


async def test_a_dry_run_says_on_every_screenful_that_nothing_is_sent(console: Console, peer: Peer) -> None:
    real = snapshots.snapshot(2)
    engine = msgspec.structs.replace(real.engine, dry_run=True)
    totals = msgspec.structs.replace(real.totals, rehearsed=31)
    await peer.push(msgspec.structs.replace(real, engine=engine, totals=totals))
    await console.says("DRY RUN, NOTHING IS SENT  ● RUNNING")
    assert "dry run, would have" in console.screen_text()
    stopped = msgspec.structs.replace(real, engine=engine, gate=snapshots.gate("stopped", 4))
    await peer.push(stopped)
    await console.says("DRY RUN, NOTHING IS SENT  ■ STOPPED")


async def test_a_pane_that_gets_the_keys_is_painted_at_once_and_the_rest_of_the_screen_is_not(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    painted: list[CompositorUpdate] = []
    screen = console.app.screen
    assert isinstance(screen, MainScreen)

    def keep(_app: ConsoleApp, _screen: Screen[object], renderable: RenderableType | None) -> None:
        if isinstance(renderable, CompositorUpdate):
            painted.append(renderable)

    monkeypatch.setattr(ConsoleApp, "_display", keep)
    screen.action_pane(1)
    (update,) = painted
    assert isinstance(update, ChopsUpdate)
    rows = {y for y, _, _ in update.spans}
    at_risk, queue = screen.query_one(AtRiskPane), screen.query_one(QueuePane)
    assert {at_risk.rule.region.y, queue.rule.region.y, _cursor_row(at_risk), _cursor_row(queue)} <= rows
    assert not screen._repaint_required  # by the next frame: the whole screen


def _cursor_row(pane: TablePane) -> int:
    return pane.table.region.y + pane.table.header_height


async def test_the_titles_follow_the_keys_however_fast_they_come(console: Console) -> None:
    await console.press("2", "3", "1", "2")
    panes = {pane.id: pane for pane in console.app.screen.query(TablePane)}
    await console.until(lambda: panes["queue"].table.has_focus)
    await console.pilot.pause()
    lit = [name for name, pane in panes.items() if pane.rule.lines[0][1].tone is Tone.OURS]
    assert lit == ["queue"]
    assert [name for name, pane in panes.items() if pane.rule.plain.startswith("━ ")] == ["queue"]
