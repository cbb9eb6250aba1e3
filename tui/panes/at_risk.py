"""The positions near or below their liquidation price, lowest health first."""

from __future__ import annotations

from typing import ClassVar

from engine.api import wire
from engine.domain import Band
from tui import format as fmt
from tui.lines import Line, Span, Tone, line, span
from tui.live_table import Column, Row
from tui.panes.sifted_pane import SiftedPane
from tui.query import Facts, Number

_CUSHION_CELLS = 4
_AT_RISK_MILLI = 1_300  # where the engine's at-risk band begins: the cushion's bar is full there
_LIQUIDATABLE_MILLI = 1_000  # and here it is used up
_CLOSE_MILLI = 1_100
_UNKNOWN_LAST = 10**9

_COLUMNS = (
    Column("position", 9, rank=0),
    Column("market", 7, rank=1),
    Column("side", 5, rank=2),
    Column("size", 7, right=True, rank=4),
    Column("lev×", 4, right=True, rank=7),
    Column("entry $", 9, right=True, rank=8),
    Column("mark $", 9, right=True, rank=6),
    Column("liq. $", 9, right=True, rank=9),
    Column("dist %", 6, right=True, rank=5),
    Column("health", _CUSHION_CELLS + 7, right=True, rank=3),
    Column("equity $", 11, right=True, rank=10),
    Column("collateral $", 12, right=True, rank=11),
    Column("state", 12, rank=12),
    Column("why", 20, rank=13, stretch=True),
)


class AtRiskPane(SiftedPane[wire.PositionRow]):
    """Rows are keyed by the position's address."""

    FIELDS: ClassVar[tuple[str, ...]] = (
        "market",
        "side",
        "size",
        "lev",
        "health",
        "dist",
        "equity",
        "value",
        "state",
        "owner",
    )

    def __init__(self) -> None:
        super().__init__("1 AT RISK", _COLUMNS, name="at-risk")

    def show_positions(self, book: wire.BookView, positions: list[wire.PositionRow]) -> None:
        """Show the worst positions of the book."""
        self.show_things(_facts(book, len(positions)), sorted(positions, key=_by_health), _empty(book))

    def address_of(self, key: str | None) -> str | None:
        """The key is the address."""
        return key

    def key_of(self, thing: wire.PositionRow) -> str:
        """The position's address."""
        return thing.address

    def row_of(self, thing: wire.PositionRow) -> Row:
        """One line of the table."""
        return _row(thing)

    def facts_of(self, thing: wire.PositionRow) -> Facts:
        """Amounts in quote units, the distance in per cent."""
        mark_e6 = thing.mark_price_e6
        return {
            "position": thing.address,
            "owner": thing.owner,
            "market": thing.symbol,
            "side": thing.side,
            "state": thing.band,
            "why": thing.why,
            "size": Number(thing.size_e6, 6),
            "lev": Number(thing.leverage),
            "health": Number(thing.health_milli, 3),
            "dist": Number(_signed_distance_bps(thing), 2),
            "equity": Number(thing.equity_e6, 6),
            "value": Number(None if mark_e6 is None else thing.size_e6 * mark_e6 // 10**6, 6),
        }


def _by_health(row: wire.PositionRow) -> tuple[int, str]:
    return (_UNKNOWN_LAST if row.health_milli is None else row.health_milli, row.address)


def _facts(book: wire.BookView, received: int) -> Line:
    at_risk = book.at_risk + book.liquidatable
    parts: list[Span] = [Span(f"{fmt.count(at_risk)} of {fmt.count(book.monitored)}")]
    if book.liquidatable:
        parts.append(Span(f"  {fmt.count(book.liquidatable)} liquidatable", Tone.DANGER, bold=True))
    if book.unknown:
        parts.append(Span(f"  {fmt.count(book.unknown)} unknown", Tone.ATTENTION))
    parts.append(Span(f"  worth {fmt.usd_short(book.at_risk_value_e6)}"))
    if skipped := sum(book.skipped.values()):
        parts.append(Span(f"  {fmt.count(skipped)} accounts skipped", Tone.ATTENTION))
    if received < at_risk:
        parts.append(Span(f"  the worst {received}", Tone.MUTED))
    return tuple(parts)


def _empty(book: wire.BookView) -> Line:
    if not book.monitored:
        return line(Span("no positions are known yet", Tone.MUTED))
    return line(
        Span(
            f"nothing is at risk: {fmt.counted(book.healthy, 'position is', 'positions are')} healthy",
            Tone.HEALTHY,
        )
    )


def _row(row: wire.PositionRow) -> Row:
    tone = _tone(row)
    return Row(
        row.address,
        (
            span(fmt.address(row.address)),
            span(row.symbol),
            span(row.side),
            Span(fmt.size_short(row.size_e6)),
            Span(str(row.leverage)),
            Span(fmt.price(row.entry_price_e6)),
            Span(fmt.price(row.mark_price_e6)),
            Span(fmt.price(row.liquidation_price_e6)),
            Span(_distance(row), tone),
            Span(f"{_cushion(row)} {fmt.milli(row.health_milli):>6}", tone, bold=tone is Tone.DANGER),
            Span(fmt.usd(row.equity_e6), Tone.DANGER if (row.equity_e6 or 0) < 0 else Tone.PLAIN),
            Span(fmt.usd(row.collateral_e6)),
            span(row.band, tone),
            span(row.why),
        ),
    )


def _distance(row: wire.PositionRow) -> str:
    """How far the mark is from the liquidation price in per cent, negative beyond it."""
    signed = _signed_distance_bps(row)
    return fmt.UNKNOWN if signed is None else fmt.percent_of_bps(signed, 2 if abs(signed) < 10_000 else 1)


def _signed_distance_bps(row: wire.PositionRow) -> int | None:
    if row.distance_bps is None:
        return None
    return -row.distance_bps if row.band == Band.LIQUIDATABLE else row.distance_bps


def _cushion(row: wire.PositionRow) -> str:
    """What is left between the position and its liquidation, as a bar; a cross when nothing is."""
    if row.band == Band.LIQUIDATABLE:
        return "✕".ljust(_CUSHION_CELLS)
    if row.health_milli is None:
        return "?".ljust(_CUSHION_CELLS)
    left = max(1, row.health_milli - _LIQUIDATABLE_MILLI)
    return fmt.bar(left, _AT_RISK_MILLI - _LIQUIDATABLE_MILLI, _CUSHION_CELLS)


def _tone(row: wire.PositionRow) -> Tone:
    if row.band == Band.LIQUIDATABLE:
        return Tone.DANGER
    if row.band == Band.UNKNOWN or row.health_milli is None or row.health_milli < _CLOSE_MILLI:
        return Tone.ATTENTION
    return Tone.PLAIN
