"""Sorting, filtering, finding, following, zooming, and looking more or less often: all under the hand."""

from __future__ import annotations

import re

import msgspec
import pytest
import snapshots
from consoles import Console
from peer import Peer
from textual.events import Key
from textual.widgets import Input

from engine.paths import ProfilePaths
from tui import live_table
from tui.live_table import LiveTable
from tui.panes.at_risk import AtRiskPane
from tui.panes.figures import Figures
from tui.panes.fund import FundPane
from tui.panes.latency import LatencyPane
from tui.panes.prices import PricesPane
from tui.panes.totals import TotalsPane


def at_risk(console: Console) -> LiveTable:
    return console.app.screen_stack[0].query_one("#at-risk-table", LiveTable)


def column(console: Console, index: int) -> list[str]:
    return [row.cells[index].text for row in at_risk(console).rows]


async def test_a_filter_takes_terms_and_shows_what_it_did_not_understand(console: Console) -> None:
    await console.press("slash", *"side:long health<1 -btc")
    await console.until(lambda: set(column(console, 2)) == {"long"})
    assert "BTC/USD" not in column(console, 1)
    assert all(row.cells[9].text.split()[-1] < "1.000" for row in at_risk(console).rows)
    await console.press("enter")
    await console.says('match "side:long health<1 -btc"')
    await console.press("slash", *" colour:red")
    await console.says('✕ no field "colour"')
    await console.press("escape")
    await console.until(lambda: len(at_risk(console).rows) == 24)


async def test_keys_typed_behind_the_slash_belong_into_the_line_and_not_to_the_screen(
    console: Console, peer: Peer
) -> None:
    await console.press("slash", *"dcru")
    assert console.app.screen.query_one("#at-risk-typed", Input).value == "dcru"
    assert peer.commands == []


async def test_escape_in_the_table_lets_the_filter_go(console: Console) -> None:
    await console.press("slash", *"btc", "enter")
    await console.until(lambda: set(column(console, 1)) == {"BTC/USD"})
    await console.press("escape")
    await console.until(lambda: len(at_risk(console).rows) == 24)


async def test_the_sort_key_goes_through_the_columns_and_turns(console: Console) -> None:
    natural = column(console, 0)
    await console.press("o")
    await console.says("sort market ▴")
    assert column(console, 1) == sorted(column(console, 1))
    await console.press("O")
    await console.says("sort market ▾")
    assert column(console, 1) == sorted(column(console, 1), reverse=True)
    await console.press("o", "o", "o")
    await console.says("sort lev ▴")
    leverages = [int(text) for text in column(console, 4)]
    assert leverages == sorted(leverages)
    fields = len(AtRiskPane.FIELDS)
    await console.press(*["o"] * (fields - 3))
    await console.until(lambda: column(console, 0) == natural)


async def test_an_order_survives_the_next_snapshot(
    console: Console, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_table, "HOLD_ORDER_S", -1.0)
    await console.press("o", "o", "o")
    await console.says("sort size ▴")
    before = column(console, 0)
    rows = peer.snapshot.at_risk
    grown = [msgspec.structs.replace(rows[0], size_e6=10**12), *rows[1:]]
    await peer.push(msgspec.structs.replace(peer.snapshot, at_risk=grown))
    await console.until(lambda: column(console, 0) != before)
    assert at_risk(console).rows[-1].key == rows[0].address


async def test_find_moves_the_cursor_and_n_goes_on_around_the_end(console: Console) -> None:
    wanted = [row.key for row in at_risk(console).rows if row.cells[1].text == "ETH/USD"]
    await console.press("ctrl+f", *"eth/", "enter")
    await console.until(lambda: at_risk(console).cursor_key == wanted[0])
    await console.says('find "eth/"')
    assert len(at_risk(console).rows) == 24
    await console.press("n")
    assert at_risk(console).cursor_key == wanted[1]
    await console.press("N", "N")
    assert at_risk(console).cursor_key == wanted[-1]


