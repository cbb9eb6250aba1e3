"""The operator's own keys: they work, they are shown, and a file that would lose one is refused in a line."""

from __future__ import annotations

from pathlib import Path

import pytest
from consoles import Console
from peer import Peer

from engine.paths import ProfilePaths
from tui.app import ConsoleApp
from tui.keymap import KeysRefused, all_bindings, checked, help_groups, read_keymap
from tui.live_table import LiveTable
from tui.panes.sifted_pane import SiftedPane
from tui.preferences import Preferences
from tui.screens.main import MainScreen


def test_every_binding_has_an_id_of_its_own() -> None:
    nameless = [placed for placed in all_bindings() if not placed.binding.id]
    assert nameless == []
    actions: dict[str, set[str]] = {}
    for _, binding in all_bindings():
        actions.setdefault(binding.id or "", set()).add(binding.action)
    assert {name: found for name, found in actions.items() if len(found) > 1} == {}


def test_the_keys_that_are_in_force_together_on_the_main_screen_are_different() -> None:
    seen: dict[str, str] = {}
    for where, binding in all_bindings():
        if where in (ConsoleApp, MainScreen, SiftedPane, LiveTable):
            assert seen.setdefault(binding.key, str(binding.id)) == binding.id, binding.key
    assert len(seen) > 40


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"main.retri": "x"}, 'did you mean "main.retry"?'),
        ({"nonsense": "x"}, "`?` in the console names them"),
        ({"app.stop": "f9"}, '"app.stop" keeps its key'),
        ({"app.quit": "f9"}, '"app.quit" keeps its key'),
        ({"dialog.cancel": "f9"}, '"dialog.cancel" keeps its key'),
        ({"main.retry": "ctrl+e"}, "belongs to stopping"),
        ({"main.retry": "f5,escape"}, "belongs to stopping"),
        ({"main.retry": "d"}, '"d" would be both "main.retry" and "main.dismiss"'),
        ({"place.history": "m"}, '"m" would be both "place.history" and "history.market"'),
        ({"main.retry": "b", "main.zoom": "b"}, '"b" would be both'),
        ({"main.retry": "l", "place.risk": "b"}, '"quit.leave"'),  # a dialog's key must not open it
        ({"main.retry": "retry"}, "is no key"),
        ({"main.retry": "hyper+blah"}, "is no key"),
        ({"main.retry": 3}, "needs keys as text"),
        ({"main.retry": ""}, "needs keys as text"),
    ],
)
def test_a_file_that_would_lose_or_invent_a_key_is_refused(keys: dict[str, object], reason: str) -> None:
    with pytest.raises(KeysRefused) as refused:
        checked({"keys": keys}, all_bindings())
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_no_toml_or_has_other_tables_names_itself(tmp_path: Path) -> None:
    assert read_keymap(tmp_path, all_bindings()) == {}
    file = tmp_path / "keys.toml"
    for content in ("[keys", "[other]\na = 1", 'keys = "r"'):
        file.write_text(content)
        with pytest.raises(KeysRefused, match=r"keys\.toml"):
            read_keymap(tmp_path, all_bindings())


async def test_two_commands_can_change_places_and_help_shows_their_new_keys(
    paths: ProfilePaths, peer: Peer
) -> None:
    keymap = checked({"keys": {"main.retry": "d", "main.dismiss": "r", "app.pause": "f4"}}, all_bindings())
    async with Console.attached(paths, preferences=Preferences(keymap=keymap)) as console:
        await console.press("3", "r")
        await peer.command("dismiss/failed0")
        await console.press("d")
        await console.says("Try this liquidation again?")
        await console.press("escape", "p", "f4")
        await console.says("‖ display held")
        await console.press("question_mark")
        await console.says("Everywhere")
        assert "f4" in console.screen_text()


def test_help_has_every_command_of_the_app_once() -> None:
    groups = dict(help_groups(all_bindings()))
    names = [binding.id for binding in groups["Everywhere"]]
    assert {f"{binding.id}" for binding in ConsoleApp.BINDINGS} <= {*names}  # type: ignore[union-attr]
    actions = [binding.action for binding in groups["Everywhere"]]
    assert len(actions) == len(set(actions))
