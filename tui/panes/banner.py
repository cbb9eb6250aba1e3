"""The banner: whether anything is being liquidated, and how the engine's surroundings are."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from rich.style import Style

from engine import __version__
from engine.api import wire
from tui import format as fmt
from tui.announcements import differs
from tui.lines import Line, Lines, Span, Tone, broken, line, span, spread, width_of
from tui.state import DEFAULT_INTERVAL_MS, NS_PER_MS, ConsoleState, command_of, data_age_ms, headline

_STALE_MS = 3_000
_LOW_SOL = 10**8  # 0.1 SOL pays for some ten thousand attempts; below it somebody should top up


class Banner(Lines):
    """Two lines; the whole banner is painted while the engine is stopped."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"banner--filled"}
    DEFAULT_CSS = """
    Banner {
        dock: top;
        height: 2;
        padding: 0 1;
        &.-filled { background: $error; color: $background; text-style: bold; }
        &:ansi.-filled { background: ansi_red; color: ansi_bright_white; }
        & > .banner--filled { background: $error; color: $background; text-style: bold; }
        &:ansi > .banner--filled { background: ansi_red; color: ansi_bright_white; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[ConsoleState, int] | None = None

    def show_state(self, state: ConsoleState, now_ns: int) -> None:
        """Show what is known at `now_ns`."""
        self._shown = (state, now_ns)
        self._draw(state, now_ns)

    def on_resize(self) -> None:
        """Say it in the new width at once."""
        if self._shown is not None:
            self._draw(*self._shown)

    def _draw(self, state: ConsoleState, now_ns: int) -> None:
        head = headline(state, now_ns)
        self.set_class(head.fill, "-filled")
        width = max(1, self.size.width)
        age, pause = _age(state, now_ns), _pause(state, now_ns)
        is_dry = state.snapshot is not None and state.snapshot.engine.dry_run
        kind = (Span("DRY RUN, NOTHING IS SENT", Tone.ATTENTION, bold=True), Span("  ")) if is_dry else ()
        word = Span(f"{head.glyph} {head.word}", head.tone, bold=True)
        first: Line = (*kind, word, Span("  "), *head.sentence)
        second = _facts(state, width - width_of(age) - 1)
        whole = (*first, Span(" · "), *head.outlook) if head.outlook else first
        if width_of(whole) + width_of(pause) < width:
            first = whole
        elif head.outlook:
            # What is urgent stands beside whatever else the line says.
            second, age = head.outlook, _joined([*_urgent(state), *age], "  ")
        elif state.snapshot is None:
            first, second = broken(first, width - width_of(pause) - 1)
        self.show([spread(first, pause, width), spread(second, age, width)])

    def overlay(self) -> Style | None:
        """One style over the whole banner while it is painted."""
        return self.get_component_rich_style("banner--filled") if self.has_class("-filled") else None

    def watch_classes(self) -> None:
        """A painted banner is another banner: all of it changes."""
        self.refresh()


def _pause(state: ConsoleState, now_ns: int) -> Line:
    """What makes the display other than live: the operator's wish, or a terminal that reads slowly."""
    if not state.paused_ns:
        if state.pace_ms > state.interval_ms:
            return line(Span(f"every {fmt.age(state.pace_ms)}: the terminal reads slowly", Tone.ATTENTION))
        if state.interval_ms == DEFAULT_INTERVAL_MS:
            return ()
        return line(Span(f"every {fmt.age(state.interval_ms)}", Tone.MUTED))
    held = fmt.age((now_ns - state.paused_ns) // NS_PER_MS)
    return line(Span(f"‖ display held {held}, p lets it go", Tone.ATTENTION, bold=True))


def _age(state: ConsoleState, now_ns: int) -> Line:
    age_ms = data_age_ms(state, now_ns)
    if age_ms is None:
        return line(Span("no data yet", Tone.MUTED))
    is_stale = age_ms > max(_STALE_MS, 2 * state.pace_ms)
    return line(Span(f"data {fmt.age(age_ms)}", Tone.DANGER if is_stale else Tone.PLAIN))


class _Fact(NamedTuple):
    """Something of the engine's surroundings; where there is no room, the highest ranks give way first."""

    rank: int
    part: Span


def _facts(state: ConsoleState, width: int) -> Line:
    """What is urgent, then as much of the engine's surroundings as there is room for."""
    snapshot = state.snapshot
    if snapshot is None:
        return ()
    chain, wallet = snapshot.chain, snapshot.wallet
    usable = sum(price.verdict == "ok" for price in snapshot.prices)
    balance = wallet.balance_lamports
    low = balance is None or balance < _LOW_SOL
    facts = [
        *(_Fact(0, part) for part in _urgent(state)),
        *(_Fact(1, part) for part in _command(state)),
        _Fact(4, span(snapshot.engine.cluster)),
        _Fact(3, Span(f"slot {fmt.count(chain.slot)}" + ("" if chain.subscribed else " polled"))),
        _Fact(1, _share("rpc", chain.rpc_ok, chain.rpc_total)),
        _Fact(1, _share("prices", usable, len(snapshot.prices))),
        _Fact(1, _database(snapshot.database)),
        _Fact(5, span(f"wallet {fmt.address(wallet.address)}")),
        _Fact(2, Span(f"{fmt.sol_short(balance)} SOL", Tone.ATTENTION if low else Tone.PLAIN)),
    ]
    return _fitted(facts, width)


def _fitted(facts: list[_Fact], width: int) -> Line:
    """The facts with wide gaps, with narrow ones, or without those that can best be done without."""
    whole = _joined([fact.part for fact in facts], "   ")
    if width_of(whole) <= width:
        return whole
    while width_of(fitted := _joined([fact.part for fact in facts], "  ")) > width and len(facts) > 1:
        last = max(fact.rank for fact in facts)
        at = max(index for index, fact in enumerate(facts) if fact.rank == last)
        del facts[at]
    return fitted


def _urgent(state: ConsoleState) -> list[Span]:
    if state.snapshot is None:
        return []
    return [*_alerts(state.snapshot.alerts), *_versions(state.snapshot.engine.version)]


def _command(state: ConsoleState) -> list[Span]:
    """Which console commands and since when, where one at a time may."""
    view = command_of(state)
    if view is None:
        return []
    if not view.console:
        return [Span("nobody commands", Tone.ATTENTION)]
    since = f"since {fmt.clock_time(view.since_ns)[:5]}"
    if view.console == state.console:
        return [Span(f"you command {since}", Tone.OURS)]
    where = f" on {view.terminal.removeprefix('/dev/')}" if view.terminal else ""
    return [span(f"{view.by}{where} commands {since}", Tone.ATTENTION)]


def _alerts(rows: list[wire.AlertRow]) -> list[Span]:
    """How many alerts are on and not acknowledged, with the shape of the most urgent one."""
    waiting = [row for row in rows if row.acknowledged_ns is None]
    if not rows:
        return []
    if not waiting:
        return [Span(f"· {fmt.counted(len(rows), 'alert')} acknowledged", Tone.MUTED)]
    is_danger = any(row.severity == "danger" for row in waiting)
    glyph, tone = ("✕", Tone.DANGER) if is_danger else ("▲", Tone.ATTENTION)
    return [Span(f"{glyph} {fmt.counted(len(waiting), 'alert')}", tone, bold=True)]


def _versions(version: str) -> list[Span]:
    return [span(f"engine {version} ≠ console {__version__}", Tone.ATTENTION)] if differs(version) else []


def _joined(facts: list[Span], gap: str) -> Line:
    parts: list[Span] = []
    for fact in facts:
        parts += [Span(gap), fact] if parts else [fact]
    return tuple(parts)


def _share(name: str, good: int, total: int) -> Span:
    tone = Tone.PLAIN if good == total and total else Tone.DANGER if good == 0 else Tone.ATTENTION
    return Span(f"{name} {good}/{total}", tone)


def _database(database: wire.DatabaseView) -> Span:
    if database.state == "ok":
        return Span("db ok")
    return span(f"db {database.state}, {fmt.count(database.backlog)} rows wait", Tone.ATTENTION)
