"""Reads accounts just before acting: concurrent readers share one getMultipleAccounts request."""

from __future__ import annotations

import asyncio

from solders.pubkey import Pubkey

from engine.chain.port import AccountRead, Chain, RpcFailure

BATCH = 100  # the most that one request may name

_Batch = dict[Pubkey, list[asyncio.Future[AccountRead]]]


class AccountReader:
    """Collects the reads of one turn of the event loop into requests of up to a hundred accounts."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._gathering: _Batch = {}
        self._requests: set[asyncio.Task[None]] = set()

    async def read(self, address: Pubkey) -> AccountRead:
        """The account at processed; raises RpcFailure."""
        return await self.begin(address)

    def begin(self, address: Pubkey) -> asyncio.Future[AccountRead]:
        """The same, asked for at the end of this turn; whoever begins need not wait for it."""
        if not self._gathering or len(self._gathering) >= BATCH:
            self._gathering = {}
            request = asyncio.create_task(self._request(self._gathering))
            self._requests.add(request)
            request.add_done_callback(self._requests.discard)
        # Each reader has its own future: one that is cancelled must not cancel the others.
        future: asyncio.Future[AccountRead] = asyncio.get_running_loop().create_future()
        self._gathering.setdefault(address, []).append(future)
        return future

    async def _request(self, batch: _Batch) -> None:
        """Begins when the turn is over: whoever comes from then on is in the next one."""
        if batch is self._gathering:
            self._gathering = {}
        try:
            answers = await self._chain.accounts(list(batch))
            reads = dict(zip(batch, answers, strict=True))
        except Exception as error:
            # Whatever it was, the readers hear of it: they wait without a deadline of their own.
            failure = (
                error if isinstance(error, RpcFailure) else RpcFailure(f"node error: {type(error).__name__}")
            )
            for future in (each for waiting in batch.values() for each in waiting if not each.done()):
                future.set_exception(failure)
                future.exception()  # a reader that gave up never collects it
            return
        for address, waiting in batch.items():
            for future in waiting:
                if not future.done():
                    future.set_result(reads[address])