async def test_a_followed_row_stays_on_top_and_is_said_to_be_gone(
    console: Console, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_table, "HOLD_ORDER_S", -1.0)
    await console.press("down", "down", "w")
    followed = snapshots.position(2)
    await console.until(lambda: at_risk(console).rows[0].key == followed.address)
    assert at_risk(console).cursor_key == followed.address
    name = f"{followed.address[:4]}…{followed.address[-4:]}"
    await console.says(f"follows {name}")
    await console.press("slash", *"btc", "enter")
    await console.until(lambda: at_risk(console).rows[0].key == followed.address)
    rows = [row for row in peer.snapshot.at_risk if row.address != followed.address]
    await peer.push(msgspec.structs.replace(peer.snapshot, at_risk=rows))
    await console.says(f"follows {name}: gone from here")


async def test_letters_and_numbers_jump_to_the_panes(console: Console) -> None:
    for key, table in (("Q", "queue"), ("F", "failed"), ("E", "events"), ("A", "at-risk"), ("2", "queue")):
        await console.press(key)
        focused = console.app.screen.focused
        assert focused is not None
        assert focused.id == f"{table}-table"


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_a_zoomed_table_has_the_screen_for_itself_and_gives_it_back(
    paths: ProfilePaths, peer: Peer, size: tuple[int, int]
) -> None:
    async with Console.attached(paths, size=size) as console:
        await console.press("3", "z")
        await console.until(lambda: "AT RISK" not in console.screen_text())
        text = console.screen_text()
        assert "retry raises the limit to 400k" in text or size == (80, 24)
        assert "next step" in text
        assert "INSURANCE FUND" not in text
        assert "● RUNNING" in text
        assert "ctrl+e STOP" in text
        await console.press("4")
        await console.until(lambda: "3 FAILED" not in console.screen_text())
        await console.says("4 EVENTS")
        await console.press("z", "1")
        await console.says("2 QUEUE")


async def test_the_rate_goes_by_steps_and_the_banner_says_it(console: Console, peer: Peer) -> None:
    assert console.app.state.interval_ms == 500
    await console.press("minus", "minus")
    await console.says("every 2.0 s")
    await console.press(*["plus"] * 9)
    await console.says("every 0.2 s")
    await peer.push(msgspec.structs.replace(peer.snapshot, failed=[], failed_length=0))
    await console.says("nothing failed")


async def test_every_pane_says_how_old_it_is_when_it_is_held(console: Console) -> None:
    assert console.screen_text().count("<2 s") == 8
    await console.press("p")
    await console.until(lambda: len(re.findall(r" \d+ s ─", console.screen_text())) == 8, deadline_s=20)


async def test_keys_that_come_in_one_burst_behind_the_slash_land_in_its_field(console: Console) -> None:
    for key in ("slash", *"oswrsol"):
        console.app.post_message(Key(key, "/" if key == "slash" else key))
    await console.until(lambda: console.app.screen.query_one("#at-risk-typed", Input).value == "oswrsol")
    console.app.post_message(Key("slash", "/"))
    await console.until(lambda: console.app.screen.query_one("#at-risk-typed", Input).value == "oswrsol/")
    assert len(console.app.screen_stack) == 1


@pytest.mark.parametrize(
    ("key", "pane", "title"),
    [
        ("I", FundPane, "INSURANCE FUND"),
        ("6", LatencyPane, "LATENCY"),
        ("T", TotalsPane, "SINCE START"),
        ("8", PricesPane, "PRICES"),
    ],
)
@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_a_pane_of_figures_has_the_screen_for_itself_and_gives_it_back(
    paths: ProfilePaths, peer: Peer, key: str, pane: type[Figures], title: str, size: tuple[int, int]
) -> None:
    async with Console.attached(paths, size=size) as console:
        await console.press(key, "z")
        shown = console.app.screen.query_one(pane)
        await console.until(lambda: shown.size == (size[0], size[1] - 3))
        await console.says(title)
        assert "AT RISK" not in console.screen_text()
        await console.press("z")
        await console.until(lambda: shown.size.height < size[1] - 3)
        await console.press("1")
        await console.says("AT RISK")


async def test_a_zoomed_course_is_drawn_in_several_lines(console: Console) -> None:
    await console.press("L")
    latency = console.app.screen.query_one(LatencyPane)
    before = latency.plain.count("█")
    await console.press("z")
    await console.until(lambda: latency.plain.count("█") > 10 * max(1, before))
