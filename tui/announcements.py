"""What in a new snapshot deserves a note of its own, and what a bell: each alert once, a version once."""

from __future__ import annotations

from typing import NamedTuple

from engine import __version__
from engine.api import wire

_MOST_NOTES = 3  # more at once would cover the panes that tell what happens


class Announcement(NamedTuple):
    """A note for the operator; `is_trouble` shows it as such, `rings` the bell with it."""

    title: str
    text: str
    is_trouble: bool
    rings: bool


class Announcer:
    """Remembers which alerts and which engine were told of, and whether this console commanded."""

    def __init__(self, console: str = "") -> None:
        self._console = console
        self._commanded = False
        self._told: frozenset[str] = frozenset()
        self._started_at_ns = 0

    def hear(self, snapshot: wire.Snapshot) -> list[Announcement]:
        """What is new in this snapshot."""
        notes: list[Announcement] = []
        if snapshot.engine.started_at_ns != self._started_at_ns:
            self._started_at_ns, self._told = snapshot.engine.started_at_ns, frozenset()
            notes += _of_version(snapshot.engine.version)
        notes += self._of_command(snapshot.command)
        fresh = [row for row in snapshot.alerts if row.id not in self._told and row.acknowledged_ns is None]
        # Only those that are on are remembered: an alert that comes again has a number of its own.
        self._told = frozenset(row.id for row in snapshot.alerts)
        return notes + _of_alerts(fresh)

    def _of_command(self, view: wire.CommandView | None) -> list[Announcement]:
        """Being relieved deserves a note: the keys of this console have just become dim."""
        commanded, self._commanded = self._commanded, view is not None and view.console == self._console
        if not commanded or view is None or view.console in {"", self._console}:
            return []
        text = f"{view.by} commands now, from {view.terminal or 'another console'}: K takes command back"
        return [Announcement("relieved", text, is_trouble=True, rings=True)]


def differs(version: str) -> bool:
    """Whether an engine of that version is of another one than this console."""
    return version != __version__


def _of_version(version: str) -> list[Announcement]:
    if not differs(version):
        return []
    text = f"the engine is {version}, this console {__version__}: what one knows the other may not show"
    return [Announcement("different versions", text, is_trouble=True, rings=False)]


def _of_alerts(fresh: list[wire.AlertRow]) -> list[Announcement]:
    notes = [
        Announcement(row.rule, row.text, row.severity != "info", row.severity == "danger") for row in fresh
    ]
    beyond = notes[_MOST_NOTES:]
    if beyond:
        rings = any(note.rings for note in beyond)
        more = Announcement("alerts", f"and {len(beyond)} more: a lists them", is_trouble=True, rings=rings)
        return [*notes[:_MOST_NOTES], more]
    return notes
