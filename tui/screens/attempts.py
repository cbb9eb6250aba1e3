"""A position's attempts as lines: signature, outcome, cost, and the inputs of the decision behind each."""

from __future__ import annotations

import json
from collections.abc import Sequence

from engine.api import wire
from tui import format as fmt
from tui.lines import Line, Span, Tone, line, span


def attempt_lines(attempts: Sequence[wire.AttemptRow]) -> list[Line]:
    """Three lines an attempt, newest first as the engine sends them."""
    if not attempts:
        return [line(Span(" none: the engine never sent a transaction for this position", Tone.MUTED))]
    return [shown for attempt in attempts for shown in _lines(attempt)]


def _lines(attempt: wire.AttemptRow) -> list[Line]:
    confirmed = attempt.error_message is None
    tone = Tone.HEALTHY if attempt.outcome == "confirmed" else Tone.PLAIN if confirmed else Tone.DANGER
    slot = f"  slot {fmt.count(attempt.slot)}" if attempt.slot is not None else ""
    error = () if confirmed else (span(f"  {attempt.error_message}", Tone.DANGER),)
    return [
        line(
            Span(f" {fmt.clock_time(attempt.created_at_ns)}  ", Tone.MUTED),
            span(f"{attempt.outcome}", tone, bold=True),
            span(f"  attempt {attempt.attempt}  {attempt.action} {fmt.size(attempt.amount_e6)}"),
            Span(f"{slot}  fee {fmt.lamports_short(attempt.fee_lamports)} lamports"),
            *error,
        ),
        line(Span("           signature ", Tone.MUTED), span(attempt.signature)),
        line(Span("           decided on ", Tone.MUTED), span(_inputs(attempt.decision_json))),
    ]


def _inputs(decision_json: str) -> str:
    """The decision's inputs as `name value` pairs; what is no JSON object is shown as it is."""
    try:
        inputs = json.loads(decision_json)
    except ValueError:
        return decision_json
    if not isinstance(inputs, dict):
        return decision_json
    return "  ".join(f"{name} {value}" for name, value in _flat(inputs))


def _flat(inputs: dict[str, object], prefix: str = "") -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = []
    for name, value in inputs.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{prefix}{name}.")
        else:
            pairs.append((prefix + name, value))
    return pairs
