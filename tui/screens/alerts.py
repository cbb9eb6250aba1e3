"""The alerts: those that are on, the most urgent first, then those that are over; acknowledged by a key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from engine.api import wire
from engine.api.client import EngineClient
from tui import format as fmt
from tui.lines import Line, Span, Tone, span
from tui.live_table import Column, Row
from tui.panes.table_pane import TablePane
from tui.screens.place import Access
from tui.screens.table_place import PAGE_ROWS, TablePlace, told, told_at_length
from tui.state import NS_PER_MS, may_command

_COLUMNS = (
    Column("since", 14, rank=0),
    Column("severity", 9, rank=1),
    Column("state", 14, rank=3),
    Column("lasted", 7, right=True, rank=4),
    Column("rule", 20, rank=5),
    Column("what", 24, rank=2, stretch=True),
)
_SEVERITIES = {
    "danger": ("✕", Tone.DANGER),
    "warning": ("▲", Tone.ATTENTION),
    "info": ("·", Tone.PLAIN),
}


class AlertsScreen(TablePlace[wire.AlertPage]):
    """An acknowledged alert stays on until its cause is gone: the key only says that somebody knows."""

    NAME = "alerts"
    REFRESH_S = 2.0
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "x",
            "acknowledge",
            "Acknowledge",
            id="alerts.acknowledge",
            tooltip="the alert under the cursor: somebody knows of it",
        ),
    ]

    def __init__(self, access: Access) -> None:
        super().__init__(access, TablePane("ALERTS", _COLUMNS, name="alerts"))

    async def fetch(self, client: EngineClient) -> wire.AlertPage:
        """All that are kept; the engine bounds them."""
        return await client.alerts()

    def rows(self, answer: wire.AlertPage) -> Sequence[Row]:
        """One row an alert, those of this page."""
        return [_row(row) for row in answer.alerts[self.first_row : self.first_row + PAGE_ROWS]]

    def total(self, answer: wire.AlertPage) -> int:
        """All that are kept."""
        return len(answer.alerts)

    def facts(self, answer: wire.AlertPage) -> Line:
        """How many are on, and how many of them nobody has acknowledged."""
        on_now = [row for row in answer.alerts if row.ended_ns is None]
        new = sum(row.acknowledged_ns is None for row in on_now)
        worst = next((each for each in _SEVERITIES if any(row.severity == each for row in on_now)), "info")
        tone = _SEVERITIES[worst][1] if on_now else Tone.HEALTHY
        return (Span(f"{len(on_now)} on", tone, bold=bool(on_now)), Span(f"{new} new" if new else "", tone))

    def empty(self, answer: wire.AlertPage) -> str:
        """There never was one."""
        del answer
        return "no alert is on, and none was since the engine started"

    def row_lines(self, key: str, answer: wire.AlertPage) -> Sequence[Line]:
        """The whole alert and who knows of it."""
        row = next((each for each in answer.alerts if each.id == key), None)
        if row is None:
            return []
        glyph, tone = _severity(row)
        ended = "still on" if row.ended_ns is None else f"over since {fmt.full_date_time(row.ended_ns)}"
        known = (
            "by nobody yet: x acknowledges it"
            if row.acknowledged_ns is None
            else f"by {row.acknowledged_by} at {fmt.full_date_time(row.acknowledged_ns)}"
        )
        return [
            *told_at_length("alert", f"{glyph} {row.text}", self.size.width, tone),
            told("rule", span(row.rule), Span(f"  number {row.id}", Tone.MUTED)),
            told("since", Span(fmt.full_date_time(row.since_ns)), Span(f"  {ended}")),
            told("taken up", span(known)),
        ]

    def acts(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Dim the key where it would do nothing, and where one may only look."""
        if action == "acknowledge":
            row = self._alert(self.pane.table.cursor_key)
            is_open = row is not None and row.acknowledged_ns is None
            return True if is_open and may_command(self.state) else None
        return super().acts(action, parameters)

    def action_acknowledge(self) -> None:
        """Say that somebody knows of the alert under the cursor."""
        row = self._alert(self.pane.table.cursor_key)
        if row is not None:
            self.run_worker(self._acknowledge(row.id), group="acknowledge")

    async def _acknowledge(self, alert_id: str) -> None:
        await self.access.commands.acknowledge(alert_id)
        self.ask()

    def _alert(self, key: str | None) -> wire.AlertRow | None:
        rows = self.answer.alerts if self.answer is not None else []
        return next((row for row in rows if row.id == key), None)


def _severity(row: wire.AlertRow) -> tuple[str, Tone]:
    return _SEVERITIES.get(row.severity, ("·", Tone.PLAIN))


def _row(row: wire.AlertRow) -> Row:
    glyph, tone = _severity(row)
    is_on = row.ended_ns is None
    shown = tone if is_on else Tone.MUTED
    return Row(
        row.id,
        (
            Span(fmt.date_time(row.since_ns), Tone.MUTED),
            span(f"{glyph} {row.severity}", shown, bold=is_on and row.acknowledged_ns is None),
            _state(row),
            Span(
                fmt.UNKNOWN if row.ended_ns is None else fmt.age((row.ended_ns - row.since_ns) // NS_PER_MS)
            ),
            span(row.rule, Tone.MUTED),
            span(row.text, shown),
        ),
    )


def _state(row: wire.AlertRow) -> Span:
    if row.ended_ns is not None:
        return Span("over", Tone.MUTED)
    if row.acknowledged_ns is not None:
        return Span("acknowledged", Tone.PLAIN)
    return Span("new", Tone.ATTENTION, bold=True)
