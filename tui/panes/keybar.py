"""The line of keys at the foot, made from the bindings in force; the stop key never gives way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from textual.binding import Binding
from textual.keys import format_key
from textual.screen import Screen

from tui.lines import Line, Lines, Span, Tone, width_of

# The lower a key stands here the earlier it gives way in a narrow terminal; dimmed keys give way first.
_ORDER = (
    "emergency_stop",
    "help",
    "quit_dialog",
    "resume",
    "command",
    "retry",
    "choose",
    "back",
    "search",
    "export",
    "contribute",
    "acknowledge",
    "page",
    "market",
    "outcome",
    "window",
    "level",
    "origin",
    "explore",
    "next_pane",
    "filter",
    "command_palette",
    "place",
    "dismiss_failed",
    "pause",
    "sort",
    "clear_queue",
    "zoom",
)
_SHOWN_DIMMED = frozenset({"resume"})  # an operator looks for it before it can be pressed

_GAP = Span("  ")


class KeyBar(Lines):
    """The stop key, then the others in the order of their bindings. A click on one is the key itself."""

    DEFAULT_CSS = """
    KeyBar { dock: bottom; height: 1; padding: 0 1; }
    """

    def on_mount(self) -> None:
        """Follow the bindings."""
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)
        self.call_after_refresh(self._draw)

    def on_resize(self) -> None:
        """Choose what fits."""
        self._draw()

    def _bindings_changed(self, screen: Screen[object]) -> None:
        if screen is self.screen:
            self._draw()

    def _draw(self) -> None:
        active = self.screen.active_bindings.values()
        shown = [(each.binding, each.enabled) for each in active if each.binding.show]
        shown.sort(key=lambda each: not _is_stop(each[0]))
        once = {binding.action: (binding, enabled) for binding, enabled in reversed(shown)}
        hints = [_hint(binding, enabled=enabled) for binding, enabled in reversed(once.values())]
        self.show([fit_keys(hints, self.size.width)])


class KeyHint(NamedTuple):
    """A key as it is shown; the lowest ranks stay when there is no room for all."""

    rank: int
    parts: Line


def fit_keys(keys: Sequence[KeyHint], width: int) -> Line:
    """As many keys as fit into `width` cells, in their given order."""
    kept: set[int] = set()
    left = width
    for index in sorted(range(len(keys)), key=lambda index: keys[index].rank):
        needed = width_of(keys[index].parts) + (len(_GAP.text) if kept else 0)
        if needed <= left:
            kept.add(index)
            left -= needed
    parts: list[Span] = []
    for index in sorted(kept):
        if parts:
            parts.append(_GAP)
        parts.extend(keys[index].parts)
    return tuple(parts)


def _is_stop(binding: Binding) -> bool:
    return binding.action == "emergency_stop"


def _hint(binding: Binding, *, enabled: bool) -> KeyHint:
    name = binding.action.partition("(")[0].removeprefix("app.")
    rank = _ORDER.index(name) if name in _ORDER else len(_ORDER)
    shown = binding.key_display or format_key(binding.key)
    if not enabled:
        late = 0 if name in _SHOWN_DIMMED else 2 * len(_ORDER)
        return KeyHint(rank + late, (Span(f"{shown} {binding.description}", Tone.MUTED),))
    click = f"app.simulate_key('{binding.key}')"
    stop = _is_stop(binding)
    return KeyHint(
        rank,
        (
            Span(shown, Tone.DANGER if stop else Tone.OURS, bold=True, action=click),
            Span(f" {binding.description}", Tone.PLAIN, stop, click),
        ),
    )
