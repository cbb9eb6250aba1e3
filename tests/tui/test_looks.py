"""Themes that can be read, ASCII of the same width, the file, copies, links, consoles that only look."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import snapshots
from consoles import Console
from peer import Peer
from rich.cells import cell_len
from textual.widgets import Input

from engine.paths import ProfilePaths
from tui.ascii_glyphs import to_ascii
from tui.clipboard import LONGEST_COPY_BYTES, TooLongToCopy, copy_sequence
from tui.explorer import has_browser, link_to
from tui.plan import Choices
from tui.preferences import Preferences, PreferencesRefused, read_preferences, speaks_ascii_only
from tui.theme import COLOURS, FIXED, contrast


@pytest.mark.parametrize("name", FIXED)
def test_every_colour_of_a_theme_stands_out_from_its_background(name: str) -> None:
    least = 7.0 if name == "high-contrast" else 4.5
    for colour in COLOURS[1:]:
        assert contrast(FIXED[name][colour], FIXED[name]["background"]) >= least, colour


def test_glyphs_become_ascii_of_the_same_width() -> None:
    for text in ("● ■ ◐ ▲ ✕ ◆ ▸", "─│┤├┼╭╮", "▁▂▃▄▅▆▇█ ━╸ ░┃", "永久 é … ± ⏎"):
        assert to_ascii(text).isascii()
        assert len(to_ascii(text)) == cell_len(text)
    assert len({to_ascii(shape) for shape in "●■◐▲✕◆"}) == 6


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_an_ascii_console_paints_nothing_else(
    paths: ProfilePaths, peer: Peer, size: tuple[int, int]
) -> None:
    async with Console.attached(paths, size=size, preferences=Preferences(is_ascii=True)) as console:
        await console.says("* RUNNING")
        assert console.screen_text().isascii()
        await console.press("q")
        await console.says("Leave running")
        assert console.screen_text().isascii()


@pytest.mark.parametrize(
    ("environment", "is_ascii"),
    [
        ({}, False),
        ({"LANG": "en_US.UTF-8"}, False),
        ({"LANG": "C.UTF-8"}, False),
        ({"LANG": "en_US.ISO-8859-1"}, True),
        ({"LC_ALL": "C", "LANG": "en_US.UTF-8"}, True),
    ],
)
def test_the_locale_says_whether_glyphs_can_be_shown(environment: dict[str, str], is_ascii: bool) -> None:
    assert speaks_ascii_only(environment) is is_ascii


OWN = "\n".join(f'{name} = "{colour}"' for name, colour in FIXED["dark"].items())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("theme = ", "cannot be read"),
        ('theme = "pink"', "there is no theme 'pink'"),
        ('theme = "own"', "needs its colours"),
        ("ascii = 1", "write true or false"),
        ("colour = 1", '"colour" is not known'),
        ('[colours]\nbackground = "#000000"', "needs these and no others"),
        ("[colours]\n" + OWN.replace("#e6e9ef", "#333333"), "foreground has a contrast of"),
        ("[colours]\n" + OWN.replace("#e6e9ef", "white"), "no colour"),
    ],
)
def test_a_file_that_cannot_be_followed_is_named_with_the_remedy(
    tmp_path: Path, content: str, reason: str
) -> None:
    (tmp_path / "console.toml").write_text(content)
    with pytest.raises(PreferencesRefused) as refused:
        read_preferences(tmp_path, Choices(), {}, {})
    assert reason in str(refused.value)
    assert "console.toml: " in str(refused.value)


def test_the_command_line_goes_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "console.toml").write_text('theme = "own"\nascii = true\nmouse = false\n[colours]\n' + OWN)
    kept = read_preferences(tmp_path, Choices(), {}, {})
    assert (kept.theme, kept.is_ascii, kept.has_mouse) == ("own", True, False)
    chosen = read_preferences(tmp_path, Choices("light", ascii=False, mouse=True, read_only=True), {}, {})
    assert (chosen.theme, chosen.is_ascii, chosen.has_mouse, chosen.is_read_only) == (
        "light",
        False,
        True,
        True,
    )


def test_a_copy_goes_through_tmux_and_is_capped() -> None:
    plain = f"\x1b]52;c;{base64.b64encode(b'9aQr').decode()}\x07"
    assert copy_sequence("9aQr", {}) == plain
    wrapped = copy_sequence("9aQr", {"TMUX": "/tmp/tmux"})
    assert wrapped == plain + "\x1bPtmux;\x1b" + plain + "\x1b\\"
    with pytest.raises(TooLongToCopy):
        copy_sequence("x" * (LONGEST_COPY_BYTES + 1), {})


def test_only_base58_on_a_public_cluster_becomes_a_link() -> None:
    address = snapshots.address(1)
    assert link_to(address, "mainnet") == f"https://explorer.solana.com/address/{address}"
    assert link_to(snapshots.signature(1), "devnet") == (
        f"https://explorer.solana.com/tx/{snapshots.signature(1)}?cluster=devnet"
    )
    assert link_to(address, "sandbox") is None
    assert link_to(address + "\x1b", "mainnet") is None
    assert not has_browser({"DISPLAY": ":0", "SSH_CONNECTION": "1 2 3 4"})


async def test_a_console_that_only_looks_refuses_everything_but_the_stop(
    paths: ProfilePaths, peer: Peer
) -> None:
    async with Console.attached(paths, preferences=Preferences(is_read_only=True)) as console:
        await console.press("3", "r", "d", "R", "c")
        await console.app._commands.clear_queue()
        await console.says("this console only looks")
        assert peer.commands == []
        await console.press("ctrl+e")
        await peer.command("emergency-stop")
        assert [name for name, _ in peer.commands] == ["emergency-stop"]


async def test_a_retry_of_all_alike_names_them_and_wants_the_word(console: Console, peer: Peer) -> None:
    await console.press("3", "R")
    await console.says("Try all 2 again that failed with exceeded CUs?")
    await console.press("R", "y", "enter")
    await console.until(lambda: "Try all" not in console.screen_text())
    assert peer.commands == []
    await console.press("R")
    await console.says("type RETRY to confirm")
    console.app.screen.query_one("#word", Input).focus()
    await console.press(*"RETRY", "enter")
    assert await peer.command("retry-all") == {"outcome": "exceeded CUs"}
