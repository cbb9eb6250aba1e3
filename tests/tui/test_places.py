"""The places beside the main screen: asked for in the background, the stop key alive, the truth told."""

from __future__ import annotations

import csv
import json
import stat
from pathlib import Path

import msgspec
import pytest
import records
import snapshots
from consoles import Console
from peer import Peer
from textual.widgets import Button, Input

from engine.api import wire
from engine.paths import ProfilePaths
from engine.store.pool import COMMAND_TIMEOUT_S
from tui.live_table import LiveTable
from tui.places import PLACES
from tui.screens.asking import ANSWER_DEADLINE_S, AskingScreen
from tui.screens.history import HistoryScreen
from tui.screens.main import MainScreen
from tui.screens.place import PlaceScreen

# What each place must show of the peer's record, in a terminal of any size.
SIGHTS = {
    "history": ("HISTORY", "exceeded CUs"),
    "risk": ("next long", "SOL/USD"),
    "fund": ("52.113 SOL", "contribution", "+1.500000"),
    "alerts": ("2 on", "1 new", "acknowledged", "over"),
    "audit": ("emergency-stop", "refused", "root"),
    "settings": ("DATABASE_URL", "***", "3 not by default"),
    "log": ("connected to engine 0.1.0", "gave up"),
}


def key_of(name: str) -> str:
    return next(place.key for place in PLACES if place.name == name)


def table_of(console: Console) -> LiveTable:
    return console.app.screen.query_one(LiveTable)


@pytest.mark.parametrize(
    "size", [(80, 24), pytest.param((120, 40), marks=pytest.mark.long), (200, 60)]
)  # the other tests look at 120×40
async def test_one_key_leads_to_each_place_from_any_other_with_the_banner_and_the_stop_key(
    paths: ProfilePaths, peer: Peer, size: tuple[int, int]
) -> None:
    async with Console.attached(paths, size=size) as console:
        for name, sights in SIGHTS.items():
            await console.press(key_of(name))
            for sight in sights:
                await console.says(sight)
            screen = console.app.screen
            assert isinstance(screen, PlaceScreen)
            assert name == screen.NAME
            text = console.screen_text()
            assert "● RUNNING" in text, name
            assert "ctrl+e STOP" in text, name
            assert len(console.app.screen_stack) == 2, name
        await console.press("ctrl+e")
        await peer.command("emergency-stop")
        await console.says("■ STOPPED")
        await console.press("escape")
        await console.until(lambda: isinstance(console.app.screen, MainScreen))


async def test_a_places_own_key_leads_back(console: Console) -> None:
    await console.press("t")
    await console.says("emergency-stop")
    await console.press("t")
    await console.until(lambda: isinstance(console.app.screen, MainScreen))


async def test_a_place_says_that_it_waits_then_what_failed_and_the_remedy(
    console: Console, peer: Peer
) -> None:
    peer.answering.clear()
    peer.pages["/liquidations/recent"] = wire.ErrorBody(
        code="no_history", message="No record is kept: set DATABASE_URL"
    )
    await console.press("h")
    await console.says("asking the engine…")
    assert "loading…" in console.screen_text()
    peer.answering.set()
    await console.says("✕ No record is kept: set DATABASE_URL")
    assert "ctrl+e STOP" in console.screen_text()


async def test_what_was_shown_stays_when_the_next_answer_does_not_come(console: Console, peer: Peer) -> None:
    await console.press("t")
    await console.says("emergency-stop")
    peer.pages["/admin/audit"] = wire.ErrorBody(
        code="database_away", message="The database is away: start it"
    )
    screen = console.app.screen
    assert isinstance(screen, AskingScreen)
    screen.ask()
    await console.says("✕ The database is away: start")
    assert "emergency-stop" in console.screen_text()


def test_a_place_waits_for_an_engine_that_waits_for_its_database() -> None:
    assert ANSWER_DEADLINE_S >= COMMAND_TIMEOUT_S + 2


