"""The engine with its last metres done the plain way: solana-py's AsyncClient reads the account and sends.

Everything before and between is the engine's own: the same feed, book, decision, signing and journal.
`python -m benchmarks.plain_engine` runs it headless with the settings of its environment.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Processed
from solana.rpc.models import TxOpts
from solders.pubkey import Pubkey

from engine import runtime, transport
from engine.chain.parcel import Parcel
from engine.chain.pool import RpcPool
from engine.chain.port import AccountRead, NoLongerWanted
from engine.chain.sender import Destination
from engine.cli import headless
from engine.clock import Clock
from engine.control import Gate
from engine.paths import profile_paths
from engine.setting_sources import Given

_URL = os.environ["SOLANA_RPC_URL"]


class PlainPool(RpcPool):
    """Reads the accounts to act on through solana-py; everything else is the pool's."""

    async def __aenter__(self) -> Self:
        self._client = await AsyncClient(_URL, commitment=Processed).__aenter__()
        return await super().__aenter__()

    async def accounts(self, addresses: Sequence[Pubkey]) -> list[AccountRead]:
        """One getMultipleAccounts."""
        answer = await self._client.get_multiple_accounts(list(addresses), Processed, "base64")
        slot = answer.context.slot
        return [
            AccountRead(None, None, 0, slot)
            if account is None
            else AccountRead(bytes(account.data), account.owner, account.lamports, slot)
            for account in answer.value
        ]


class PlainSender:
    """Sends through solana-py, gated like the engine's own."""

    def __init__(
        self,
        destinations: Callable[[], Sequence[Destination]],
        gate: Gate,
        clock: Clock,
        *_: object,
        **__: object,
    ) -> None:
        del destinations
        self._gate = gate
        self._clock = clock

    async def __aenter__(self) -> Self:
        self._client = await AsyncClient(_URL, commitment=Processed).__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    def send_together(self, parcels: Sequence[Parcel]) -> list[Awaitable[None]]:
        """Each as `send` does."""
        return [self.send(each.raw, each.on_write, each.still_wanted) for each in parcels]

    async def send(
        self, raw: bytes, on_write: Callable[[int], None], still_wanted: Callable[[], bool] = lambda: True
    ) -> None:
        """One sendTransaction."""
        if not still_wanted():
            raise NoLongerWanted
        self._gate.check()
        on_write(self._clock.now_ns())
        await self._client.send_raw_transaction(raw, TxOpts(skip_preflight=True, max_retries=0))


if __name__ == "__main__":
    vars(runtime).update(RpcPool=PlainPool)
    vars(transport).update(Sender=PlainSender)
    given = Given(os.environ, dict.fromkeys(os.environ, "environment"))
    headless.run(profile_paths(), None, given, duration_s=None, with_summary=False)
