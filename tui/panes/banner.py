"""The banner: whether anything is being liquidated, and how the engine's surroundings are."""

from __future__ import annotations

from typing import ClassVar

from rich.style import Style

from engine import __version__
from engine.api import wire
from tui import format as fmt
from tui.announcements import differs
from tui.lines import Line, Lines, Span, Tone, broken, line, span, spread, width_of
from tui.state import DEFAULT_INTERVAL_MS, NS_PER_MS, ConsoleState, data_age_ms, headline

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
        second = _facts(state.snapshot, width - width_of(age) - 1) if state.snapshot else ()
        whole = (*first, Span(" · "), *head.outlook) if head.outlook else first
        if width_of(whole) + width_of(pause) < width:
            first = whole
        elif head.outlook:
            second = head.outlook
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
    """What the operator asked of the display that makes it other than live."""
    if not state.paused_ns:
        if state.interval_ms == DEFAULT_INTERVAL_MS:
            return ()
        return line(Span(f"every {fmt.age(state.interval_ms)}", Tone.MUTED))
    held = fmt.age((now_ns - state.paused_ns) // NS_PER_MS)
    return line(Span(f"‖ display held {held}, p lets it go", Tone.ATTENTION, bold=True))


def _age(state: ConsoleState, now_ns: int) -> Line:
    age_ms = data_age_ms(state, now_ns)
    if age_ms is None:
        return line(Span("no data yet", Tone.MUTED))
    is_stale = age_ms > max(_STALE_MS, 2 * state.interval_ms)
    return line(Span(f"data {fmt.age(age_ms)}", Tone.DANGER if is_stale else Tone.PLAIN))


def _facts(snapshot: wire.Snapshot, width: int) -> Line:
    """The engine's surroundings; the wallet's address gives way where there is no room for it."""
    chain, wallet = snapshot.chain, snapshot.wallet
    usable = sum(price.verdict == "ok" for price in snapshot.prices)
    balance = wallet.balance_lamports
    low = balance is None or balance < _LOW_SOL
    facts = [
        span(snapshot.engine.cluster),
        Span(f"slot {fmt.count(chain.slot)}" + ("" if chain.subscribed else " polled")),
        _share("rpc", chain.rpc_ok, chain.rpc_total),
        _share("prices", usable, len(snapshot.prices)),
        _database(snapshot.database),
        span(f"wallet {fmt.address(wallet.address)}"),
        Span(f"{fmt.sol_short(balance)} SOL", Tone.ATTENTION if low else Tone.PLAIN),
    ]
    urgent = [*_alerts(snapshot.alerts), *_versions(snapshot.engine.version)]
    full = _joined([*urgent, *facts], "   ")
    return full if width_of(full) <= width else _joined([*urgent, *facts[:5], facts[6]], "  ")


def _alerts(rows: list[wire.AlertRow]) -> list[Span]:
    """How many alerts are on and not acknowledged, with the shape of the most urgent one."""
    waiting = [row for row in rows if row.acknowledged_ns is None]
    if not rows:
        return []
    if not waiting:
        return [Span(f"· {len(rows)} alerts acknowledged", Tone.MUTED)]
    is_danger = any(row.severity == "danger" for row in waiting)
    glyph, tone = ("✕", Tone.DANGER) if is_danger else ("▲", Tone.ATTENTION)
    return [Span(f"{glyph} {len(waiting)} alert{'s' * (len(waiting) > 1)}", tone, bold=True)]


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
