"""The live feed of one node: positions, prices, the fund, the wallet and slots, over one WebSocket.

Subscriptions are lossy by nature, so a feed never claims to be complete: each time a connection is made the
listener is told to take a new snapshot, and every notification carries the slot that guards it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog
from solana.rpc.commitment import Processed
from solana.rpc.models import MemcmpOpts
from solana.rpc.websocket_api import OverflowPolicy, SolanaWsClient
from solders.pubkey import Pubkey
from solders.rpc.responses import (
    AccountNotification,
    Notification,
    ProgramNotification,
    SlotNotification,
)
from websockets.exceptions import WebSocketException

from engine.chain.port import RpcFailure
from engine.clock import Clock
from engine.protocol.accounts import POSITION_DISCRIMINATOR_BASE58

log = structlog.get_logger("chain")

NOTIFICATION_QUEUE = 100_000
SILENCE_DEADLINE_S = 10.0  # slots come every 400 ms: ten seconds of silence is a dead connection
RECONNECT_DELAYS_S = (0.1, 0.2, 0.5, 1.0, 2.0)


class Listener(Protocol):
    """Where the feed's news goes; every method is called in the loop's thread."""

    def on_connected(self) -> None:
        """A connection is subscribed: what was missed is unknown, so a snapshot is due."""
        ...

    def on_disconnected(self, reason: str) -> None:
        """The connection is gone."""
        ...

    def on_slot(self, slot: int) -> None:
        """The node works on this slot."""
        ...

    def on_account(self, address: Pubkey, data: bytes, owner: Pubkey, lamports: int, slot: int) -> None:
        """An account of the program, or one of the watched ones, changed in this slot."""
        ...


async def try_websocket(url: str) -> None:
    """Connect once and hang up; raises RpcFailure when nobody answers as a WebSocket in time."""
    client = SolanaWsClient(url, close_timeout=1.0)
    try:
        async with asyncio.timeout(SILENCE_DEADLINE_S):
            await client.connect()
    except TimeoutError as error:
        raise RpcFailure(f"timeout after {SILENCE_DEADLINE_S:.0f} s", is_timeout=True) from error
    except (OSError, WebSocketException) as error:
        raise RpcFailure(f"node unreachable ({type(error).__name__})") from error
    finally:
        await client.close()


class LiveFeed:
    """Keeps one subscribed connection to a node's WebSocket, for ever."""

    def __init__(
        self, url: str, program_id: Pubkey, watched: Sequence[Pubkey], listener: Listener, clock: Clock
    ) -> None:
        self._url = url
        self._program_id = program_id
        self._watched = tuple(watched)
        self._listener = listener
        self._clock = clock

    async def run(self) -> None:
        """Connect, deliver, and connect again; ends only by cancellation."""
        failures = 0
        while True:
            try:
                await self._serve_one_connection()
                failures = 0
            except asyncio.CancelledError:
                raise
            except Exception as error:
                # Whatever broke the connection, the answer is the same: say so and connect again.
                self._listener.on_disconnected(type(error).__name__)
                log.warning("subscription lost", reason=f"{type(error).__name__}: {error}"[:200])
            delay = RECONNECT_DELAYS_S[min(failures, len(RECONNECT_DELAYS_S) - 1)]
            failures += 1
            await self._clock.sleep(delay)

    async def _serve_one_connection(self) -> None:
        client = SolanaWsClient(
            self._url,
            # An overflow ends the connection, and the snapshot of the next one makes up for the loss.
            overflow=OverflowPolicy.RAISE,
            notification_queue_size=NOTIFICATION_QUEUE,
            close_timeout=1.0,
        )
        async with asyncio.timeout(SILENCE_DEADLINE_S):
            await client.connect()
        try:
            addresses = await self._subscribe(client)
            self._listener.on_connected()
            while True:
                async with asyncio.timeout(SILENCE_DEADLINE_S):
                    notification = await client.recv()
                self._deliver(notification, addresses)
        finally:
            await client.close()

    async def _subscribe(self, client: SolanaWsClient) -> dict[int, Pubkey]:
        """Subscribe to everything; returns the address behind each account subscription."""
        only_positions = MemcmpOpts(offset=0, bytes=POSITION_DISCRIMINATOR_BASE58)
        await client.slot_subscribe()
        await client.program_subscribe(
            program_id=self._program_id, commitment=Processed, encoding="base64", filters=[only_positions]
        )
        addresses: dict[int, Pubkey] = {}
        for address in self._watched:
            handle = await client.account_subscribe(pubkey=address, commitment=Processed, encoding="base64")
            addresses[handle.subscription_id] = address
        return addresses

    def _deliver(self, notification: Notification, addresses: dict[int, Pubkey]) -> None:
        if isinstance(notification, SlotNotification):
            self._listener.on_slot(notification.result.slot)
        elif isinstance(notification, ProgramNotification):
            keyed, slot = notification.result.value, notification.result.context.slot
            account = keyed.account
            self._listener.on_account(
                keyed.pubkey, bytes(account.data), account.owner, account.lamports, slot
            )
        elif isinstance(notification, AccountNotification):
            address = addresses.get(notification.subscription)
            if address is not None:
                account, slot = notification.result.value, notification.result.context.slot
                self._listener.on_account(address, bytes(account.data), account.owner, account.lamports, slot)
