"""What strangers wrote reaches a terminal as plain text or not at all: tested on bytes."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from consoles import Console
from hostile import HOSTILE, hostile_snapshot
from peer import Peer
from terminals import TerminalConsole

from engine.api import wire
from engine.api.clean import _HARMLESS, clean
from engine.paths import ProfilePaths
from tui.lines import span


def test_what_is_let_through_at_a_look_is_what_the_whole_cleaning_leaves_of_it() -> None:
    signs = [sign for sign in map(chr, range(0x3000)) if _HARMLESS.fullmatch(sign)]
    assert {*"aZ09 ~…·×–−≈≤≥→"} <= {*signs}
    for sign in signs:
        assert clean(f"a{sign}b\u200b", 50) == clean(f"a{sign}b", 50) == f"a{sign}b"


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


# What the console itself writes: cursor, colours, modes, the pointer's shape, questions to the terminal.
_OURS = re.compile(r"\x1b\[[?>=<]?[0-9;:]*\$?[A-Za-z]|\x1b[78=>]|\x1b\(B|\x1b\]22;[a-z-]*\x07")
_NEVER = ("\x1b[2J", "\x1b]0", "\x1b]52", "\x1bP", "\x1b_", "owned", "c3dhcHBlZA")


@pytest.fixture
def hostile_engine(paths: ProfilePaths) -> Iterator[ProfilePaths]:
    """A profile whose engine serves nothing but hostile texts, in a process of its own."""
    script = Path(__file__).parent / "hostile.py"
    peer = subprocess.Popen([sys.executable, str(script), str(paths.socket)], stdout=subprocess.PIPE)
    assert peer.stdout is not None
    assert peer.stdout.readline() == b"ready\n"
    yield paths
    peer.kill()
    peer.wait()
    peer.stdout.close()


def test_no_byte_of_what_strangers_wrote_commands_the_terminal(hostile_engine: ProfilePaths) -> None:
    escape = b"\x1b[27u"  # as terminals write it that tell an escape key from a sequence's begin
    places = (
        (b"3r", "Try this liquidation again?"),
        (escape + b"\r", "POSITION"),
        (escape + b"u", "type RESUME"),
        (escape + b"l", "UNKNOWN"),
        (b"g", "LOG"),
        (b"a", "ALERTS"),
        (b"h", "HISTORY"),
        (b"t", "AUDIT"),
        (b"s", "SETTINGS"),
        (b"?", "Everywhere"),
    )
    with TerminalConsole(hostile_engine.state, hostile_engine.runtime) as terminal:
        terminal.shows("■ STOPPED")
        for keys, landmark in places:
            seen = terminal.screen.written
            terminal.send(keys)
            terminal.shows(landmark, since=seen)
        written = terminal.output.decode()
    text = _OURS.sub("", written)
    left = {character for character in text if not character.isprintable()} - {"\r", "\n"}
    assert {f"{ord(character):x}" for character in left} == set()
    assert "[/red][bold]x[/]" in text
    assert [each for each in _NEVER if each in written] == []