async def test_an_engine_without_the_page_is_named_as_older(console: Console, peer: Peer) -> None:
    peer.pages["/alerts"] = wire.ErrorBody(code="not_found", message="Not Found")
    await console.press("a")
    await console.says("use the same version of engine and console")


async def test_empty_places_say_why(console: Console, peer: Peer) -> None:
    peer.pages["/liquidations/recent"] = records.history(0)
    peer.pages["/insurance/history"] = records.movements(0)
    peer.pages["/admin/audit"] = records.audit(0)
    peer.pages["/alerts"] = wire.AlertPage(active=0, alerts=[])
    for name, why in (
        ("history", "no liquidation is final yet"),
        ("fund", "no contribution and no coverage is recorded yet"),
        ("audit", "no command was given"),
        ("alerts", "no alert is on"),
    ):
        await console.press(key_of(name))
        await console.says(why)


async def test_the_history_asks_the_engine_for_what_is_searched_and_filtered(
    console: Console, peer: Peer
) -> None:
    path = "/liquidations/recent"
    await console.press("h")
    await console.says("exceeded CUs")
    await console.press("m")
    await peer.question(path, {"symbol": "SOL/USD", "outcome": None, "offset": "0"})
    await console.press("o")
    await peer.question(path, {"symbol": "SOL/USD", "outcome": "confirmed"})
    await console.press("slash", *"7xKX from:2026-11-01", "enter")
    asked = await peer.question(path, {"search": "7xKX", "from_date": "2026-11-01"})
    assert asked["symbol"] == "SOL/USD"
    await console.says('SOL/USD · confirmed · from 2026-11-01 · "7xKX…"')
    await console.press("w")
    asked = await peer.question(path, {"search": "7xKX", "to_date": None})
    await console.says("last hour")
    peer.pages[path] = records.history(0)
    await console.press("w")
    await console.says("nothing matches SOL/USD · confirmed · last day")


async def test_the_history_turns_its_pages_and_stops_at_the_last(console: Console, peer: Peer) -> None:
    path = "/liquidations/recent"
    peer.pages[path] = records.history(100, total=150)
    await console.press("h")
    await console.says("1–100 of 150")
    peer.pages[path] = records.history(50, total=150, offset=100)
    await console.press("right")
    await peer.question(path, {"offset": "100", "limit": "100"})
    await console.says("101–150 of 150")
    await console.press("right")
    peer.pages[path] = records.history(100, total=150)
    await console.press("left")
    await console.says("1–100 of 150")
    assert {query["offset"] for each, query in peer.asked if each == path} == {"0", "100"}


async def test_the_row_under_the_cursor_is_written_out(console: Console) -> None:
    await console.press("h")
    await console.says("exceeded CUs")
    await console.press("down")
    row = records.liquidation(1)
    await console.says(row.signature)
    text = console.screen_text()
    for wanted in (row.address, row.owner, "Computational budget exceeded", "sent +1.00 ms", "known +1.9 s"):
        assert wanted in text, wanted
    await console.press("t")
    await console.says("by the kernel's word")
    await console.press("enter")
    await console.until(lambda: "by the kernel's word" not in console.screen_text())


async def test_history_without_a_database_shows_what_the_journal_has_and_says_so(
    console: Console, peer: Peer
) -> None:
    peer.pages["/liquidations/recent"] = records.history(
        3, source="journal", note="The database cannot be read: connection refused: try again when it is back"
    )
    await console.press("h")
    await console.says("from the journal")
    await console.says("▲ The database cannot be read: connection refused")
    assert "exceeded CUs" in console.screen_text()


