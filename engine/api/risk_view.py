"""The risk figures as viewers see them: bands, distances, and ladders held against the fund."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from engine.api import wire
from engine.book.book import Book
from engine.book.risk import BandCounts, Rung
from engine.book.unknown import NO_FEED, NO_MAINTENANCE
from engine.domain import Price, Verdict
from engine.fund import FundWatcher
from engine.oracle.board import PriceBoard
from engine.protocol.addresses import SOL_USD
from engine.protocol.margin import lamports_ceil
from engine.risk_board import RiskBoard, RiskFigures


def price_reason(price: Price) -> str:
    """Why positions of a symbol are unknown while its price may not be acted on."""
    return f"price is {price.verdict.value}"


def account_reason(reason: str) -> str:
    """Why one position is unknown whatever its price: the reason of the book, in an operator's words."""
    return reason if reason in (NO_FEED, NO_MAINTENANCE) else f"account cannot be read: {reason}"


class RiskViews:
    """Rows made on demand from the figures that are kept."""

    def __init__(self, risks: RiskBoard, board: PriceBoard, fund: FundWatcher) -> None:
        self._risks = risks
        self._board = board
        self._fund = fund

    def bands(self) -> BandCounts:
        """All symbols together."""
        return self._risks.bands()

    def rows(self) -> list[wire.SymbolRiskRow]:
        """One row a symbol."""
        sol = self._board.current(SOL_USD.symbol)
        sol_price_e6 = sol.price_e6 if sol.verdict is Verdict.OK else None
        fund = self._fund.state
        balance = None if fund is None else fund.balance_lamports
        return [self._row(figures, sol_price_e6, balance) for figures in self._risks.figures()]

    def _row(
        self, figures: RiskFigures, sol_price_e6: int | None, balance_lamports: int | None
    ) -> wire.SymbolRiskRow:
        price, risk = figures.price, figures.risk
        is_known = price.verdict is Verdict.OK
        # What SOL is worth at a rung of its own ladder is what that rung says.
        is_sol = price.symbol == SOL_USD.symbol
        return wire.SymbolRiskRow(
            symbol=price.symbol,
            why="" if is_known else price_reason(price),
            price_e6=price.price_e6 if is_known else None,
            monitored=risk.bands.monitored,
            healthy=risk.bands.healthy,
            at_risk=risk.bands.at_risk,
            liquidatable=risk.bands.liquidatable,
            unknown=risk.bands.unknown,
            healthy_value_e6=risk.bands.healthy_value_e6,
            at_risk_value_e6=risk.bands.at_risk_value_e6,
            liquidatable_value_e6=risk.bands.liquidatable_value_e6,
            next_fall_e6=risk.next_fall_e6,
            next_fall_bps=_distance_bps(price, risk.next_fall_e6),
            next_rise_e6=risk.next_rise_e6,
            next_rise_bps=_distance_bps(price, risk.next_rise_e6),
            ladder=[
                _rung(rung, rung.price_e6 if is_sol else sol_price_e6, balance_lamports)
                for rung in risk.ladder
            ],
            made_at_ns=figures.made_at_ns,
        )


def unknown_reasons(book: Book, prices: Iterable[Price]) -> dict[str, int]:
    """How many positions are unknown for each reason: their account, their terms, or their symbol's price."""
    reasons = Counter({account_reason(reason): count for reason, count in book.unknowns.reasons.items()})
    for price in prices:
        held = sum(len(flank) for flank in book.shelves.flanks(price.symbol))
        if held and price.verdict is not Verdict.OK:
            reasons[price_reason(price)] += held
    return dict(reasons)


def _distance_bps(price: Price, line_e6: int | None) -> int | None:
    """How far the mark is from a line, in basis points of the mark, rounded down."""
    if line_e6 is None or price.price_e6 == 0:
        return None
    return abs(price.price_e6 - line_e6) * 10_000 // price.price_e6


def _rung(rung: Rung, sol_price_e6: int | None, balance_lamports: int | None) -> wire.RungRow:
    bad_debt_lamports: int | None = None
    if rung.bad_debt_e6 == 0:
        bad_debt_lamports = 0
    elif sol_price_e6:
        bad_debt_lamports = lamports_ceil(rung.bad_debt_e6, sol_price_e6)
    is_covered: bool | None = None
    if bad_debt_lamports is not None and balance_lamports is not None:
        is_covered = bad_debt_lamports <= balance_lamports
    return wire.RungRow(
        move_bps=rung.move_bps,
        price_e6=rung.price_e6,
        count=rung.count,
        value_e6=rung.value_e6,
        bad_debt_e6=rung.bad_debt_e6,
        bad_debt_lamports=bad_debt_lamports,
        is_covered=is_covered,
    )
