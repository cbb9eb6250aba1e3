"""Why a position is liquidated, and why not; what its decisions were made from; what the log keeps."""

from __future__ import annotations

import json

import msgspec
import pytest
import records
import snapshots
from consoles import Console
from peer import Peer

from engine.api import wire
from engine.paths import ProfilePaths
from tui.decision_text import decision_text
from tui.happenings import CAPACITY, Happenings
from tui.history_query import HistoryQuery, as_typed, following, typed
from tui.preferences import Preferences
from tui.reasons import reason_lines
from tui.screens.contribute import lamports_of
from tui.state import ConsoleState, Link

RECORD = {
    "format": 1,
    "position": {
        "address": "A",
        "owner": "B",
        "symbol": "SOL/USD",
        "side": "long",
        "size_e6": "100500000",
        "entry_price_e6": "100000000",
        "collateral_e6": "1000000000",
        "leverage": "10",
        "generation": "deployed",
        "slot": "312884100",
    },
    "price": {
        "price_e6": "92410000",
        "conf_e6": "50000",
        "publish_time_s": "1790000000",
        "slot": "312884171",
        "verdict": "ok",
    },
    "action": "partial",
    "amount_e6": "12500000",
    "reason": "closing a part restores the margin",
}


def said(detail: wire.PositionDetail, snapshot: wire.Snapshot) -> list[str]:
    return ["".join(part.text for part in each).strip() for each in reason_lines(detail, snapshot)]


def liquidatable(**changes: object) -> tuple[wire.PositionDetail, wire.Snapshot]:
    """A position below 1 on a market whose price is good, and a snapshot in which nothing is done yet."""
    row = snapshots.position(0, **changes)
    return snapshots.detail(row), msgspec.structs.replace(snapshots.snapshot(), queue=[], failed=[])


def test_a_position_of_which_everything_holds_is_about_to_be_liquidated() -> None:
    lines = said(*liquidatable())
    assert [line[0] for line in lines[:-1]] == ["●"] * 5
    assert "0.900 is below 1" in lines[2]
    assert lines[-1].startswith("now")


def test_each_condition_that_does_not_hold_is_named() -> None:
    detail, snapshot = liquidatable()
    prices = [msgspec.structs.replace(price, verdict="stale") for price in snapshot.prices]
    engine = msgspec.structs.replace(snapshot.engine, phase="loading", dry_run=True)
    lines = said(
        detail,
        msgspec.structs.replace(
            snapshot, prices=prices, engine=engine, gate=snapshots.gate("stopped", reason="drill")
        ),
    )
    assert lines[-1] == "not now     because of: price and engine and stop and dry run"
    assert 'stopped by root: "drill"' in "\n".join(lines)


def test_a_healthy_position_and_an_unknown_one_say_why_nothing_is_done() -> None:
    detail, snapshot = liquidatable(health_milli=1_100, band="at risk")
    assert "1.100 is not below 1" in said(detail, snapshot)[2]
    assert said(detail, snapshot)[-1].endswith("because of: health")
    detail, snapshot = liquidatable(band="unknown", why="unsupported leverage")
    assert said(detail, snapshot)[0].startswith("✕")
    assert "not known: unsupported leverage" in said(detail, snapshot)[2]


def test_a_position_that_is_being_liquidated_or_was_given_up_says_how_far_it_is() -> None:
    detail, snapshot = liquidatable()
    queued = snapshots.queued(0, address=detail.row.address, stage="landed")
    lines = said(detail, msgspec.structs.replace(snapshot, queue=[queued]))
    assert lines[-1] == "being done  full, attempt 1: landed, waits until it is final"
    failed = snapshots.failed(0, address=detail.row.address)
    lines = said(detail, msgspec.structs.replace(snapshot, failed=[failed]))
    assert "given up after 5 attempts (exceeded CUs), retry raises the limit to 400k" in lines[-1]


