"""What strangers wrote reaches a terminal as plain text or not at all: tested on bytes."""

from __future__ import annotations

import random
import unicodedata

import msgspec
import pytest
import snapshots
from consoles import Console
from peer import Peer

from engine.api import wire
from engine.api.clean import clean
from tui.lines import span

HOSTILE = (
    "\x1b]0;owned\x07"
    "\x1b[2J\x1b[31m[/red][bold]x[/]"
    "\x1b]52;c;c3dhcHBlZA==\x1b\\"
    "\x9b2J\x9d0;c1\x9c"
    "\u202egnp\u2066.exe\u200b"
    "\x00\x08\x7f\r\n\tend"
)


def test_escape_sequences_go_with_their_parameters() -> None:
    assert clean("\x1b[31mred\x1b[0m", 50) == "red"
    assert clean("a\x1b]0;title\x07b", 50) == "ab"
    assert clean("a\x1b]52;c;payload\x1b\\b", 50) == "ab"
    assert clean("a\x9b1mb\x9d0;t\x9cc", 50) == "abc"
    assert clean("a\x1bcb", 50) == "ab"


def test_an_unfinished_sequence_cannot_swallow_the_text_behind_it() -> None:
    assert clean("a\x1b]0;rest of the message", 50) == "a0;rest of the message"
    assert clean("a\x1b[", 50) == "a"
    assert clean("\x1b\x1b[31m[31mx", 50) == "[31mx"


def test_what_hides_or_reorders_text_goes() -> None:
    assert clean("ab\u202ecd\u2066e\u200bf\ufeffg\u00adh", 50) == "abcdefgh"
    assert clean("a\u3164b\u2800c\U000e0041d\ue000e", 50) == "abcde"


def test_lines_and_tabs_become_one_space() -> None:
    assert clean("a\r\n\tb\u2028c\u00a0d", 50) == "a b c d"


def test_marks_in_a_row_are_capped() -> None:
    assert clean("e" + "\u0301" * 50 + "x", 200) == "e\u0301\u0301x"
    assert clean("e" + "\u0301\u200b" * 50 + "x", 300) == "e\u0301\u0301x"


def test_long_text_is_cut_with_an_ellipsis_and_work_is_bounded() -> None:
    assert clean("x" * 10, 10) == "x" * 10
    assert clean("x" * 11, 10) == "x" * 9 + "…"
    assert clean("\x1b[31m" * 10**6 + "x", 10) == "…"
    assert len(clean("é" * 10**7, 200)) == 200


def test_a_limit_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        clean("x", 0)


def test_plain_text_of_any_script_passes_unchanged() -> None:
    for text in ("SOL/USD", "žluťoučký kůň", "永久先物", "हिन्दी", "−0.8 % → 92.41 · “ok”"):
        assert clean(text, 100) == text


def test_nothing_unprintable_survives_whatever_is_thrown_at_it() -> None:
    dice = random.Random(7)
    alphabet = [
        *"abc[]()/;?m\\",
        "\x1b",
        "\x07",
        "\x9b",
        "\x9d",
        "\x9c",
        "\u202e",
        "\u0301",
        "\n",
        "\ud800",
        "日",
    ]
    for _ in range(3_000):
        text = "".join(dice.choice(alphabet) for _ in range(dice.randrange(40)))
        cleaned = clean(text, 30)
        assert len(cleaned) <= 30
        assert cleaned.isprintable(), (text, cleaned)
        assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs") for character in cleaned)
        assert clean(cleaned, 30) == cleaned


def test_a_span_is_clean_even_when_its_maker_forgot() -> None:
    assert span(HOSTILE).text.isprintable()


def hostile_snapshot(snapshot: wire.Snapshot) -> wire.Snapshot:
    """An engine that forgot to clean: every text that can be is hostile."""
    texts = {"by": HOSTILE, "reason": HOSTILE}
    return msgspec.structs.replace(
        snapshot,
        gate=snapshots.gate("stopped", 5, **texts),
        engine=msgspec.structs.replace(snapshot.engine, cluster=HOSTILE, degraded=[HOSTILE]),
        wallet=msgspec.structs.replace(snapshot.wallet, address=HOSTILE),
        database=msgspec.structs.replace(snapshot.database, state=HOSTILE, message=HOSTILE),
        at_risk=[
            msgspec.structs.replace(
                row, symbol=HOSTILE, side=HOSTILE, owner=HOSTILE, why=HOSTILE, band=HOSTILE
            )
            for row in snapshot.at_risk
        ],
        queue=[
            msgspec.structs.replace(row, symbol=HOSTILE, action=HOSTILE, stage=HOSTILE)
            for row in snapshot.queue
        ],
        failed=[
            msgspec.structs.replace(
                row, address=HOSTILE, symbol=HOSTILE, outcome=HOSTILE, message=HOSTILE, next_step=HOSTILE
            )
            for row in snapshot.failed
        ],
        prices=[msgspec.structs.replace(row, symbol=HOSTILE, verdict=HOSTILE) for row in snapshot.prices],
        events=[msgspec.structs.replace(row, level=HOSTILE, text=HOSTILE) for row in snapshot.events],
    )


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
async def test_no_pane_passes_hostile_text_on(console: Console, peer: Peer, size: tuple[int, int]) -> None:
    await console.pilot.resize_terminal(*size)
    peer.checks = [wire.ResumeCheck(name=HOSTILE, ok=False, detail=HOSTILE)]
    peer.refusal = wire.ErrorBody(code="x", message=HOSTILE)
    await peer.push(hostile_snapshot(peer.snapshot))
    await console.says("■ STOPPED")
    for keys in ((), ("3", "r"), ("escape", "1", "enter"), ("escape", "u"), ("escape", "3", "d"), ("4",)):
        await console.press(*keys)
        await console.pilot.pause()
        painted = console.screen_text().replace("\n", "")
        assert painted.isprintable(), [c for c in painted if not c.isprintable()]
        assert "[/red][bold]x[/]" in painted or size == (80, 24)
    assert console.app.is_running
