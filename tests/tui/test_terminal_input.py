"""Whatever a terminal sends, the console lives on, and the stop key is heard."""

from __future__ import annotations

import contextlib
from random import Random

import pytest
from terminals import TerminalConsole
from textual import events
from textual._xterm_parser import XTermParser

from engine.paths import ProfilePaths
from tui.terminal_input import TypedText

SEEDS = range(20)
_PRESSES = 20
PIECES = (
    b"\x1b",
    b"\x1b[200~",
    b"\x1b[201~",
    b"\x1b[<0;1;1M",
    b"\x1b]52;c;",
    b"\x07",
    b"\xff\xfe",
    b"\xc3",
    b"\x00",
    b"q",
)


def keys(*reads: bytes) -> list[str]:
    """The keys that Textual makes of these reads; a paste is told as its text."""
    typed, parser = TypedText(), XTermParser()
    told = [event for data in reads if (text := typed.of(data)) for event in parser.feed(text)]
    return [
        event.text if isinstance(event, events.Paste) else event.key
        for event in told
        if hasattr(event, "key") or isinstance(event, events.Paste)
    ]


def test_letters_in_pieces_are_letters_and_what_is_no_utf_8_is_left_out() -> None:
    assert keys(b"\xc3", b"\xa9") == ["é"]
    assert keys(b"a\xff\xfe\xe9b") == ["a", "b"]


def test_a_paste_is_one_text_whatever_pieces_it_comes_in() -> None:
    assert keys(b"\x1b[20", b"0~stop\x05", b"\x05now\x1b[2", b"01~", b"q") == ["stop\x05\x05now", "q"]


def test_the_stop_key_ends_a_paste_that_began_in_pieces_and_none_that_has_ended() -> None:
    assert keys(b"\x1b[20", b"0~half", b"\x05", b"q") == ["half", "ctrl+e", "q"]
    assert keys(b"\x1b[200~whole\x1b[20", b"1~", b"\x05", b"q") == ["whole", "ctrl+e", "q"]


@pytest.mark.parametrize("key", [b"\x05", b"\x1b[101;5u"])
def test_the_stop_key_ends_a_paste_whose_end_never_came(key: bytes) -> None:
    assert keys(b"\x1b[200~half a paste", b"qqq", key, b"q") == ["half a pasteqqq", "ctrl+e", "q"]


@pytest.mark.parametrize("seed", SEEDS)
def test_no_bytes_break_the_reader(seed: int) -> None:
    dice = Random(seed)
    noise = [
        dice.choice(PIECES) if dice.random() < 0.5 else dice.randbytes(dice.randrange(1, 40))
        for _ in range(300)
    ]
    assert keys(*noise)


def test_bytes_that_are_no_text_do_not_end_a_console_and_an_open_paste_does_not_hide_the_stop_key(
    served: ProfilePaths,
) -> None:
    with TerminalConsole(served.state, served.runtime) as terminal:
        terminal.shows("● RUNNING")
        terminal.send(b"\xff\xfe\xe9")
        terminal.send(b"\x1b[200~a paste that never ends")
        stopped = "STOPP"  # of STOPPING, or of STOPPED where the answer was there first
        for _ in range(_PRESSES):
            terminal.send(b"\x05")  # pressed again, as one would: keys that are read together are a paste
            with contextlib.suppress(AssertionError):
                terminal.shows(stopped, deadline_s=1.0)
                return
        terminal.shows(stopped)
