"""One position as viewers see it: its row, its arithmetic, its attempts. Figures are exact integers."""

from __future__ import annotations

from dataclasses import dataclass

from solders.pubkey import Pubkey

from engine.api import wire
from engine.api.clean import clean
from engine.api.risk_view import account_reason, price_reason
from engine.book.book import terms_of
from engine.book.holdings import Holdings
from engine.domain import Action, Band, Position, Price, Verdict
from engine.journal.journal import Journal
from engine.liquidation.decide import decide
from engine.liquidation.failures import Failures
from engine.liquidation.queue import LiquidationQueue, Stage
from engine.oracle.board import PriceBoard
from engine.protocol.margin import is_below, is_liquidatable, threshold_e6
from engine.telemetry.health_history import HealthHistory

TEXT_LIMIT = 200
SYMBOL_LIMIT = 32
DECISION_LIMIT = 4000
ATTEMPT_ROWS = 20
_HEALTH_MAX = 10**9


def clamp_milli(milli: int) -> int:
    """Healths beyond a million say nothing more; a bound keeps them in any reader's integers."""
    return max(-_HEALTH_MAX, min(_HEALTH_MAX, milli))


class PositionViews:
    """Rows and details of positions, made on demand."""

    def __init__(
        self,
        *,
        holdings: Holdings,
        board: PriceBoard,
        queue: LiquidationQueue,
        failures: Failures,
        journal: Journal,
        history: HealthHistory,
        at_risk_milli: int,
    ) -> None:
        self._holdings = holdings
        self._board = board
        self._queue = queue
        self._failures = failures
        self._journal = journal
        self._history = history
        self._at_risk_milli = at_risk_milli

    def row(self, address: Pubkey) -> wire.PositionRow | None:
        """The position's row at the current price, None when it is not held."""
        position = self._holdings.book.get(address)
        if position is None:
            return None
        reason = self._holdings.book.unknown_reason(address)
        why = None if reason is None else account_reason(reason)
        price = self._board.current(position.symbol)
        if why is None and price.verdict is not Verdict.OK:
            why = price_reason(price)
        figures = self._figures(position, price) if why is None else _UNKNOWN
        return wire.PositionRow(
            address=str(position.address),
            owner=str(position.owner),
            symbol=clean(position.symbol, SYMBOL_LIMIT),
            side=position.side.value,
            size_e6=position.size_e6,
            leverage=position.leverage,
            entry_price_e6=position.entry_price_e6,
            collateral_e6=position.collateral_e6,
            mark_price_e6=figures.mark_price_e6,
            liquidation_price_e6=figures.liquidation_price_e6,
            distance_bps=figures.distance_bps,
            health_milli=figures.health_milli,
            equity_e6=figures.equity_e6,
            band=figures.band,
            why=why or figures.why,
        )

    def _waits_for(self, address: Pubkey) -> str | None:
        """Why a position that ought to be liquidated is not being liquidated just now."""
        entry = self._queue.get(address)
        if entry is not None and entry.stage is Stage.LANDED:
            return "waits until its last liquidation is final"
        return "rests after a failure" if self._failures.is_resting(address) else None

    def detail(self, address: Pubkey) -> wire.PositionDetail | None:
        """One position with its arithmetic and attempts, None when it is not held."""
        row = self.row(address)
        position = self._holdings.book.get(address)
        if row is None or position is None:
            return None
        decision = decide(position, self._board.current(position.symbol))
        known = row.band != Band.UNKNOWN.value
        return wire.PositionDetail(
            row=row,
            generation=position.generation.value,
            account_slot=position.slot,
            maintenance_bps=decision.health.maintenance_bps if known else None,
            value_e6=decision.health.value_e12 // 10**6 if known else None,
            action=decision.action.value if known else Action.HOLD.value,
            amount_e6=decision.amount_e6 if known else 0,
            reason=clean(decision.reason, TEXT_LIMIT) if known else row.why,
            health_history_milli=self._history.of(address),
            attempts=self._attempts(address),
        )

    def _figures(self, position: Position, price: Price) -> _Figures:
        decision = decide(position, price)
        health = decision.health
        if health.value_e12 == 0:
            return _Figures(band=Band.UNKNOWN.value, why=decision.reason)
        line_e6 = threshold_e6(terms_of(position))
        if is_liquidatable(health):
            band = Band.LIQUIDATABLE
        elif is_below(health, self._at_risk_milli):
            band = Band.AT_RISK
        else:
            band = Band.HEALTHY
        return _Figures(
            mark_price_e6=price.price_e6,
            liquidation_price_e6=line_e6,
            distance_bps=abs(price.price_e6 - line_e6) * 10_000 // price.price_e6,
            health_milli=clamp_milli(
                10_000_000 * health.equity_e12 // (health.maintenance_bps * health.value_e12)
            ),
            equity_e6=health.equity_e12 // 10**6,
            band=band.value,
            why=self._waits_for(position.address) or decision.reason,
        )

    def _attempts(self, address: Pubkey) -> list[wire.AttemptRow]:
        return [
            wire.AttemptRow(
                signature=str(intent.signature),
                liquidation_id=intent.liquidation_id,
                attempt=intent.attempt,
                action=intent.action.value,
                amount_e6=intent.amount_e6,
                outcome="in flight" if outcome is None else outcome.outcome.value,
                error_message=None
                if outcome is None or outcome.error_message is None
                else clean(outcome.error_message, TEXT_LIMIT),
                slot=None if outcome is None else outcome.slot,
                fee_lamports=0 if outcome is None else outcome.fee_lamports,
                created_at_ns=intent.created_at_ns,
                decision_json=clean(intent.decision_json, DECISION_LIMIT),
                liquidated_by=None
                if outcome is None or outcome.liquidated_by is None
                else str(outcome.liquidated_by),
            )
            for intent, outcome in self._journal.attempts_of(address, ATTEMPT_ROWS)
        ]


@dataclass(frozen=True, slots=True)
class _Figures:
    """The price-dependent part of a position's row."""

    mark_price_e6: int | None = None
    liquidation_price_e6: int | None = None
    distance_bps: int | None = None
    health_milli: int | None = None
    equity_e6: int | None = None
    band: str = Band.UNKNOWN.value
    why: str = ""


_UNKNOWN = _Figures()
