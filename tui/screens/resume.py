"""The resume dialog: what the engine would check, a reason for the record, and the word RESUME typed out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, NamedTuple

from textual import on
from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import Button, Input

from engine.api import wire
from tui import format as fmt
from tui.lines import Line, Span, Tone, line, span
from tui.screens.dialog import Dialog

WORD = "RESUME"


class ResumeOrder(NamedTuple):
    """What the operator confirmed: the reason, and the version of the stop that was on the screen."""

    reason: str
    gate_version: int


class ResumeDialog(Dialog[ResumeOrder]):
    """Lifts the stop that was in force when it opened. A newer stop locks it."""

    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, gate: wire.GateView) -> None:
        super().__init__("Resume", ())
        self._gate = gate
        self._checks: Sequence[wire.ResumeCheck] | None = None
        self._trouble = ""
        self._draw()

    @property
    def gate_version(self) -> int:
        """The version of the stop that this dialog would lift."""
        return self._gate.version

    def middle(self) -> Iterable[Widget]:
        """The two things to type."""
        reason = Input(id="reason", max_length=200)
        reason.border_title = "reason, for the record"
        word = Input(id="word", max_length=20)
        word.border_title = f"type {WORD} to confirm"
        yield from (reason, word)

    def choices(self) -> Iterable[Widget]:
        """Cancel, then the deed."""
        yield from super().choices()
        yield Button("Resume", id="resume", disabled=True, compact=True)

    def show_checks(self, checks: Sequence[wire.ResumeCheck]) -> None:
        """Show what the engine would check now."""
        self._checks = checks
        self._draw()

    def show_trouble(self, trouble: str) -> None:
        """Say why the checks did not come."""
        self._trouble = trouble
        self._draw()

    def show_gate(self, gate: wire.GateView) -> None:
        """Lock the dialog when the gate is another one than it was opened for."""
        if gate.version != self._gate.version and not self._trouble:
            self._trouble = "the stop state changed meanwhile: close this and look again"
            self._draw()
            self._unlock()

    @on(Input.Changed)
    def _unlock(self) -> None:
        self.query_one("#resume", Button).disabled = self._order() is None

    @on(Input.Submitted, "#reason")
    def _to_word(self) -> None:
        self.query_one("#word", Input).focus()

    @on(Input.Submitted, "#word")
    @on(Button.Pressed, "#resume")
    def _confirm(self) -> None:
        order = self._order()
        if order is not None:
            self.dismiss(order)

    @on(Button.Pressed, "#cancel")
    def _cancel(self) -> None:
        self.action_cancel()

    def _order(self) -> ResumeOrder | None:
        reason = self.query_one("#reason", Input).value.strip()
        word = self.query_one("#word", Input).value.strip()
        if self._trouble or not reason or word != WORD:
            return None
        return ResumeOrder(reason, self._gate.version)

    def _draw(self) -> None:
        gate = self._gate
        why = f': "{gate.reason}"' if gate.reason else ""
        text: list[Line] = [
            line(
                Span("■ stopped", Tone.DANGER, bold=True),
                span(f" by {gate.by} at {fmt.clock_time(gate.at_ns)}{why}"),
                Span(f"  (stop {gate.version})", Tone.MUTED),
            ),
            line(""),
        ]
        if self._trouble:
            text.append(line(Span("✕ ", Tone.DANGER), span(self._trouble, Tone.DANGER)))
        elif self._checks is None:
            text.append(line(Span("asking the engine what it would check…", Tone.MUTED)))
        else:
            text += [_check(check) for check in self._checks]
        self.show_text(text)


def _check(check: wire.ResumeCheck) -> Line:
    mark = Span("● ", Tone.HEALTHY) if check.ok else Span("✕ ", Tone.DANGER, bold=True)
    return line(mark, span(f"{check.name:<14}"), span(check.detail, Tone.PLAIN if check.ok else Tone.DANGER))
