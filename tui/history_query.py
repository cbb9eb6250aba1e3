"""What the history is asked for: a beginning of an address or signature, a market, an outcome, a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from engine.domain import OutcomeClass

OUTCOMES = tuple(each.value for each in OutcomeClass)
# A window of the past in hours, and what it is called; the first one is all there is.
WINDOWS: tuple[tuple[int, str], ...] = ((0, ""), (1, "last hour"), (24, "last day"), (168, "last week"))
_FROM, _TO = "from:", "to:"


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Everything is optional. Dates are ISO 8601; a window counts back from the moment of asking."""

    search: str = ""
    symbol: str | None = None
    outcome: str | None = None
    window: int = 0
    from_date: str | None = None
    to_date: str | None = None

    def begins(self, now_s: float) -> str | None:
        """The earliest time that is asked for, in ISO 8601."""
        hours = WINDOWS[self.window][0]
        if not hours:
            return self.from_date
        return (datetime.fromtimestamp(now_s, UTC) - timedelta(hours=hours)).isoformat(timespec="seconds")

    def words(self) -> list[str]:
        """What is asked for, in words; empty for everything."""
        dates = [f"from {self.from_date}"] if self.from_date else []
        dates += [f"to {self.to_date}"] if self.to_date else []
        wanted = (self.symbol, self.outcome, WINDOWS[self.window][1], *dates)
        return [*(each for each in wanted if each), *([f'"{self.search}…"'] if self.search else [])]


def typed(query: HistoryQuery, text: str) -> HistoryQuery:
    """The query with this text instead of what was typed before: `7xKX from:2026-11-01 to:2026-11-08`."""
    search, begin, end = "", None, None
    for word in text.split():
        if word.startswith(_FROM):
            begin = word.removeprefix(_FROM) or None
        elif word.startswith(_TO):
            end = word.removeprefix(_TO) or None
        else:
            search = word
    window = 0 if begin or end else query.window
    return HistoryQuery(search, query.symbol, query.outcome, window, begin, end)


def as_typed(query: HistoryQuery) -> str:
    """What to type for this query."""
    parts = (
        query.search,
        _FROM + query.from_date if query.from_date else "",
        _TO + query.to_date if query.to_date else "",
    )
    return " ".join(part for part in parts if part)


def following(choices: Sequence[str], chosen: str | None) -> str | None:
    """The choice after this one; None, for all of them, stands before the first and after the last."""
    if chosen is None or chosen not in choices:
        return choices[0] if choices else None
    index = choices.index(chosen) + 1
    return choices[index] if index < len(choices) else None
