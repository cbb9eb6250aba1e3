"""What the stream of snapshots says, in both directions, when the viewer takes differences.

A viewer asks for them with the WebSocket subprotocol `DELTA`; one that does not is sent whole snapshots, and
an engine that does not know it sends them too.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from engine.api import wire
from engine.api.delta import Change
from engine.api.message import Message

DELTA = "liquidation-engine.delta.1"
FASTEST_MS, SLOWEST_MS = 100, 60_000


class Whole(Message, frozen=True, tag="whole"):
    """Everything: first, when the viewer asks for it, and every minute."""

    snapshot: wire.Snapshot


class Step(Message, frozen=True, tag="step"):
    """What changed since the snapshot of that number, which was the last one that was sent."""

    since: int
    changes: dict[str, Change]


Frame = Whole | Step


class Wish(Message, frozen=True):
    """What a viewer asks for: another pace, or everything once more because it lost its place."""

    interval_ms: Annotated[int, msgspec.Meta(ge=FASTEST_MS, le=SLOWEST_MS)] | None = None
    whole: bool = False
