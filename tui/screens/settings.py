"""The settings in force: each with its value, where it comes from, and what it does. Secrets come masked."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api import wire
from engine.api.client import EngineClient
from tui.lines import Line, Span, Tone, span
from tui.live_table import Column, Row
from tui.panes.table_pane import TablePane
from tui.screens.place import Access
from tui.screens.table_place import PAGE_ROWS, TablePlace, told, told_at_length

_DEFAULT = "default"
_HOW_TO_CHANGE = "in config.toml, .env or the environment, then start the engine anew"
_COLUMNS = (
    Column("setting", 30, rank=0),
    Column("value", 24, rank=1),
    Column("source", 12, rank=2),
    Column("what it does", 20, rank=3, stretch=True),
)


class SettingsScreen(TablePlace[wire.SettingsPage]):
    """They are read once, at the engine's start; `/` looks in names, values, sources and descriptions."""

    NAME = "settings"
    HINT = "any text: a name, a value, a source, what it does"
    REFRESH_S = 60.0

    def __init__(self, access: Access) -> None:
        super().__init__(access, TablePane("SETTINGS", _COLUMNS, name="settings"))

    async def fetch(self, client: EngineClient) -> wire.SettingsPage:
        """All of them."""
        return await client.settings()

    def rows(self, answer: wire.SettingsPage) -> Sequence[Row]:
        """One row a setting, those of this page."""
        return [_row(row) for row in self._matching(answer)[self.first_row : self.first_row + PAGE_ROWS]]

    def total(self, answer: wire.SettingsPage) -> int:
        """Those that match."""
        return len(self._matching(answer))

    def facts(self, answer: wire.SettingsPage) -> Line:
        """How many differ from what they are when nobody sets them, and what was looked for."""
        own = sum(row.source != _DEFAULT for row in answer.rows)
        wanted = f'match "{self.wanted}"' if self.wanted else ""
        return (Span(f"{own} not by default"), span(wanted, Tone.OURS))

    def empty(self, answer: wire.SettingsPage) -> str:
        """Nothing matches what was looked for."""
        del answer
        return f'no setting matches "{self.wanted}": / and escape shows all again'

    def row_lines(self, key: str, answer: wire.SettingsPage) -> Sequence[Line]:
        """The whole value and the whole description."""
        row = next((each for each in answer.rows if each.name == key), None)
        if row is None:
            return []
        width = self.size.width
        return [
            told("setting", span(row.name, bold=True)),
            *told_at_length("value", row.value or "none", width),
            told("source", span(row.source, _tone(row))),
            *told_at_length("does", row.description, width),
            told(
                "change",
                Span("in config.toml, .env or the environment, then start the engine anew", Tone.MUTED),
            ),
        ]

    def _matching(self, answer: wire.SettingsPage) -> list[wire.SettingRow]:
        wanted = self.wanted.lower()
        return [
            row
            for row in answer.rows
            if any(wanted in text.lower() for text in (row.name, row.value, row.source, row.description))
        ]


def _row(row: wire.SettingRow) -> Row:
    return Row(
        row.name,
        (
            span(row.name, bold=row.source != _DEFAULT),
            span(row.value or "–"),
            span(row.source, _tone(row)),
            span(row.description, Tone.MUTED),
        ),
    )


def _tone(row: wire.SettingRow) -> Tone:
    return Tone.MUTED if row.source == _DEFAULT else Tone.OURS
