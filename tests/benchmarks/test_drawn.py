"""The screen that tests and benchmarks look at is the one that a terminal would show."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.drawn import Drawn

WRITTEN = (
    "it was here before me\x1b]22;default\x07\x1b[?1049h\x1b[?25l\x1b[>25u\x1b[?2026$p\x1b(B"
    "\x1b[1;1H\x1b[1;91m● RUNNING\x1b[0m 日本\x1b[2;3H\x1b[39;49mSTOPPING\x1b[2;8HED \x1b[3;1Hone\r\ntwo"
).encode()
SHOWN = ["● RUNNING 日本", "  STOPPED", "one", "two"]


def lines(screen: Drawn) -> list[str]:
    return [line.rstrip() for line in screen.text.splitlines()]


@given(st.lists(st.integers(0, len(WRITTEN))))
def test_it_is_the_same_whatever_pieces_the_bytes_come_in(cuts: list[int]) -> None:
    screen = Drawn(24, 4)
    ends = [0, *sorted(cuts), len(WRITTEN)]
    for begin, end in pairwise(ends):
        screen.take(WRITTEN[begin:end])
    assert lines(screen) == SHOWN


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is missing (Debian: apt-get install tmux)")
def test_tmux_shows_the_same(tmp_path: Path) -> None:
    (tmp_path / "written").write_bytes(WRITTEN)
    tmux = ["tmux", "-u", "-S", str(tmp_path / "tmux"), "-f", "/dev/null"]
    program = f"stty raw; cat {shlex.quote(str(tmp_path / 'written'))}; exec sleep 60"
    subprocess.run([*tmux, "new-session", "-d", "-x", "24", "-y", "4", program], check=True)
    try:
        deadline_s = time.monotonic() + 30
        shown: list[str] = []
        while shown != SHOWN and time.monotonic() < deadline_s:
            told = subprocess.run([*tmux, "capture-pane", "-p"], capture_output=True, check=True).stdout
            shown = [line.rstrip() for line in told.decode().splitlines()]
    finally:
        subprocess.run([*tmux, "kill-server"], check=False, capture_output=True)
    assert shown == SHOWN


def test_a_text_of_which_a_part_stood_there_is_shown_and_what_was_not_written_since_is_old() -> None:
    screen = Drawn(24, 2)
    screen.take(b"\x1b[1;1HSTOPPING\x1b[2;1HRUNNING")
    assert not screen.shows("STOPPED")
    before = screen.written
    screen.take(b"\x1b[1;6HED ")
    assert screen.shows("STOPPED", before)
    assert screen.shows(re.compile(r"STO\w+ED\b"), before)
    assert screen.shows("RUNNING")
    assert not screen.shows("RUNNING", before)
    assert not screen.shows("STOPPED RUNNING")
