"""Whether the wallet can pay: while it cannot, nothing is signed, and the queue waits until it is funded."""

from __future__ import annotations

import asyncio

import structlog

from engine.chain.port import RpcFailure
from engine.clock import Clock
from engine.telemetry.events import EventLog, Level
from engine.wallet.watch import WalletWatch

log = structlog.get_logger("wallet")

RENT_EXEMPT_LAMPORTS = 890_880  # an account of no data: the cluster takes no fee that leaves less, except 0
LOOK_S = 2.0


class FundsShort(Exception):
    """The wallet is known not to cover the next transaction's fee; nothing was signed."""


class Funds:
    """A pause of its own beside the gate: it ends by itself, and nobody has to resume it."""

    def __init__(
        self,
        wallet: WalletWatch,
        events: EventLog,
        clock: Clock,
        floor_lamports: int = RENT_EXEMPT_LAMPORTS,
    ) -> None:
        """`floor_lamports` stay in the wallet whatever there is to pay; less than its rent cannot."""
        self._wallet = wallet
        self._events = events
        self._clock = clock
        self._floor_lamports = max(floor_lamports, RENT_EXEMPT_LAMPORTS)
        self._needed_lamports: int | None = None
        self._looking = asyncio.Lock()

    @property
    def balance_lamports(self) -> int | None:
        """What the wallet holds, as far as it is known."""
        return self._wallet.balance_lamports

    def why_short(self) -> str:
        """Why nothing is sent, empty while the wallet can pay."""
        if self._needed_lamports is None:
            return ""
        balance_lamports = self._wallet.balance_lamports or 0
        return (
            f"insufficient funds: the wallet holds {balance_lamports} lamports, "
            f"{self._needed_lamports} are needed: fund it"
        )

    def check(self, cost_lamports: int) -> None:
        """Raise FundsShort when the balance is known not to cover this beside the floor."""
        balance_lamports = self._wallet.balance_lamports
        if balance_lamports is not None and balance_lamports < cost_lamports + self._floor_lamports:
            self.pause(cost_lamports)
            raise FundsShort(self.why_short())

    def pause(self, cost_lamports: int) -> None:
        """Send nothing until the wallet covers this: the balance, or the cluster, says that it does not."""
        is_news = self._needed_lamports is None
        self._needed_lamports = max(self._needed_lamports or 0, cost_lamports + self._floor_lamports)
        if is_news:
            self._events.add(Level.DANGER, f"ERROR nothing is sent, {self.why_short()}")

    async def wait_covered(self) -> None:
        """Return while the wallet can pay. One of those that wait looks, every two seconds."""
        while self._needed_lamports is not None:
            async with self._looking:
                if self._needed_lamports is not None and not await self._is_covered():
                    await self._clock.sleep(LOOK_S)

    async def _is_covered(self) -> bool:
        try:
            await self._wallet.refresh()
        except RpcFailure as failure:
            log.warning("wallet balance unknown", reason=str(failure))
            return False
        balance_lamports, needed_lamports = self._wallet.balance_lamports, self._needed_lamports
        if balance_lamports is None or needed_lamports is None or balance_lamports < needed_lamports:
            return False
        self._needed_lamports = None
        self._events.add(Level.OURS, f"the wallet holds {balance_lamports / 1e9:.4f} SOL: sending goes on")
        return True
