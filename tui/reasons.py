"""Why a position is liquidated now, and why not: each thing that must hold before bytes leave."""

from __future__ import annotations

from collections.abc import Iterator

from engine.api import wire
from engine.domain import Band, Verdict
from tui import format as fmt
from tui.lines import Line, Span, Tone, line, span

_NAME_CELLS = 12
_WORKING = {
    "queued": "waits for a worker",
    "signed": "signed, on its way out",
    "sent": "sent, waits to land",
    "landed": "landed, waits until it is final",
    "waiting": "rests before its next attempt",
    "held": "held by the stop",
}


def reason_lines(detail: wire.PositionDetail, snapshot: wire.Snapshot) -> list[Line]:
    """One line a condition: a filled dot where it holds, a cross where it does not, and then what follows."""
    conditions = list(_conditions(detail, snapshot))
    failing = [name for name, holds, _ in conditions if not holds]
    lines = [_condition(name, said, holds=holds) for name, holds, said in conditions]
    return [*lines, _conclusion(detail, snapshot, failing)]


def _conditions(detail: wire.PositionDetail, snapshot: wire.Snapshot) -> Iterator[tuple[str, bool, str]]:
    """(name, whether it holds, what is known of it) in the order in which the engine asks."""
    row, engine, gate = detail.row, snapshot.engine, snapshot.gate
    is_known = row.band != Band.UNKNOWN
    yield "account", is_known or "price" in row.why, _account(detail, snapshot)
    yield "price", *_price(row.symbol, snapshot)
    if is_known:
        is_below = row.band == Band.LIQUIDATABLE
        yield "health", is_below, f"{fmt.milli(row.health_milli)} is {'' if is_below else 'not '}below 1"
    else:
        yield "health", False, f"not known: {row.why or detail.reason}"
    yield "engine", engine.phase == "ready", engine.phase
    stop = (
        f'stopped by {gate.by}: "{gate.reason}"' if gate.state != "running" else "running: sending is allowed"
    )
    yield "stop", gate.state == "running", stop
    if engine.dry_run:
        yield "dry run", False, "nothing is ever sent"


def _account(detail: wire.PositionDetail, snapshot: wire.Snapshot) -> str:
    behind = max(0, snapshot.chain.slot - detail.account_slot)
    return (
        f"{detail.generation} layout, last changed at slot {fmt.count(detail.account_slot)}, {_ago(behind)}"
    )


def _ago(slots: int) -> str:
    return f"{fmt.counted(slots, 'slot')} ago, about {fmt.slots_wait(slots)}"


def _price(symbol: str, snapshot: wire.Snapshot) -> tuple[bool, str]:
    price = next((each for each in snapshot.prices if each.symbol == symbol), None)
    if price is None:
        return False, f"no price of {symbol} is watched"
    spread = f"{fmt.price(price.price_e6)} ± {fmt.price(price.conf_e6)}"
    return price.verdict == Verdict.OK, f"{spread}, {fmt.age(price.age_ms)} old: {price.verdict}"


def _conclusion(detail: wire.PositionDetail, snapshot: wire.Snapshot, failing: list[str]) -> Line:
    address = detail.row.address
    working = next((each for each in snapshot.queue if each.address == address), None)
    failed = next((each for each in snapshot.failed if each.address == address), None)
    if working is not None:
        stage = _WORKING.get(working.stage, working.stage)
        return _result("being done", f"{working.action}, attempt {working.attempt}: {stage}", Tone.OURS)
    if failing:
        missing = " and ".join(failing)
        return _result("not now", f"because of: {missing}", Tone.PLAIN)
    if failed is not None:
        tried = (
            f"given up after {fmt.counted(failed.attempts, 'attempt')} ({failed.outcome}), {failed.next_step}"
        )
        return _result("not now", tried, Tone.DANGER)
    if detail.row.why and detail.row.why != detail.reason:
        return _result("not now", detail.row.why, Tone.ATTENTION)
    return _result("now", "everything holds: it is about to enter the queue", Tone.DANGER)


def _condition(name: str, said: str, *, holds: bool) -> Line:
    mark = Span("● ", Tone.HEALTHY) if holds else Span("✕ ", Tone.ATTENTION, bold=True)
    return line(Span(" "), mark, Span(f"{name:<{_NAME_CELLS - 2}}", Tone.MUTED), span(said))


def _result(word: str, said: str, tone: Tone) -> Line:
    return line(Span(f" {word:<{_NAME_CELLS}}", Tone.MUTED), span(said, tone, bold=True))
