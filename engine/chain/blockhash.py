"""A blockhash kept fresh ahead of need, so that signing never waits for a node."""

from __future__ import annotations

from dataclasses import replace

import structlog

from engine.chain.endpoint import VALID_BLOCKS
from engine.chain.port import Chain, FreshBlockhash, RpcFailure
from engine.clock import Clock

log = structlog.get_logger("chain")

REFRESH_S = 1.0
MAX_AGE_S = 20.0
LEAST_BLOCKS_LEFT = 75  # half of a blockhash's life: for the transaction to land, and to be sent again


class NoFreshBlockhash(Exception):
    """No blockhash is recent enough to sign with."""


class BlockhashCache:
    """The newest blockhash that a node has told, asked for every second."""

    def __init__(self, chain: Chain, clock: Clock) -> None:
        self._chain = chain
        self._clock = clock
        self._value: FreshBlockhash | None = None
        self._told_height = 0  # the last block in which it is valid, as the node says
        self._fetched_ns = 0

    def current(self) -> FreshBlockhash:
        """The newest blockhash, without waiting for anybody.

        Raises NoFreshBlockhash when no node has told one for too long, or when too much of its life is over:
        that is counted in blocks, since they may come much faster than every 400 ms.
        """
        if self._value is None or self._is_old():
            raise NoFreshBlockhash("node error: no recent blockhash")
        if self._told_height - self._chain.block_tip() < LEAST_BLOCKS_LEFT:
            raise NoFreshBlockhash(
                "node error: no recent blockhash, the last one is valid for too few blocks"
            )
        return self._value

    async def refresh(self) -> None:
        """Ask once; raises RpcFailure. A node that is a little behind does not take a newer one back."""
        told = await self._chain.latest_blockhash()
        height = told.last_valid_block_height
        if self._value is None or height >= self._told_height or self._is_old():
            self._told_height, self._fetched_ns = height, self._clock.monotonic_ns()
            # A transaction counts as out until no block can take it: a node that tells too low a height
            # must not end that early. What exists now is valid in the next 150 blocks at the most.
            self._value = replace(
                told, last_valid_block_height=max(height, self._chain.block_tip() + VALID_BLOCKS)
            )

    def _is_old(self) -> bool:
        return self._clock.monotonic_ns() - self._fetched_ns > MAX_AGE_S * 1e9

    async def run(self) -> None:
        """Keep the blockhash fresh; ends only by cancellation."""
        while True:
            try:
                await self.refresh()
            except RpcFailure as failure:
                log.warning("no new blockhash", reason=str(failure))
            await self._clock.sleep(REFRESH_S)
