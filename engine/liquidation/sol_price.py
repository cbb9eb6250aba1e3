"""The price of SOL: while the program, which pays by it, would refuse it, nothing is signed."""

from __future__ import annotations

from engine.clock import Clock
from engine.domain import Verdict
from engine.oracle.board import PriceBoard
from engine.protocol.addresses import SOL_USD

LOOK_S = 0.2

# A jump and what the second source says are our own caution and none of the program's.
_PAYABLE = (Verdict.OK, Verdict.JUMP, Verdict.DIVERGED)


class SolPriceHeld(Exception):
    """The program would refuse the price that turns quote units into lamports; nothing was signed."""


class SolPrice:
    """A hold of all symbols that ends by itself; what waits for it uses up no attempts."""

    def __init__(self, board: PriceBoard, clock: Clock) -> None:
        self._board = board
        self._clock = clock

    def why_held(self) -> str:
        """Why nothing is signed, empty while the price can be paid by."""
        verdict = self._board.current(SOL_USD.symbol).verdict
        if verdict in _PAYABLE:
            return ""
        return f"{SOL_USD.symbol} is {verdict.value}, and liquidations are paid by it"

    def check(self) -> None:
        """Raise SolPriceHeld while nothing can be paid by it."""
        if why := self.why_held():
            raise SolPriceHeld(why)

    async def wait_usable(self) -> None:
        """Return once the price can be paid by."""
        while self.why_held():
            await self._clock.sleep(LOOK_S)
