"""The risk screen: bands, distances and ladders of every symbol, as the engine computed them."""

from __future__ import annotations

import re

import msgspec
import snapshots
from consoles import Console
from peer import Peer

from engine.paths import ProfilePaths
from tui.lines import width_of
from tui.screens.main import MainScreen
from tui.screens.risk import RiskScreen, risk_lines, symbol_lines


def plain(lines):
    return ["".join(part.text for part in each) for each in lines]


async def test_one_key_opens_the_ladders_and_escape_leads_back(console: Console) -> None:
    await console.press("l")
    await console.says("next long −0.12 % at 92.30")
    assert isinstance(console.app.screen, RiskScreen)
    text = console.screen_text()
    for wanted in ("● RUNNING", "ctrl+e STOP", "SOL/USD", "BTC/USD", "price is wide confidence"):
        assert wanted in text, wanted
    await console.press("escape")
    await console.until(lambda: isinstance(console.app.screen, MainScreen))


async def test_every_block_says_how_old_its_figures_are_when_they_are_held(console: Console) -> None:
    await console.press("l")
    await console.says("next long −0.12 % at 92.30")
    assert console.screen_text().count("<2 s ─") == 3
    await console.press("p")
    await console.until(lambda: len(re.findall(r" \d+ s ─", console.screen_text())) == 3)


async def test_the_screen_fits_80_by_24_and_scrolls_to_the_last_symbol(
    paths: ProfilePaths, peer: Peer
) -> None:
    async with Console.attached(paths, size=(80, 24)) as console:
        await console.press("l")
        await console.says("healthy 4,787")
        text = console.screen_text()
        rows = [each for each in text.splitlines() if each.lstrip().startswith("−")]
        assert (
            " ".join(rows[4].split()) == "−20 % 14,000 $16.90M $8.2K short +20 % 14,000 $16.90M $8.2K short"
        )
        assert "−10 %" in text
        await console.press("end")
        await console.says("all 3,204 positions unknown")


def test_every_line_fits_80_columns_whatever_the_figures() -> None:
    row = snapshots.symbol_risk(0)
    big = msgspec.structs.replace(
        row,
        monitored=1_000_000,
        ladder=[
            msgspec.structs.replace(
                rung, count=1_000_000, value_e6=10**17, bad_debt_e6=10**17, is_covered=None
            )
            for rung in row.ladder
        ],
    )
    lines = symbol_lines(big, 79)
    assert max(width_of(each) for each in lines[:1] + lines[2:]) <= 79
    assert plain(lines)[4].split()[-1] == "?"


def test_positions_that_are_unknown_are_told_with_their_reasons() -> None:
    snapshot = snapshots.snapshot()
    book = msgspec.structs.replace(
        snapshot.book, unknown=5, unknown_reasons={"unsupported leverage": 2, "price is stale\x1b[31m": 3}
    )
    text = plain(risk_lines(msgspec.structs.replace(snapshot, book=book), 80))
    assert text[-2:] == ["         3  price is stale", "         2  unsupported leverage"]
    assert "UNKNOWN" in text[-3]


def test_before_the_first_figures_the_screen_says_why_it_is_empty() -> None:
    snapshot = msgspec.structs.replace(snapshots.snapshot(), risk=[])
    assert "no figures yet" in plain(risk_lines(snapshot, 80))[1]
