"""Reads the engine's snapshots for as long as the console lives, and connects again when it was cut off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

import msgspec
from textual.message import Message

from engine.api import wire
from engine.api.client import EngineClient
from engine.api.stream_reader import Pace
from engine.errors import OperatorError
from tui.messages import FeedLost, FeedSilent, SnapshotArrived

RECONNECT_S = 0.5
SILENCE_S = 3.0
BEAT_S = 1.0

Post = Callable[[Message], object]


@dataclass(slots=True)
class _Heard:
    at_s: float | None = None  # monotonic time of the last snapshot of this connection


async def follow(connect: Callable[[], EngineClient], pace: Pace, post: Post) -> None:
    """Post snapshots, silences and losses until cancelled. At most one snapshot is in flight."""
    while True:
        try:
            await _read_stream(connect, pace, post)
            reason = "the engine closed the connection"
        except OperatorError as error:
            reason = str(error)
        except msgspec.MsgspecError as error:
            reason = (
                f"the engine does not speak this console's language ({error}): use the same version of both"
            )
        post(FeedLost(reason))
        await asyncio.sleep(RECONNECT_S)


async def _read_stream(connect: Callable[[], EngineClient], pace: Pace, post: Post) -> None:
    heard = _Heard()
    watcher = asyncio.create_task(_watch(heard, pace, post))
    try:
        async with connect() as client, aclosing(client.stream(pace)) as snapshots:
            async for snapshot in snapshots:
                _check_language(snapshot)
                heard.at_s = time.monotonic()
                post(SnapshotArrived(snapshot, time.time_ns()))
    finally:
        watcher.cancel()


async def _watch(heard: _Heard, pace: Pace, post: Post) -> None:
    """Say so when a connection that once spoke falls silent."""
    while True:
        await asyncio.sleep(BEAT_S)
        quiet_s = max(SILENCE_S, 2 * pace.interval_ms / 1000)
        if heard.at_s is not None and time.monotonic() - heard.at_s > quiet_s:
            post(FeedSilent())


def _check_language(snapshot: wire.Snapshot) -> None:
    if snapshot.protocol != wire.PROTOCOL_VERSION:
        raise OperatorError(
            f"the engine speaks version {snapshot.protocol} of the console's language, this console "
            f"{wire.PROTOCOL_VERSION}: use the same version of both"
        )
