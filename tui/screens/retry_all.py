"""Asks before many liquidations are tried again at once: it names them, and wants a word typed out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual import on
from textual.widget import Widget
from textual.widgets import Button, Input

from engine.api import wire
from tui import format as fmt
from tui.lines import Line, Span, Tone, line, span
from tui.screens.dialog import Dialog

WORD = "RETRY"
_NAMED = 6


class RetryAllDialog(Dialog[bool]):
    """Answers True when the word was typed and confirmed, None when cancelled."""

    def __init__(self, outcome: str, rows: Sequence[wire.FailedRow]) -> None:
        super().__init__("Retry all alike", _text(outcome, rows))

    def middle(self) -> Iterable[Widget]:
        """The word to type."""
        word = Input(id="word", max_length=20)
        word.border_title = f"type {WORD} to confirm"
        yield word

    def choices(self) -> Iterable[Widget]:
        """Cancel, then the deed."""
        yield from super().choices()
        yield Button("Retry all", id="retry-all", disabled=True, compact=True)

    @on(Input.Changed)
    def _unlock(self) -> None:
        self.query_one("#retry-all", Button).disabled = not self._is_typed()

    @on(Input.Submitted)
    @on(Button.Pressed, "#retry-all")
    def _confirm(self) -> None:
        if self._is_typed():
            self.dismiss(True)

    @on(Button.Pressed, "#cancel")
    def _cancel(self) -> None:
        self.action_cancel()

    def _is_typed(self) -> bool:
        return self.query_one("#word", Input).value.strip() == WORD


def _text(outcome: str, rows: Sequence[wire.FailedRow]) -> list[Line]:
    named = [
        line(
            Span("  "),
            span(fmt.address(row.address)),
            span(f"  {row.symbol}  {fmt.counted(row.attempts, 'try', 'tries')}"),
        )
        for row in rows[:_NAMED]
    ]
    beyond = len(rows) - len(named)
    return [
        line(
            Span(f"Try all {fmt.count(len(rows))} again that failed with ", bold=True),
            span(outcome, Tone.DANGER, bold=True),
            Span("?", bold=True),
        ),
        line(""),
        *named,
        *([line(Span(f"  and {fmt.count(beyond)} more on the list", Tone.MUTED))] if beyond else []),
        line(""),
        line(
            Span(
                "All that failed so by then are taken, on this list or not. Each account and price is "
                "looked at afresh first; each try may cost a fee.",
                Tone.MUTED,
            )
        ),
    ]
