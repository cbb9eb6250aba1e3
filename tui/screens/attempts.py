"""A position's attempts as lines: signature, outcome, cost, and the inputs of the decision behind each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain, repeat
from textwrap import wrap

from engine.api import wire
from tui import format as fmt
from tui.lines import Line, Span, Tone, line, span

_INDENT = 22
_KNOWN = frozenset({"address", "owner"})


def attempt_lines(attempts: Sequence[wire.AttemptRow], width: int) -> list[Line]:
    """Attempts as lines of `width` cells, newest first as the engine sends them."""
    if not attempts:
        return [line(Span(" none: the engine never sent a transaction for this position", Tone.MUTED))]
    return [shown for attempt in attempts for shown in _lines(attempt, width)]


def _lines(attempt: wire.AttemptRow, width: int) -> list[Line]:
    succeeded = attempt.error_message is None
    tone = Tone.HEALTHY if attempt.outcome == "confirmed" else Tone.OURS if succeeded else Tone.DANGER
    cost = f"  fee {fmt.lamports_short(attempt.fee_lamports)} lamports" if attempt.fee_lamports else ""
    landed = f"  slot {fmt.count(attempt.slot)}" if attempt.slot is not None else ""
    error = () if succeeded else (span(f"  {attempt.error_message}", Tone.DANGER),)
    inputs = wrap(_inputs(attempt.decision_json), max(20, width - _INDENT - 1), break_on_hyphens=False)
    return [
        line(
            Span(f" {fmt.clock_time(attempt.created_at_ns)}  ", Tone.MUTED),
            span(f"{attempt.outcome}", tone, bold=True),
            span(f"  attempt {attempt.attempt}  {attempt.action} {fmt.size(attempt.amount_e6)}"),
            Span(landed + cost),
            *error,
        ),
        line(Span("signature ".rjust(_INDENT), Tone.MUTED), span(attempt.signature)),
        *(
            line(Span(("decided on " if first else "").rjust(_INDENT), Tone.MUTED), span(shown))
            for first, shown in zip(chain([True], repeat(False)), inputs, strict=False)
        ),
    ]


def _inputs(decision_json: str) -> str:
    """The decision's inputs as `name value` pairs; what is no JSON object is shown as it is."""
    try:
        inputs = json.loads(decision_json)
    except ValueError:
        return decision_json
    if not isinstance(inputs, dict):
        return decision_json
    # A pair must not be torn apart by the wrapping, hence the blank that does not break.
    return " · ".join(f"{name}\u00a0{value}" for name, value in _flat(inputs))


def _flat(inputs: dict[str, object]) -> list[tuple[str, object]]:
    """Nested inputs as one list, the position's own identity left out: the screen is about it."""
    pairs: list[tuple[str, object]] = []
    for name, value in inputs.items():
        if isinstance(value, dict):
            pairs += [(f"{name}.{inner}", each) for inner, each in value.items() if inner not in _KNOWN]
        else:
            pairs.append((name, value))
    return pairs
