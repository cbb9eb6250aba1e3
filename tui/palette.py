"""The command palette: every key that does something here and now, by its name, and what has no key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from textual.app import SystemCommand
from textual.binding import ActiveBinding
from textual.dom import DOMNode
from textual.screen import Screen

Run = Callable[[str, DOMNode], object]

# Keys for the hand, of no use as a command: they would act after the palette closed.
_NOT_OFFERED = frozenset({"cursor", "page", "edge", "command_palette", "focus_next", "focus_previous"})


def palette_commands(
    screen: Screen[object], run: Run, keyless: Iterable[SystemCommand]
) -> Iterator[SystemCommand]:
    """The commands of a screen: its bindings in force that are not dimmed, then those without a key.

    `run` is given a binding's action and the node that it belongs to.
    """
    seen: set[str] = set()
    for active in screen.active_bindings.values():
        binding = active.binding
        name = binding.action.partition("(")[0].rpartition(".")[2]
        if not active.enabled or not binding.description or name in _NOT_OFFERED or binding.action in seen:
            continue
        seen.add(binding.action)
        yield SystemCommand(
            binding.description,
            binding.tooltip or f"key {binding.key_display or binding.key}",
            partial(_run_if_in_force, screen, active, run),
        )
    yield from keyless


def _run_if_in_force(screen: Screen[object], chosen: ActiveBinding, run: Run) -> object:
    """Do what was chosen, unless its key has gone since the palette opened: with the rows that it acts on."""
    in_force = screen.active_bindings.values()
    if any(each.enabled and each.node is chosen.node and each.binding == chosen.binding for each in in_force):
        return run(chosen.binding.action, chosen.node)
    return None
