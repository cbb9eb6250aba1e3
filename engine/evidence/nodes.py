"""The nodes that evidence is read from: one is asked after the other, and again, until one answers.

A reader of history is in no hurry, and one busy node must not be the end of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

from solana.exceptions import SolanaRpcException
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Finalized
from solana.rpc.core import RPCException

from engine.errors import RpcUnreachable

T = TypeVar("T")

CALL_DEADLINE_S = 15.0
PATIENCE_S = 30.0
PARALLEL_READS = 16
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_FAILURES = (
    TimeoutError,
    SolanaRpcException,
    RPCException,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
)


@dataclass(frozen=True, slots=True)
class _Node:
    host: str  # the rest of a URL may be an API key
    client: AsyncClient


class EvidenceNodes:
    """Several URLs as one. An async context manager; reads may raise RpcUnreachable after `patience_s`."""

    def __init__(self, rpc_urls: Sequence[str], patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._nodes = [_Node(urlsplit(url).hostname or "the node", _client(url)) for url in rpc_urls]
        self._asked = list(self._nodes)
        self._turn = 0  # which of `_asked` is asked: the last one that answered

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(node.client.close() for node in self._nodes))

    async def meet(self) -> str:
        """The cluster's genesis hash, as the first URL that answers tells it.

        From here on only nodes of that cluster are asked, the one that finalized most before the others:
        one that is behind does not know yet what it will.
        """
        genesis = await self.ask(_genesis_hash)
        met = await asyncio.gather(*(self._look_at(node) for node in self._nodes))
        known = [(slot, node) for (told, slot), node in zip(met, self._nodes, strict=True) if told == genesis]
        if known:
            self._asked = [node for _, node in sorted(known, key=lambda each: -each[0])]
            self._turn = 0
        return genesis

    async def ask(self, read: Callable[[AsyncClient], Awaitable[T]]) -> T:
        """What `read` finds at the first node that answers it."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + self._patience_s
        pause_s = _FIRST_PAUSE_S
        while True:
            for _ in self._asked:
                turn = self._turn
                node = self._asked[turn % len(self._asked)]
                try:
                    async with asyncio.timeout(CALL_DEADLINE_S):
                        return await read(node.client)
                except _FAILURES as error:
                    host, why = node.host, _reason(error)
                if self._turn == turn:  # or else a read beside this one has moved on already
                    self._turn = turn + 1
            if loop.time() + pause_s > end_s:
                raise RpcUnreachable(f"The RPC node {host} did not answer ({why}): check SOLANA_RPC_URL")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _look_at(self, node: _Node) -> tuple[str | None, int]:
        """A node's genesis hash and finalized slot, None when it does not answer now."""
        try:
            async with asyncio.timeout(CALL_DEADLINE_S):
                return await _genesis_hash(node.client), (await node.client.get_slot(Finalized)).value
        except _FAILURES:
            return None, 0


def _client(url: str) -> AsyncClient:
    return AsyncClient(
        url,
        timeout=CALL_DEADLINE_S,
        http2=False,
        max_connections=PARALLEL_READS,
        max_keepalive_connections=PARALLEL_READS,
    )


async def _genesis_hash(client: AsyncClient) -> str:
    return str((await client.get_genesis_hash()).value)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer in {CALL_DEADLINE_S:g} s"
    return type(error.__cause__ or error).__name__
