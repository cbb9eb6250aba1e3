"""Watches the signing wallet's balance, so that the engine knows before the network what it can pay."""

from __future__ import annotations

import structlog
from solders.pubkey import Pubkey

from engine.chain.port import Chain, RpcFailure
from engine.clock import Clock

log = structlog.get_logger("wallet")

REFRESH_S = 5.0


class WalletWatch:
    """The wallet's lamports as last seen, None before the first look."""

    def __init__(self, chain: Chain, address: Pubkey, clock: Clock) -> None:
        self.address = address
        self._chain = chain
        self._clock = clock
        self._told_slot = 0
        self.balance_lamports: int | None = None

    def apply(self, lamports: int, slot: int) -> None:
        """A feed tells the balance in this slot; what is told of an earlier one changes nothing."""
        if slot >= self._told_slot:
            self._told_slot = slot
            self.balance_lamports = lamports

    async def refresh(self) -> None:
        """Read the balance once; raises RpcFailure."""
        self.balance_lamports = await self._chain.balance(self.address)

    async def run(self) -> None:
        """Keep the balance current; ends only by cancellation."""
        while True:
            try:
                await self.refresh()
            except RpcFailure as failure:
                log.warning("wallet balance unknown", reason=str(failure))
            await self._clock.sleep(REFRESH_S)
