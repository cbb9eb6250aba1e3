"""What docs/console.md says of keys, filters and files is what the console does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from textual.binding import Binding

import tui.app
from tui.keymap import SAFE_KEYS, all_bindings, checked
from tui.panes.at_risk import AtRiskPane
from tui.panes.events import EventsPane
from tui.panes.failed import FailedPane
from tui.panes.queue import QueuePane
from tui.places import PLACES
from tui.plan import Choices
from tui.preferences import read_preferences
from tui.query import parse
from tui.theme import FIXED

assert tui.app  # it brings every screen with it, whose bindings are asked for
TEXT = (Path(__file__).parents[2] / "docs" / "console.md").read_text()
FILES = {
    re.match(r"# (\w+)", block)[1]: block  # type: ignore[index]
    for block in re.findall(r"^```toml\n(.*?)^```", TEXT, re.M | re.S)
}


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its two header lines."""
    section = TEXT.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def spoken(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def normal(key: str) -> str:
    (binding,) = Binding.make_bindings([Binding(key, "none")])
    return binding.key


@pytest.mark.parametrize("heading", ["Keys everywhere", "The main screen"])
def test_every_documented_key_is_the_one_of_the_command_that_is_named_beside_it(heading: str) -> None:
    keys_of: dict[str, set[str]] = {}
    for _, binding in all_bindings():
        keys_of.setdefault(binding.id or "", set()).add(binding.key)
    for keys, _, names in rows(heading):
        pressed = {normal(key) for key in spoken(keys)}
        if not spoken(names):
            assert pressed <= SAFE_KEYS, keys
            continue
        assert set(spoken(names)) <= keys_of.keys(), names
        assert pressed <= set().union(*(keys_of[name] for name in spoken(names))), keys


def test_every_place_is_documented_under_its_key() -> None:
    documented = {spoken(key)[0]: name for key, name, _ in rows("Places")}
    assert {place.key: place.name for place in PLACES} | {"enter": "position"} == documented


def test_the_documented_fields_are_those_that_filters_know() -> None:
    told = TEXT.split("\nFields of the positions:", 1)[1].split("What is not known", 1)[0]
    panes = (AtRiskPane, QueuePane, FailedPane, EventsPane)
    assert [tuple(each.split()) for each in spoken(told)] == [pane.FIELDS for pane in panes]


def test_the_documented_terms_are_understood() -> None:
    for term in (each for cells in rows("Filters") for each in spoken(cells[0])):
        assert parse(term, AtRiskPane.FIELDS), term


def test_the_documented_files_are_followed(tmp_path: Path) -> None:
    (tmp_path / "console.toml").write_text(FILES["console"])
    kept = read_preferences(tmp_path, Choices(), {}, {})
    assert kept.theme == "own"
    assert kept.own_theme is not None
    assert checked(tomllib.loads(FILES["keys"]), all_bindings()) == {
        "main.retry": "ctrl+r",
        "place.history": "H,f5",
    }


def test_the_documented_themes_are_all_there_are() -> None:
    (row,) = [cells for cells in rows("How it looks") if "--theme" in cells[0]]
    assert set(spoken(row[1])) == {"terminal", *FIXED, "own"}
