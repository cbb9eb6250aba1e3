"""The signing wallet's balance as it was last told: the engine knows before the network what it can pay."""

from __future__ import annotations

from solders.pubkey import Pubkey

from engine.chain.port import Chain


class WalletWatch:
    """The wallet's lamports as last seen, None before the first look."""

    def __init__(self, chain: Chain, address: Pubkey) -> None:
        self.address = address
        self._chain = chain
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
