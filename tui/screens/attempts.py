"""A position's attempts as lines: signature, outcome, cost, and the inputs of the decision behind each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from textwrap import wrap

from engine.api import wire
from tui import format as fmt
from tui.decision_text import decision_text
from tui.lines import Line, Span, Tone, line, span

_INDENT = 22


def attempt_lines(attempts: Sequence[wire.AttemptRow], width: int) -> list[Line]:
    """Attempts as lines of `width` cells, newest first as the engine sends them."""
    if not attempts:
        return [line(Span(" none: the engine never sent a transaction for this position", Tone.MUTED))]
    return [shown for attempt in attempts for shown in _lines(attempt, width)]


def ended_lines(rows: Sequence[wire.LiquidationRow], width: int) -> list[Line]:
    """Attempts out of the record, newest first; their decisions are in the database."""
    if not rows:
        return [line(Span(" none is recorded: this engine did nothing with it", Tone.MUTED))]
    return [shown for row in rows for shown in _ended(row, width)]


def _lines(attempt: wire.AttemptRow, width: int) -> list[Line]:
    succeeded = attempt.error_message is None
    tone = Tone.HEALTHY if attempt.outcome == "confirmed" else Tone.OURS if succeeded else Tone.DANGER
    head = _head(attempt.created_at_ns, attempt.outcome, tone)
    what = span(f"  attempt {attempt.attempt}  {attempt.action} {fmt.size(attempt.amount_e6)}")
    first = f"  {attempt.liquidated_by} was first" if attempt.liquidated_by else ""
    return [
        line(*head, what, _cost(attempt.slot, attempt.fee_lamports), span(first)),
        *_message(attempt.error_message, width),
        line(Span("signature ".rjust(_INDENT), Tone.MUTED), span(attempt.signature)),
        *_indented("decided on", decision_text(attempt.decision_json), width),
    ]


def _ended(row: wire.LiquidationRow, width: int) -> list[Line]:
    tone = Tone.HEALTHY if row.error_message is None else Tone.DANGER
    what = span(f"  attempt {row.attempt}  {row.action} {fmt.size(row.liquidated_size_e6)}")
    price = Span(f" at {fmt.price(row.liquidation_price_e6 or None)}")
    return [
        line(*_head(row.at_ns, row.outcome, tone), what, price, _cost(row.slot, row.fee_lamports)),
        *_message(row.error_message, width),
        line(Span("signature ".rjust(_INDENT), Tone.MUTED), span(row.signature)),
    ]


def _head(at_ns: int, outcome: str, tone: Tone) -> tuple[Span, Span]:
    return Span(f" {fmt.date_time(at_ns)}  ", Tone.MUTED), span(outcome, tone, bold=True)


def _cost(slot: int | None, fee_lamports: int) -> Span:
    landed = f"  slot {fmt.count(slot)}" if slot is not None else ""
    return Span(landed + (f"  fee {fmt.lamports_short(fee_lamports)} lamports" if fee_lamports else ""))


def _message(message: str | None, width: int) -> list[Line]:
    return [] if message is None else _indented("message", message, width, Tone.DANGER)


def _indented(name: str, text: str, width: int, tone: Tone = Tone.PLAIN) -> list[Line]:
    """A named text in as many lines as it needs, all of them behind the name."""
    rows = wrap(text, max(20, width - _INDENT - 1), break_on_hyphens=False)
    return [
        line(Span((f"{name} " if first else "").rjust(_INDENT), Tone.MUTED), span(shown, tone))
        for first, shown in zip(chain([True], repeat(False)), rows, strict=False)
    ]
