"""The places beside the main screen: a name, a key that leads there from anywhere, and a sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from textual.binding import Binding


class Place(NamedTuple):
    """One place; `title` is what the key bar, the palette and the help call it."""

    name: str
    key: str
    title: str
    tooltip: str


PLACES = (
    Place("history", "h", "History", "liquidations that ended: search, filter, export"),
    Place("risk", "l", "Risk", "each symbol's bands and ladder: what a move would bring"),
    Place("fund", "f", "Fund", "the insurance fund: its movements; contribute"),
    Place("alerts", "a", "Alerts", "what wants attention now, and what did; acknowledge"),
    Place("audit", "t", "Audit", "every command: who gave it, when, from where, and whether it was taken"),
    Place("settings", "s", "Settings", "every setting with its value and where it comes from"),
    Place("log", "g", "Log", "the engine's events and this console's own, by level"),
)


def place_bindings(*, show: bool) -> Iterator[Binding]:
    """A binding to each place; `show` says whether the key bar has them."""
    for place in PLACES:
        yield Binding(
            place.key,
            f"app.place('{place.name}')",
            place.title,
            show=show,
            tooltip=place.tooltip,
            id=f"place.{place.name}",
        )
