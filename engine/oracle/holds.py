"""Holds: which symbols may not be acted on, why, since when, and whether it has become a halt."""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog

from engine.domain import Verdict

log = structlog.get_logger("oracle")


@dataclass(frozen=True, slots=True)
class Hold:
    """One symbol's hold. It lasts while reasons change, and ends with the first usable price."""

    symbol: str
    reason: Verdict
    since_ns: int
    is_halted: bool = False


class Holds:
    """The holds of now, and counts of those that were."""

    def __init__(self) -> None:
        self._holds: dict[str, Hold] = {}
        self.begun: dict[str, int] = {}  # by "symbol: reason", each reason of a hold once in a row
        self.held_ns: dict[str, int] = {}  # by symbol, of holds that ended

    def of(self, symbol: str) -> Hold | None:
        """The symbol's hold, None while it may be acted on."""
        return self._holds.get(symbol)

    def note(self, symbol: str, verdict: Verdict, now_ns: int, *, is_halted: bool) -> None:
        """The verdict of now: begins, changes or ends the symbol's hold."""
        hold = self._holds.get(symbol)
        if verdict is Verdict.OK:
            if hold is not None:
                self._end(hold, now_ns)
        elif hold is None:
            self._holds[symbol] = Hold(symbol, verdict, now_ns, is_halted)
            self._count(symbol, verdict)
            if verdict is not Verdict.MISSING:  # as every price is at the start
                log.warning("price held", symbol=symbol, verdict=verdict.value)
        elif hold.reason is not verdict or hold.is_halted is not is_halted:
            self._holds[symbol] = replace(hold, reason=verdict, is_halted=is_halted)
            if hold.reason is not verdict:
                self._count(symbol, verdict)
            log.warning("price still held", symbol=symbol, verdict=verdict.value, halted=is_halted)

    def _end(self, hold: Hold, now_ns: int) -> None:
        held_ns = max(0, now_ns - hold.since_ns)  # our clock may have been set back meanwhile
        del self._holds[hold.symbol]
        self.held_ns[hold.symbol] = self.held_ns.get(hold.symbol, 0) + held_ns
        log.info("price usable", symbol=hold.symbol, held_ms=held_ns // 10**6, reason=hold.reason.value)

    def _count(self, symbol: str, verdict: Verdict) -> None:
        key = f"{symbol}: {verdict.value}"
        self.begun[key] = self.begun.get(key, 0) + 1