async def export(console: Console, key: str, ending: str) -> Path:
    folder = console.app.plan.paths.state / "exports"
    await console.press(key)
    await console.says("which only you may read")
    await console.until(lambda: any(folder.glob(f"*.{ending}")))
    (path,) = folder.glob(f"*.{ending}")
    assert str(path) in console.screen_text().replace("\n", "").replace(" ", "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    return path


async def test_an_export_has_every_row_once_in_a_private_file_whose_path_is_shown(
    console: Console, peer: Peer
) -> None:
    hostile = records.liquidation(3, error_message='=HYPERLINK("http://x")')
    peer.pages["/liquidations/recent"] = msgspec.structs.replace(
        records.history(4), rows=[records.liquidation(0), records.liquidation(1), hostile, hostile]
    )
    await console.press("h")
    await console.says("exceeded CUs")
    path = await export(console, "e", "csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["signature"] for row in rows] == [snapshots.signature(number) for number in (0, 1, 3)]
    assert rows[0]["liquidated_size_e6"] == "12500000"
    assert rows[1]["slot"] == ""
    assert rows[2]["error_message"] == '\'=HYPERLINK("http://x")'
    path = await export(console, "E", "json")
    assert [row["error_message"] for row in json.loads(path.read_text())] == [
        None,
        "Computational budget exceeded",
        hostile.error_message,
    ]


async def test_an_export_that_cannot_be_written_says_why_and_leaves_nothing_behind(
    console: Console, peer: Peer
) -> None:
    await console.press("h")
    await console.says("exceeded CUs")
    folder = console.app.plan.paths.state / "exports"
    folder.write_text("a file where the folder should be")
    await console.press("e")
    await console.says("✕ not exported: The export to")
    folder.unlink()
    peer.pages["/liquidations/recent"] = wire.ErrorBody(code="database_away", message="gone: start it")
    await console.press("e")
    await console.says("✕ not exported: gone: start it")
    assert list(folder.iterdir()) == []


async def test_enter_in_the_history_opens_the_position_or_what_is_recorded_of_a_closed_one(
    console: Console, peer: Peer
) -> None:
    await console.press("h")
    await console.says("exceeded CUs")
    await console.press("enter")
    await console.says("partial 12.5 of 100.5")
    await console.press("escape")
    await console.until(lambda: isinstance(console.app.screen, HistoryScreen))
    await peer.push(msgspec.structs.replace(peer.snapshot, at_risk=[]))
    await console.press("enter")
    await console.says("✕ No position")
    await console.says("8 recorded")
    assert snapshots.signature(0) in console.screen_text()


async def test_an_alert_is_acknowledged_by_a_key_once(console: Console, peer: Peer) -> None:
    await console.press("a")
    await console.says("by nobody yet: x acknowledges it")
    await console.press("x")
    await peer.command("alerts/0/acknowledge")
    peer.pages["/alerts"] = wire.AlertPage(
        active=1, alerts=[records.alert(0, acknowledged_by="root", acknowledged_ns=records.NOW_NS)]
    )
    await console.says("by root at")
    await console.press("x")
    await console.press("escape")
    await console.until(lambda: isinstance(console.app.screen, MainScreen))
    assert [name for name, _ in peer.commands] == ["alerts/0/acknowledge"]


async def test_settings_are_found_by_any_text_and_their_secrets_are_masked(console: Console) -> None:
    await console.press("s")
    await console.says("SOLANA_RPC_URL")
    await console.press("slash", *"derived", "enter")
    await console.says('match "derived"')
    assert [row.key for row in table_of(console).rows] == ["SOLANA_WS_URL"]
    await console.press("slash", "escape")
    await console.until(lambda: len(table_of(console).rows) == 4)
    await console.press("slash", *"nothing like it", "enter")
    await console.says("no setting matches")


async def test_the_log_filters_by_level_origin_and_text(console: Console) -> None:
    await console.press("g")
    await console.says("connected to engine")
    assert "gave up" in console.screen_text()
    await console.press("o")
    await console.until(lambda: "connected to engine" not in console.screen_text())
    await console.press("v")
    await console.until(lambda: {row.cells[2].text for row in table_of(console).rows} == {"▲", "✕"})
    await console.press("slash", *"gave up", "enter")
    await console.until(lambda: {row.cells[2].text for row in table_of(console).rows} == {"✕"})


async def open_contribution(console: Console) -> None:
    await console.press("f")
    await console.says("MOVEMENTS")
    await console.press("c")
    await console.says("Nothing is sent yet")


async def test_a_contribution_is_rehearsed_and_its_amount_typed_twice_before_it_is_sent(
    console: Console, peer: Peer
) -> None:
    await open_contribution(console)
    focused = console.app.screen.focused
    assert isinstance(focused, Button)
    assert focused.id == "cancel"
    deed = console.app.screen.query_one("#contribute", Button)
    await console.press("c", "y", "tab", *"0.25", "enter")
    body = await peer.command("contribute")
    assert body == {"amount_lamports": 250_000_000, "confirm_text": ""}
    await console.says("● contribute: done")
    await console.says("0.590 in the wallet and 52.363 in the fund")
    assert deed.disabled
    await console.press(*"0.26", "enter")
    assert deed.disabled
    console.app.screen.query_one("#again", Input).value = ""
    await console.press(*"0.25")
    await console.until(lambda: not deed.disabled)
    await console.press("enter")
    await console.until(lambda: len(peer.commands) == 2)
    assert peer.commands[1] == (
        "contribute",
        {"amount_lamports": 250_000_000, "confirm_text": "250000000"},
    )


async def test_another_amount_needs_another_rehearsal(console: Console, peer: Peer) -> None:
    await open_contribution(console)
    await console.press("tab", *"0.2", "enter")
    await console.says("● contribute: done")
    console.app.screen.query_one("#amount", Input).value = "0.3"
    await console.says("Nothing is sent yet")
    assert console.app.screen.query_one("#again", Input).disabled
    await console.press("escape")
    assert len(peer.commands) == 1


async def test_a_refused_rehearsal_or_an_impossible_amount_sends_nothing(
    console: Console, peer: Peer
) -> None:
    peer.refusal = wire.ErrorBody(code="fund_unknown", message="The fund is not known: try later")
    await open_contribution(console)
    await console.press("tab", *"5", "enter")
    await console.says("The wallet has 0.840000000 SOL")
    console.app.screen.query_one("#amount", Input).value = "0.0000000001"
    await console.press("enter")
    await console.says("That is no amount of SOL")
    console.app.screen.query_one("#amount", Input).value = "0.5"
    await console.press("enter")
    await console.says("✕ The fund is not known: try later")
    assert console.app.screen.query_one("#contribute", Button).disabled
    assert len(peer.commands) == 1


HOSTILE = "\x1b[31m\x1b]0;owned\x07[/red][bold]x[/]\u202eend\r\n"


async def test_no_place_passes_hostile_text_on(console: Console, peer: Peer) -> None:
    row = records.liquidation(
        1, symbol=HOSTILE, action=HOSTILE, outcome=HOSTILE, error_message=HOSTILE, liquidation_id=HOSTILE
    )
    peer.pages |= {
        "/liquidations/recent": msgspec.structs.replace(records.history(1), rows=[row], note=HOSTILE),
        "/admin/audit": records.audit(actor=HOSTILE, command=HOSTILE, detail=HOSTILE, terminal=HOSTILE),
        "/alerts": wire.AlertPage(
            active=1, alerts=[records.alert(0, rule=HOSTILE, severity=HOSTILE, text=HOSTILE)]
        ),
        "/settings": wire.SettingsPage(
            rows=[wire.SettingRow(name=HOSTILE, value=HOSTILE, source=HOSTILE, description=HOSTILE)]
        ),
        "/insurance/history": msgspec.structs.replace(
            records.movements(1),
            rows=[msgspec.structs.replace(records.movements(1).rows[0], kind=HOSTILE, account=HOSTILE)],
        ),
    }
    events = [
        msgspec.structs.replace(each, seq=each.seq + 100, level=HOSTILE, text=HOSTILE)
        for each in peer.snapshot.events
    ]
    await peer.push(msgspec.structs.replace(peer.snapshot, seq=2, events=events))
    for name in ("history", "audit", "alerts", "settings", "log"):
        await console.press(key_of(name))
        await console.says("[/red][bold]x[/]end")
        painted = console.screen_text().replace("\n", "")
        assert painted.isprintable(), name
    await console.press(key_of("fund"))
    await console.says("[/red][bold]x")
    assert console.screen_text().replace("\n", "").isprintable()
