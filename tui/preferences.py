"""How the operator likes the console: `console.toml`, and what the command line says over it.

`$XDG_CONFIG_HOME/liquidation-engine/console.toml`, every line of it optional:

    theme = "light"      # terminal, dark, light, high-contrast, colour-blind, or own
    ascii = true         # glyphs that every terminal has
    mouse = false        # leave the mouse to the terminal
    read_only = true     # look, and stop; command nothing else

    [colours]            # the theme "own": all seven, each readable on the background
    background = "#101010"

It is read before the screen is taken: what is wrong with it is one line on a terminal that works.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textual.color import Color, ColorParseError
from textual.theme import Theme

from engine.errors import OperatorError
from tui.plan import Choices
from tui.theme import COLOURS, DEFAULT_THEME, FIXED, LEAST_CONTRAST, OWN_THEME, contrast, fixed_theme

FILE_NAME = "console.toml"
_LONGEST_FILE = 64 * 1024
_SWITCHES = ("ascii", "mouse", "read_only")


class PreferencesRefused(OperatorError):
    """The operator's file cannot be followed."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """How one console looks and behaves. `own_theme` is the one of the operator's file, if it has one."""

    theme: str = DEFAULT_THEME
    own_theme: Theme | None = None
    is_ascii: bool = False
    has_mouse: bool = True
    is_read_only: bool = False
    keymap: Mapping[str, str] = field(default_factory=dict)


def config_folder(environment: Mapping[str, str]) -> Path:
    """Where the operator's files are, by the XDG convention."""
    base = environment.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".config") / "liquidation-engine"


def speaks_ascii_only(environment: Mapping[str, str]) -> bool:
    """Whether the locale names an encoding that is not UTF-8; one that names none is taken for UTF-8."""
    locale = next((environment[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), "")
    if locale in ("C", "POSIX"):
        return True
    encoding = locale.partition(".")[2].partition("@")[0].lower().replace("-", "")
    return encoding not in ("", "utf8")


def read_preferences(
    folder: Path, choices: Choices, environment: Mapping[str, str], keymap: Mapping[str, str]
) -> Preferences:
    """The file of a folder under what was chosen on the command line. Raises PreferencesRefused."""
    path = folder / FILE_NAME
    try:
        data = _read(path)
        own = _own_theme(data.get("colours"))
        switches = {name: _switch(data, name) for name in _SWITCHES}
        unknown = sorted(set(data) - {"theme", "colours", *_SWITCHES})
        if unknown:
            known = ", ".join(("theme", "colours", *_SWITCHES))
            raise PreferencesRefused(f'"{unknown[0]}" is not known: {known} are')
        chosen = _theme(data.get("theme", DEFAULT_THEME), own)
    except PreferencesRefused as error:
        raise PreferencesRefused(f"{path}: {error}") from None
    if choices.theme is not None:
        try:
            chosen = _theme(choices.theme, own)
        except PreferencesRefused as error:
            raise PreferencesRefused(f"--theme: {error}") from None
    is_ascii = choices.ascii if choices.ascii is not None else switches["ascii"]
    has_mouse = choices.mouse if choices.mouse is not None else switches["mouse"]
    return Preferences(
        theme=chosen,
        own_theme=own,
        is_ascii=speaks_ascii_only(environment) if is_ascii is None else is_ascii,
        has_mouse=True if has_mouse is None else has_mouse,
        is_read_only=choices.read_only or bool(switches["read_only"]),
        keymap=keymap,
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.loads(file.read(_LONGEST_FILE).decode())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise PreferencesRefused(f"it cannot be read ({error}): mend it, or move it away") from error


def _switch(data: Mapping[str, Any], name: str) -> bool | None:
    value = data.get(name)
    if value is not None and not isinstance(value, bool):
        raise PreferencesRefused(f"{name} is {value!r}: write true or false")
    return value


def _theme(name: object, own: Theme | None) -> str:
    known = [DEFAULT_THEME, *FIXED, *([OWN_THEME] if own is not None else [])]
    if name == OWN_THEME and own is None:
        raise PreferencesRefused(f"the theme {OWN_THEME} needs its colours: write a table [colours]")
    if not isinstance(name, str) or name not in known:
        raise PreferencesRefused(f"there is no theme {name!r}: take one of {', '.join(known)}")
    return name


def _own_theme(table: object) -> Theme | None:
    if table is None:
        return None
    if not isinstance(table, dict) or set(table) != set(COLOURS):
        raise PreferencesRefused(f"[colours] needs these and no others: {', '.join(COLOURS)}")
    colours = {name: _colour(name, table[name]) for name in COLOURS}
    for name in COLOURS[1:]:
        ratio = contrast(colours[name], colours["background"])
        if ratio < LEAST_CONTRAST:
            raise PreferencesRefused(
                f"{name} has a contrast of {ratio:.1f}:1 with the background: "
                f"make it {LEAST_CONTRAST}:1 or more"
            )
    return fixed_theme(OWN_THEME, colours)


def _colour(name: str, value: object) -> str:
    try:
        colour = Color.parse(value) if isinstance(value, str) and value.startswith("#") else None
    except ColorParseError:
        colour = None
    if colour is None or colour.a != 1:
        raise PreferencesRefused(f'{name} is {value!r}, no colour: write it as "#rrggbb"')
    return colour.hex