def test_a_decisions_inputs_are_told_in_units() -> None:
    text = decision_text(json.dumps(RECORD))
    for wanted in (
        "long 100.5 at 10×",
        "entered at 100.00",
        "collateral 1,000.00",
        "account of slot 312,884,100 (deployed layout)",
        "price 92.41 ± 0.050000 ok",
        "therefore partial 12.5: closing a part restores the margin",
    ):
        assert wanted in text, wanted


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        ("no JSON", "no JSON"),
        ("[1]", "[1]"),
        ('{"format": 2, "position": {"address": "A", "x": 1}}', "format\u00a02 · position.x\u00a01"),
        ('{"format": 1, "position": {}, "price": {}}', "format\u00a01"),
        ('{"format": 1, "position": 7, "price": 8}', "format\u00a01 · position\u00a07 · price\u00a08"),
    ],
)
def test_a_record_that_is_not_understood_is_shown_as_it_came(record: str, wanted: str) -> None:
    assert decision_text(record) == wanted


@pytest.mark.parametrize(
    ("text", "lamports"),
    [
        ("1.5", 1_500_000_000),
        (" 0.000000001 ", 1),
        ("0.0000000001", None),
        ("1e9", None),
        ("-1", None),
        ("0", None),
        ("1.5.1", None),
        ("٣", None),
        ("", None),
    ],
)
def test_an_amount_is_read_exactly_or_not_at_all(text: str, lamports: int | None) -> None:
    assert lamports_of(text) == lamports


def test_typed_dates_take_the_place_of_a_window_and_come_back_as_they_were_typed() -> None:
    query = typed(HistoryQuery(symbol="SOL/USD", window=2), "7xKX from:2026-11-01 to:2026-11-08")
    assert (query.symbol, query.window, query.begins(0.0)) == ("SOL/USD", 0, "2026-11-01")
    assert as_typed(query) == "7xKX from:2026-11-01 to:2026-11-08"
    assert typed(query, "").words() == ["SOL/USD"]
    assert HistoryQuery(window=1).begins(7_200.0) == "1970-01-01T01:00:00+00:00"


def test_choices_go_round_through_all_of_them() -> None:
    assert [following(["a", "b"], each) for each in (None, "a", "b", "gone")] == ["a", "b", None, "a"]
    assert following([], None) is None


def test_the_log_keeps_each_event_once_counts_what_it_missed_and_is_bounded() -> None:
    happenings = Happenings()
    before = ConsoleState()

    def hear(first: int, last: int, started_at_ns: int = 1) -> None:
        nonlocal before
        events = [
            wire.EventRow(seq=seq, at_ns=seq, level="info", text=f"event {seq}") for seq in range(first, last)
        ]
        snapshot = snapshots.snapshot()
        engine = msgspec.structs.replace(snapshot.engine, started_at_ns=started_at_ns)
        after = ConsoleState(
            snapshot=msgspec.structs.replace(snapshot, events=events, engine=engine), link=Link.LIVE
        )
        happenings.follow(before, after)
        before = after

    hear(5, 10)
    hear(7, 12)
    assert happenings.missed == 0
    hear(14, 15)
    assert happenings.missed == 2
    hear(1, 3, started_at_ns=2)
    texts = [each.text for each in happenings.newest_first() if each.origin == "engine"]
    assert sorted(texts) == sorted(f"event {seq}" for seq in (5, 6, 7, 8, 9, 10, 11, 14, 1, 2))
    hear(3, CAPACITY + 100, started_at_ns=2)
    assert len([each for each in happenings.newest_first() if each.origin == "engine"]) == CAPACITY


async def test_a_console_that_only_looks_dims_contributing_and_acknowledging(
    paths: ProfilePaths, peer: Peer
) -> None:
    async with Console.attached(paths, preferences=Preferences(is_read_only=True)) as console:
        await console.press("a")
        await console.says("by nobody yet")
        await console.press("x", "f")
        await console.says("MOVEMENTS")
        await console.press("c", "t")
        await console.says("emergency-stop")
        assert peer.commands == []


async def test_the_detail_says_why_and_the_record_answers_for_a_position_that_is_gone(
    console: Console, peer: Peer
) -> None:
    await console.press("enter")
    await console.says("WHY, AND WHY NOT")
    await console.says("0.900 is below 1")
    await console.press("escape", "h")
    await console.says("exceeded CUs")
    await peer.push(msgspec.structs.replace(peer.snapshot, at_risk=[]))
    peer.pages["/liquidations/recent"] = records.history(0)
    await console.press("enter")
    await console.says("none is recorded: this engine did nothing with it")
