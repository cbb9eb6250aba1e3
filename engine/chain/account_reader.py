"""Reads accounts just before acting: concurrent readers share one getMultipleAccounts request."""

from __future__ import annotations

import asyncio

from solders.pubkey import Pubkey

from engine.chain.port import AccountRead, Chain, RpcFailure

BATCH = 100  # the most that one request may name


class AccountReader:
    """Collects the reads of one turn of the event loop into requests of up to a hundred accounts."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._waiting: dict[Pubkey, list[asyncio.Future[AccountRead]]] = {}
        self._requests: set[asyncio.Task[None]] = set()

    async def read(self, address: Pubkey) -> AccountRead:
        """The account at processed; raises RpcFailure."""
        return await self.begin(address)

    def begin(self, address: Pubkey) -> asyncio.Future[AccountRead]:
        """The same, asked for at the end of this turn; whoever begins need not wait for it."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._start_request)
        # Each reader has its own future: one that is cancelled must not cancel the others.
        future: asyncio.Future[AccountRead] = loop.create_future()
        self._waiting.setdefault(address, []).append(future)
        if len(self._waiting) >= BATCH:
            self._start_request()
        return future

    def _start_request(self) -> None:
        if not self._waiting:
            return
        batch, self._waiting = self._waiting, {}
        request = asyncio.create_task(self._request(batch))
        self._requests.add(request)
        request.add_done_callback(self._requests.discard)

    async def _request(self, batch: dict[Pubkey, list[asyncio.Future[AccountRead]]]) -> None:
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
