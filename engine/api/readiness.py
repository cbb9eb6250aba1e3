"""Whether the engine could liquidate now: what that rests on, one by one."""

from __future__ import annotations

from collections.abc import Callable

from engine.api.answers import Readiness, ReadyCheck
from engine.api.clean import clean
from engine.api.position_view import TEXT_LIMIT
from engine.api.snapshots import Shipping
from engine.control import Gate
from engine.domain import Verdict
from engine.ingest import Ingest
from engine.journal.journal import Journal
from engine.liquidation.funds import Funds
from engine.oracle.board import PriceBoard


class ReadinessView:
    """Looks, and awaits nothing."""

    def __init__(
        self,
        *,
        phase: Callable[[], str],
        gate: Gate,
        ingest: Ingest,
        board: PriceBoard,
        shipping: Shipping,
        journal: Journal,
        funds: Funds,
    ) -> None:
        self._phase = phase
        self._gate = gate
        self._ingest = ingest
        self._board = board
        self._shipping = shipping
        self._journal = journal
        self._funds = funds

    def look(self) -> Readiness:
        """The checks now. Without the database it works, and with one usable price."""
        checks = [
            self._engine(),
            self._slot(),
            self._prices(),
            self._database(),
            self._kept(),
            self._funded(),
        ]
        return Readiness(
            ready=all(check.ok for check in checks if check.required),
            state=self._gate.state.state,
            checks=checks,
        )

    def _engine(self) -> ReadyCheck:
        phase = self._phase()
        return ReadyCheck(name="engine", ok=phase == "ready", required=True, detail=phase)

    def _slot(self) -> ReadyCheck:
        current = self._ingest.node_is_current()
        detail = f"slot {self._ingest.slot}" if current else "no node announces new slots"
        return ReadyCheck(name="slot", ok=current, required=True, detail=detail)

    def _prices(self) -> ReadyCheck:
        verdicts = {symbol: self._board.current(symbol).verdict for symbol in self._board.symbols}
        held = {symbol: verdict.value for symbol, verdict in verdicts.items() if verdict is not Verdict.OK}
        told = ", ".join(f"{symbol} {why}" for symbol, why in held.items())
        return ReadyCheck(
            name="prices",
            ok=not held,
            required=len(held) == len(verdicts),
            detail=clean(told, TEXT_LIMIT) or "all usable",
        )

    def _database(self) -> ReadyCheck:
        ok = self._shipping.state == "ok"
        why = clean(self._shipping.message, TEXT_LIMIT)
        return ReadyCheck(
            name="database",
            ok=ok,
            required=False,
            detail="connected" if ok else f"away, history is late: {why}",
        )

    def _kept(self) -> ReadyCheck:
        why = self._journal.damage or self._journal.why_closed()
        return ReadyCheck(
            name="journal", ok=not why, required=True, detail=clean(why, TEXT_LIMIT) or "takes intents"
        )

    def _funded(self) -> ReadyCheck:
        short, balance = self._funds.why_short(), self._funds.balance_lamports
        known = "balance unknown" if balance is None else f"{balance} lamports"
        return ReadyCheck(
            name="wallet",
            ok=not short and balance is not None,
            required=True,
            detail=clean(short, TEXT_LIMIT) if short else known,
        )
