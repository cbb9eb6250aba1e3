"""On a terminal that is too small for the panes every dialog can still be read, answered and left."""

from __future__ import annotations

from collections.abc import Sequence

from consoles import Console
from peer import Peer
from textual.widgets import Button, Input

from tui.lines import Lines

DIALOGS = {
    "quit": (("q",), ("Leave running (l)", "Stop engine (s)", "Stay (esc)")),
    "retry": (("3", "r"), ("Cancel", "Retry (y)")),
    "retry of all": (("3", "R"), ("Cancel", "Retry all")),
    "clear queue": (("c",), ("Cancel", "Clear (y)")),
    "contribute": (("f", "c"), ("Cancel", "Contribute")),
    "explorer": (("1", "x"), ("Close (esc)",)),
    "resume": (("ctrl+e", "u"), ("Cancel", "Resume")),
}
SMALLEST, TOO_SMALL = (60, 16), (40, 10)


async def shrink(console: Console, size: tuple[int, int], *wanted: str) -> None:
    """Give the console this size; return when all that is wanted is seen between the banner and the keys."""
    await console.pilot.resize_terminal(*size)

    def is_laid_out() -> bool:
        first, *between, last = console.screen_text().splitlines()
        return (
            console.app.screen.size == size
            and first.startswith((" ● RUNNING", " ■ STOPPED"))
            and "ctrl+e STOP" in last
            and all(any(text in line for line in between) for text in wanted)
        )

    await console.until(is_laid_out)


async def opened(console: Console, keys: Sequence[str]) -> None:
    for key in keys:
        await console.press(key)
        if key == "ctrl+e":
            await console.says("■ STOPPED")
    await console.until(lambda: isinstance(console.app.focused, Button))


async def test_every_choice_is_seen_between_the_banner_and_the_keys(console: Console, peer: Peer) -> None:
    await shrink(console, SMALLEST)
    for name, (keys, choices) in DIALOGS.items():
        await opened(console, keys)
        title = f"─ {console.app.screen.query_one('#box').border_title} ─"
        for size in (SMALLEST, TOO_SMALL):
            await shrink(console, size, title, *choices)
        assert console.app.focused is console.app.screen.query(Button).first()
        await console.pilot.resize_terminal(*SMALLEST)
        await console.press("escape", *(("escape",) if name == "contribute" else ()))
        await console.says("AT RISK")


async def test_what_has_no_room_is_scrolled_to_with_the_arrows_and_line_by_line(
    console: Console, peer: Peer
) -> None:
    await opened(console, DIALOGS["retry"][0])
    await shrink(console, TOO_SMALL)
    last = console.app.screen.query_one("#text", Lines).plain.splitlines()[-1].strip()
    assert last not in console.screen_text()
    while last not in console.screen_text():
        before = console.app.screen.query_one("#said").scroll_y
        await console.press("down")
        await console.until(lambda before=before: console.app.screen.query_one("#said").scroll_y > before)
    assert "Retry (y)" in console.screen_text()
    assert peer.commands == []


async def test_a_resume_is_seen_whole_at_80_by_24(console: Console, peer: Peer) -> None:
    peer.checks = (peer.checks * 2)[:9]  # as many as an engine has
    await console.pilot.resize_terminal(80, 24)
    await opened(console, DIALOGS["resume"][0])
    await console.says("reconciled")
    await console.until(lambda: console.app.screen.query_one("#said").max_scroll_y == 0)
    await shrink(console, (80, 24), "type RESUME to confirm", "Cancel", "Resume")
    assert "ctrl+e stops at once" not in console.screen_text()


async def test_what_is_typed_into_is_scrolled_to(console: Console, peer: Peer) -> None:
    await opened(console, DIALOGS["resume"][0])
    await console.says("reconciled")
    await shrink(console, TOO_SMALL)
    for field in ("reason", "word"):
        await console.press("tab")
        await console.until(
            lambda field=field: console.app.focused is console.app.screen.query_one(f"#{field}")
        )
        await console.press("R", "E")
        await console.says("│ RE")
        assert isinstance(console.app.focused, Input)
