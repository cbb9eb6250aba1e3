"""Server-sent events out of a stream of bytes, as far as a price service uses them, within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_EVENT_BYTES: Final = 2**20  # an event of 100 feeds with its signed part is less than half of it


class EventTooLong(Exception):
    """A line or an event that does not end: the stream it came on is not worth reading further."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its name ("message" unless it says otherwise) and the lines of its data."""

    name: bytes
    data: bytes


class EventReader:
    """Puts events together from chunks of any size. Lines end with LF or CRLF; the last may be unfinished."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._name = b""
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that this chunk completes; raises EventTooLong."""
        lines = chunk.split(b"\n")
        if len(lines) == 1:
            self._keep(chunk)
            return []
        lines[0] = bytes(self._rest) + lines[0]
        self._rest.clear()
        events = [event for line in lines[:-1] if (event := self._take(line.removesuffix(b"\r")))]
        self._keep(lines[-1])
        return events

    def _keep(self, piece: bytes) -> None:
        self._rest += piece
        if len(self._rest) > MAX_EVENT_BYTES:
            raise EventTooLong

    def _take(self, line: bytes) -> Event | None:
        """Take one whole line; the event when it was the empty one that ends an event with data."""
        if not line:
            event = Event(self._name or b"message", b"\n".join(self._data)) if self._data else None
            self._name, self._data, self._data_bytes = b"", [], 0
            return event
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data_bytes += len(line)
            if self._data_bytes > MAX_EVENT_BYTES:
                raise EventTooLong
            self._data.append(value)
        elif field == b"event":
            self._name = value[:64]
        return None  # comments keep the connection alive; ids and retry times are not used here
