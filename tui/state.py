"""What the console knows right now, and the one sentence that its banner says about it. Frozen and pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from engine.api import wire
from tui import format as fmt
from tui.lines import Span, Tone, span

NS_PER_MS = 10**6
NS_PER_S = 10**9
DEFAULT_INTERVAL_MS = 1_000


class Link(StrEnum):
    """How the console stands to its engine."""

    WAITING = "waiting"  # nothing was ever received
    LIVE = "live"
    SILENT = "silent"  # connected, and nothing comes
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class ConsoleState:
    """One view of everything. Times are Unix nanoseconds of this machine, 0 when it never happened.

    `activity` is what the background worker does at the moment ("starting the engine…"), `failure` the one
    line with which it gave up. `gate` is newer than the snapshot's while a command's answer is ahead of it.
    """

    snapshot: wire.Snapshot | None = None
    received_ns: int = 0
    link: Link = Link.WAITING
    link_reason: str = ""
    activity: str = ""
    failure: str = ""
    gate: wire.GateView | None = None
    stop_sent_ns: int = 0
    standing_stop: bool = False
    stop_told: str = ""  # what the engine's stop thread said while its loop did not answer
    paused_ns: int = 0
    interval_ms: int = DEFAULT_INTERVAL_MS
    pace_ms: int = DEFAULT_INTERVAL_MS  # longer than the interval while the terminal reads slowly
    is_read_only: bool = False
    console: str = ""  # this console's own name to the engine


@dataclass(frozen=True, slots=True)
class Headline:
    """The banner's first line: a shape, a word and a tone that change together, and the sentence after them.

    `outlook` follows the sentence, or takes the second line where the first has no room for it. `fill` paints
    the whole banner: nothing is being liquidated because somebody said so.
    """

    glyph: str
    word: str
    tone: Tone
    sentence: tuple[Span, ...] = ()
    outlook: tuple[Span, ...] = ()
    fill: bool = False


def gate_of(state: ConsoleState) -> wire.GateView | None:
    """The newest gate that the console has heard of."""
    if state.snapshot is None:
        return state.gate
    known = state.snapshot.gate
    if state.gate is not None and state.gate.version > known.version:
        return state.gate
    return known


def is_stopped(state: ConsoleState) -> bool:
    """Whether the gate is known to be closed."""
    gate = gate_of(state)
    return gate is not None and gate.state != "running"


def command_of(state: ConsoleState) -> wire.CommandView | None:
    """Which console commands; None where every one may."""
    return None if state.snapshot is None else state.snapshot.command


def other_in_command(state: ConsoleState) -> wire.CommandView | None:
    """The other console that commands, None when this one may."""
    view = command_of(state)
    return view if view is not None and view.console not in {"", state.console} else None


def may_command(state: ConsoleState) -> bool:
    """Whether this console does more than look and stop, and no other one commands."""
    return not state.is_read_only and other_in_command(state) is None


def data_age_ms(state: ConsoleState, now_ns: int) -> int | None:
    """How old the newest snapshot is; None before the first."""
    return None if state.snapshot is None else max(0, now_ns - state.snapshot.taken_at_ns) // NS_PER_MS


def headline(state: ConsoleState, now_ns: int) -> Headline:
    """What the banner says first. The order is the order of urgency."""
    if state.link is not Link.LIVE or state.snapshot is None:
        return _without_data(state, now_ns)
    gate = gate_of(state)
    assert gate is not None
    if gate.state != "running":
        return Headline(
            "■",
            "STOPPED",
            Tone.DANGER,
            _stop_sentence(gate),
            _stop_outlook(gate, state.snapshot.chain),
            fill=True,
        )
    if state.stop_sent_ns:
        waited = fmt.age((now_ns - state.stop_sent_ns) // NS_PER_MS)
        unanswered = (Span(f"no answer yet after {waited}"),)
        return Headline("■", "STOPPING", Tone.DANGER, unanswered, _last_known(state), fill=True)
    return _of_engine(state.snapshot, now_ns)


def _without_data(state: ConsoleState, now_ns: int) -> Headline:
    doing, holds = _doing(state), _holds(state)
    if state.link is Link.WAITING:
        if state.failure:
            return Headline("✕", "NOT RUNNING", Tone.DANGER, doing, holds)
        return Headline("◐", "STARTING", Tone.ATTENTION, doing, holds)
    waited = fmt.age((now_ns - state.received_ns) // NS_PER_MS)
    word = f"SILENT {waited}" if state.link is Link.SILENT else f"DISCONNECTED {waited}"
    if state.stop_sent_ns:
        word = f"STOP SENT, {word}"
    return Headline("✕", word, Tone.DANGER, doing, holds, fill=bool(state.stop_sent_ns))


def _doing(state: ConsoleState) -> tuple[Span, ...]:
    """What is being done about the missing engine, or why nothing is."""
    if state.failure or state.activity:
        return (span(state.failure or state.activity),)
    if state.link is Link.SILENT:
        return (Span("the engine is connected and sends nothing"), *_last_known(state))
    return (span(state.link_reason),)


def _last_known(state: ConsoleState) -> tuple[Span, ...]:
    """What was known of an engine that does not answer, and the last resort."""
    if state.stop_told:
        return (span(f" · its stop thread answered: {state.stop_told}", Tone.DANGER, bold=True),)
    if state.snapshot is None:
        return ()
    pid, sent = state.snapshot.engine.pid, state.snapshot.in_flight
    return (Span(f" · {sent} sent when last heard; `kill -9 {pid}` ends it"),)


def _holds(state: ConsoleState) -> tuple[Span, ...]:
    """What holds meanwhile: whether the engine will send when it is back."""
    if state.stop_told and state.link is not Link.SILENT:
        return _last_known(state)
    if state.standing_stop:
        return (Span("a standing stop is written: the next start sends nothing", Tone.DANGER, bold=True),)
    gate = gate_of(state)
    if gate is None:
        return ()
    return (Span("the stop state holds: " + ("STOPPED" if gate.state != "running" else gate.state)),)


def _stop_sentence(gate: wire.GateView) -> tuple[Span, ...]:
    why = f': "{gate.reason}"' if gate.reason else ""
    return (span(f"by {gate.by} at {fmt.clock_time(gate.at_ns)}{why}"),)


def _stop_outlook(gate: wire.GateView, chain: wire.ChainView) -> tuple[Span, ...]:
    """What may still land, and until when."""
    parts: list[str] = []
    if gate.in_flight and gate.last_valid_block_height is not None:
        left = gate.last_valid_block_height - chain.block_height
        wait = f" (≈ {fmt.slots_wait(left)})" if left > 0 else ""
        parts.append(
            f"{gate.in_flight} in flight, none can land after block "
            f"{fmt.count(gate.last_valid_block_height)}{wait}"
        )
    else:
        parts.append(f"{gate.in_flight} in flight" if gate.in_flight else "nothing in flight")
    if not gate.persisted:
        parts.append("NOT ON DISK: a restart would forget it")
    return (span(" · ".join(parts)),)


def _of_engine(snapshot: wire.Snapshot, now_ns: int) -> Headline:
    engine = snapshot.engine
    uptime = fmt.age((now_ns - engine.started_at_ns) // NS_PER_MS)
    if engine.phase != "ready":
        return Headline("◐", engine.phase.upper(), Tone.ATTENTION, (Span(f"since {uptime}"),))
    if engine.degraded:
        return Headline("▲", "DEGRADED", Tone.ATTENTION, (span(" · ".join(engine.degraded)),))
    return Headline("●", "RUNNING", Tone.HEALTHY, (Span(uptime), Span("   "), *_work(snapshot)))


def _work(snapshot: wire.Snapshot) -> tuple[Span, ...]:
    watched = f"watching {fmt.counted(snapshot.book.monitored, 'position')}"
    if not snapshot.queue_length:
        return (Span(f"{watched} · nothing to liquidate"),)
    return (Span(f"{watched} · liquidating {fmt.count(snapshot.queue_length)}, {snapshot.in_flight} sent"),)
