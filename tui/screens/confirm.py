"""Asks before a command that acts on something: it names what it captured when it was opened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Button

from engine.api import wire
from tui import format as fmt
from tui.lines import Line, Span, Tone, line, span
from tui.screens.dialog import Dialog


class ConfirmDialog(Dialog[bool]):
    """Answers True when confirmed, None when cancelled. `y` confirms; no opening key is `y`."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("y", "confirm", "Confirm", id="confirm.yes")]

    def __init__(self, title: str, text: Sequence[Line], verb: str) -> None:
        super().__init__(title, text)
        self._verb = verb

    def choices(self) -> Iterable[Widget]:
        """Cancel, then the deed."""
        yield from super().choices()
        yield Button(f"{self._verb} (y)", id="confirm", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """The buttons are the keys."""
        if event.button.id == "confirm":
            self.action_confirm()
        else:
            self.action_cancel()

    def action_confirm(self) -> None:
        """Close with yes."""
        self.dismiss(True)


def retry_dialog(row: wire.FailedRow) -> ConfirmDialog:
    """Asks whether to retry exactly this failed liquidation."""
    return ConfirmDialog(
        "Retry",
        [
            line(Span("Try this liquidation again?", bold=True)),
            line(""),
            line(Span("position  ", Tone.MUTED), span(row.address, bold=True)),
            line(Span("market    ", Tone.MUTED), span(row.symbol)),
            line(
                Span("failed    ", Tone.MUTED),
                span(row.outcome, Tone.DANGER),
                f" after {fmt.counted(row.attempts, 'attempt')}, last at {fmt.clock_time(row.last_at_ns)}",
            ),
            line(Span("message   ", Tone.MUTED), span(row.message)),
            line(Span("next      ", Tone.MUTED), span(row.next_step)),
            line(""),
            line(
                Span(
                    "Account and price are looked at afresh first: a healthy position is not sent.",
                    Tone.MUTED,
                )
            ),
        ],
        "Retry",
    )


def take_command_dialog(view: wire.CommandView, now_ns: int) -> ConfirmDialog:
    """Asks whether to relieve the console that commands."""
    held = fmt.age(max(0, now_ns - view.since_ns) // 10**6)
    return ConfirmDialog(
        "Take command",
        [
            line(Span("Take command from ", bold=True), span(view.by, bold=True), Span("?", bold=True)),
            line(""),
            line(Span("terminal  ", Tone.MUTED), span(view.terminal or fmt.UNKNOWN)),
            line(Span("commands  ", Tone.MUTED), Span(f"since {fmt.clock_time(view.since_ns)}, for {held}")),
            line(""),
            line("That console then only looks, and stops; it can take command back."),
        ],
        "Take command",
    )


def clear_queue_dialog(queued: int, sent: int) -> ConfirmDialog:
    """Asks whether to drop what is queued and not signed."""
    return ConfirmDialog(
        "Clear queue",
        [
            line(
                Span(
                    f"Drop the {fmt.counted(queued, 'queued liquidation')}, except what is signed?",
                    bold=True,
                )
            ),
            line(""),
            line(f"What was sent ({fmt.count(sent)}) stays out and is confirmed as ever."),
            line("What is still liquidatable comes back with its next price."),
        ],
        "Clear",
    )
