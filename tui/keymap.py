"""Every binding of the console in one list, and the operator's own keys for them, checked before they count.

`$XDG_CONFIG_HOME/liquidation-engine/keys.toml` has one line for each key that is to be another one:

    [keys]
    "main.retry" = "ctrl+r"
    "place.history" = "H,f5"

The keys that keep an operator safe stay where they are, and no other command may take them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from string import punctuation
from typing import Any, NamedTuple

from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import Keys, format_key
from textual.screen import Screen

from engine.errors import OperatorError
from tui.screens.dialog import Dialog

FILE_NAME = "keys.toml"
# Who can press these can stop, leave, cancel, choose and find every command, whatever a file says.
SAFE_KEYS = frozenset({"ctrl+e", "ctrl+c", "q", "ctrl+p", "escape", "enter", "tab", "shift+tab"})
_PACKAGE = "tui."
_NAMED = {each.value for each in Keys if "<" not in each.value} | {
    binding.key
    for character in punctuation.replace(",", "")
    for binding in Binding.make_bindings([Binding(character, "none")])
}
_MODIFIERS = frozenset({"ctrl", "alt", "shift", "meta", "super", "hyper"})
_HEADINGS = {
    "app": "Everywhere",
    "main": "Main screen",
    "pane": "A pane with rows",
    "table": "Moving in a table",
    "place": "Places",
}
_LONGEST_FILE = 64 * 1024


class KeysRefused(OperatorError):
    """The operator's key file cannot be followed."""


class Placed(NamedTuple):
    """A binding of one key, and the class on which it is."""

    where: type[DOMNode]
    binding: Binding


def all_bindings() -> list[Placed]:
    """Every key of the console's own classes that are loaded, one entry for each key of a binding."""
    return [
        Placed(where, binding)
        for where in _own_classes()
        for each in where.__dict__.get("BINDINGS", ())
        if isinstance(each, Binding)
        for binding in Binding.make_bindings([each])
    ]


def _own_classes() -> Iterator[type[DOMNode]]:
    """The classes of the console itself, each once, the app's before those of its screens and widgets."""
    seen: set[type[DOMNode]] = set()
    pending = list(DOMNode.__subclasses__())
    while pending:
        each = pending.pop(0)
        if each in seen:
            continue
        seen.add(each)
        pending += each.__subclasses__()
        if each.__module__.startswith(_PACKAGE):
            yield each


def read_keymap(folder: Path, bindings: Iterable[Placed]) -> dict[str, str]:
    """The key file of a folder as binding id → keys; empty where there is none. Raises KeysRefused."""
    path = folder / FILE_NAME
    try:
        with path.open("rb") as file:
            data = tomllib.loads(file.read(_LONGEST_FILE).decode())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise KeysRefused(f"{path} cannot be read ({error}): mend it, or move it away") from error
    try:
        return checked(data, list(bindings))
    except KeysRefused as error:
        raise KeysRefused(f"{path}: {error}") from None


def checked(data: Mapping[str, Any], bindings: list[Placed]) -> dict[str, str]:
    """A key file's contents as binding id → keys. Raises KeysRefused: what is wrong, how to mend it."""
    table = data.get("keys", {})
    unknown = sorted(set(data) - {"keys"})
    if unknown or not isinstance(table, dict):
        raise KeysRefused(f'"{(unknown or ["keys"])[0]}" does not belong here: write the keys below [keys]')
    default = {placed.binding.id: placed.binding.key for placed in bindings if placed.binding.id}
    keymap = {name: _keys_of(name, value, default) for name, value in table.items()}
    _refuse_clashes(keymap, bindings)
    return keymap


def _keys_of(name: str, value: object, default: Mapping[str, str]) -> str:
    if name not in default:
        near = get_close_matches(name, sorted(default), n=1)
        meant = f'did you mean "{near[0]}"?' if near else "`?` in the console names them"
        raise KeysRefused(f'"{name}" is no command: {meant}')
    if default[name] in SAFE_KEYS:
        raise KeysRefused(f'"{name}" keeps its key, for emergencies: take this line out')
    if not isinstance(value, str) or not value.strip():
        raise KeysRefused(f'"{name}" needs keys as text: "r" or "ctrl+r,f5"')
    return ",".join(_key(name, part.strip()) for part in value.split(","))


def _key(name: str, key: str) -> str:
    *modifiers, base = key.split("+") if len(key) > 1 else [key]
    is_named = base in _NAMED or (len(base) == 1 and base.isprintable() and not base.isspace())
    if not is_named or not _MODIFIERS.issuperset(modifiers):
        raise KeysRefused(f'"{key}" for "{name}" is no key: write it as "r", "R", "ctrl+r" or "f5"')
    (binding,) = Binding.make_bindings([Binding(key, "none")])
    if binding.key in SAFE_KEYS:
        raise KeysRefused(f'"{key}" for "{name}" belongs to stopping, leaving and moving: take another key')
    return binding.key


def _refuse_clashes(keymap: Mapping[str, str], bindings: list[Placed]) -> None:
    """Two commands that can be in force together may not share a key."""
    after = [
        (key, placed)
        for placed in bindings
        for key in (keymap.get(placed.binding.id or "") or placed.binding.key).split(",")
    ]
    moved = [(key, placed) for key, placed in after if placed.binding.id in keymap]
    for key, placed in moved:
        for other_key, other in after:
            is_same = other.binding.id == placed.binding.id
            if key == other_key and not is_same and _meet(placed.where, other.where):
                raise KeysRefused(
                    f'"{format_key(key)}" would be both "{placed.binding.id}" and '
                    f'"{other.binding.id or other.binding.description}": give one of them another key'
                )


def _meet(one: type[DOMNode], other: type[DOMNode]) -> bool:
    """Whether the two may not share a key: bindings that can be in force at once, and any with a dialog's.

    A dialog's key must not be the one that opened it. Two screens are never in force together, unless one is
    a kind of the other; what is the app's or a widget's is in force on every screen.
    """
    if issubclass(one, Dialog) or issubclass(other, Dialog):
        return True
    if issubclass(one, Screen) and issubclass(other, Screen):
        return issubclass(one, other) or issubclass(other, one)
    return True


def shown_key(binding: Binding, keymap: Mapping[str, str]) -> str:
    """The keys of a binding as they are shown: the operator's own where there are any."""
    keys = keymap.get(binding.id or "")
    if keys is None and binding.key_display:
        return binding.key_display
    return " ".join(format_key(key) for key in (keys or binding.key).split(","))


def help_groups(bindings: Iterable[Placed]) -> list[tuple[str, list[Binding]]]:
    """The bindings by the part of their id before the dot, in the order in which the parts first come."""
    groups: dict[str, dict[tuple[str, str], Binding]] = {name: {} for name in _HEADINGS}
    for _, binding in bindings:
        name = (binding.id or "").partition(".")[0]
        if name and binding.description:
            same = groups.setdefault(name, {})
            known = (binding.id or "", binding.action)
            before = same.get(known)
            if before is None:
                same[known] = binding
            elif before.key_display is None and binding.key not in before.key.split(","):
                same[known] = before.with_key(f"{before.key},{binding.key}")
    return [
        (_HEADINGS.get(name, name.capitalize()), list(same.values())) for name, same in groups.items() if same
    ]
