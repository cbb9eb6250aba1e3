"""What the background workers tell the app. Workers never touch widgets: they post one of these."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from engine.api import wire


@dataclass
class SnapshotArrived(Message):
    """The engine's newest state; while several wait to be handled only the last one counts."""

    snapshot: wire.Snapshot
    received_ns: int

    def can_replace(self, message: Message) -> bool:
        """Newer snapshots replace older ones that were not handled yet."""
        return isinstance(message, SnapshotArrived)


@dataclass
class FeedSilent(Message):
    """Connected, but no snapshot came for longer than it should take; sent once a second."""


@dataclass
class FeedLost(Message):
    """Nobody answers on the socket, or not in our language; sent with every attempt to connect again."""

    reason: str


@dataclass
class LaunchProgress(Message):
    """What the background worker is doing for the engine, in words."""

    activity: str


@dataclass
class LaunchFailed(Message):
    """The background worker gave up; the reason is one line that says what to do."""

    reason: str


@dataclass
class CommandDone(Message):
    """The engine carried out a command of this console."""

    command: str
    acknowledged: wire.Acknowledged


@dataclass
class CommandFailed(Message):
    """A command was refused, or nobody answered it. `standing_stop`: a stop was left for the next start."""

    command: str
    reason: str
    standing_stop: bool = False


@dataclass
class StopHeard(Message):
    """The engine's own stop thread carried a stop out that its loop did not answer; its words."""

    told: str
