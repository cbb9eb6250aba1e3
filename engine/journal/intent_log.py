"""A file beside the journal that takes intents first: one write into space it has already, and one sync.

What is in it is durable, and enters the journal with the journal's next commit. A number in the journal says
how far that has come; whatever has a higher one is taken over at the next start.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.journal import encoding

SUFFIX = "-intents"
LOG_BYTES = 1024 * 1024
_MAGIC = b"LIQINTS1"
_HEADER = struct.Struct("<8s32sQII")  # magic, journal id, number, length of the bodies, their checksum
_BLOCK = 512


class LogFull(Exception):
    """There is no room before the journal has taken over what is in it."""


class IntentLog:
    """Frames of intents, each with the next number. What the journal has taken over is written over."""

    def __init__(self, path: Path, journal_id: str, taken: int) -> None:
        """Open or create the log, everything up to frame `taken` being in the journal. Raises OSError."""
        self.path = path
        self._journal_id = journal_id.encode()
        self._number = self._taken = taken
        self._end = 0
        # A write that is a sync as well: between two calls a thread has to wait for the interpreter.
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DSYNC, 0o600)
        try:
            self._allocate()
        except OSError:
            os.close(self._file)
            raise

    def _allocate(self) -> None:
        """Have the blocks before they are needed, so that a sync has nothing but their content to write."""
        missing = LOG_BYTES - os.fstat(self._file).st_size
        if missing <= 0:
            return
        os.pwrite(self._file, bytes(missing), LOG_BYTES - missing)
        os.fsync(self._file)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @property
    def number(self) -> int:
        """The number of the newest frame."""
        return self._number

    def frame(self, bodies: Sequence[str]) -> tuple[int, bytes]:
        """Intents as the next frame: where it goes, and its bytes; raises LogFull.

        Its number is used up, whatever becomes of it.
        """
        content = msgspec.json.encode(bodies)
        if self._number == self._taken:
            self._end = 0
        size = -(-(_HEADER.size + len(content)) // _BLOCK) * _BLOCK
        if self._end + size > LOG_BYTES:
            raise LogFull
        start, self._end = self._end, self._end + size
        self._number += 1
        head = _HEADER.pack(
            _MAGIC, self._journal_id, self._number, len(content), _checksum(self._number, content)
        )
        return start, (head + content).ljust(size, b"\0")

    def write(self, start: int, frame: bytes) -> None:
        """Make a frame durable; in any thread, one at a time. Raises OSError."""
        if os.pwrite(self._file, frame, start) != len(frame):
            raise OSError("the disk took a part of it")

    def taken_over(self, number: int) -> None:
        """The journal has everything up to this frame."""
        self._taken = max(self._taken, number)

    def close(self) -> None:
        """Close the file; one whose intents are all in the journal is not needed any more."""
        self.abandon()
        if self._taken == self._number:
            self.path.unlink(missing_ok=True)

    def abandon(self) -> None:
        """Close the file and leave it there."""
        descriptor, self._file = self._file, -1
        if descriptor >= 0:
            os.close(descriptor)


def left_behind(path: Path, journal_id: str, taken: int) -> list[tuple[int, list[encoding.Object]]]:
    """The frames that the journal has not taken over, by number; raises ValueError when that is not all.

    A last one that was not completely written is no frame: nobody was told that it is durable.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    frames: dict[int, list[encoding.Object]] = {}
    at = 0
    while at + _HEADER.size <= len(content):
        magic, journal, number, length, checksum = _HEADER.unpack_from(content, at)
        body = content[at + _HEADER.size : at + _HEADER.size + length]
        if magic != _MAGIC or number <= taken or _checksum(number, body) != checksum:
            at += _BLOCK
            continue
        if journal.decode() != journal_id:
            raise ValueError("its intents are of another journal")
        frames[number] = [encoding.load(each) for each in msgspec.json.decode(body, type=list[str])]
        at += -(-(_HEADER.size + length) // _BLOCK) * _BLOCK
    if list(range(taken + 1, taken + 1 + len(frames))) != sorted(frames):
        raise ValueError("intents are missing between those that are there")
    return sorted(frames.items())


def _checksum(number: int, content: bytes) -> int:
    return zlib.crc32(content, number & 0xFFFFFFFF)
