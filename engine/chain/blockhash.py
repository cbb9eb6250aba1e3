"""A blockhash kept fresh ahead of need, so that signing never waits for a node."""

from __future__ import annotations

import structlog

from engine.chain.port import Chain, FreshBlockhash, RpcFailure
from engine.clock import Clock

log = structlog.get_logger("chain")

REFRESH_S = 2.0
MAX_AGE_S = 20.0  # of the 150 blocks' validity, most must be left when a transaction is signed


class NoFreshBlockhash(Exception):
    """No blockhash is recent enough to sign with."""


class BlockhashCache:
    """The last blockhash, refreshed every two seconds."""

    def __init__(self, chain: Chain, clock: Clock) -> None:
        self._chain = chain
        self._clock = clock
        self._value: FreshBlockhash | None = None
        self._fetched_ns = 0

    def current(self) -> FreshBlockhash:
        """The cached blockhash; raises NoFreshBlockhash when the node has not answered for too long."""
        age_s = (self._clock.monotonic_ns() - self._fetched_ns) / 1e9
        if self._value is None or age_s > MAX_AGE_S:
            raise NoFreshBlockhash("node error: no recent blockhash")
        return self._value

    async def refresh(self) -> None:
        """Fetch once; raises RpcFailure."""
        self._value = await self._chain.latest_blockhash()
        self._fetched_ns = self._clock.monotonic_ns()

    async def run(self) -> None:
        """Keep the blockhash fresh; ends only by cancellation."""
        while True:
            try:
                await self.refresh()
            except RpcFailure as failure:
                log.warning("no new blockhash", reason=str(failure))
            await self._clock.sleep(REFRESH_S)
