"""Whether the journal's disk can take another intent: its file is there still, and there is room.

The last of the room is for ends of those in flight.
"""

from __future__ import annotations

import os
from pathlib import Path

RESERVE_BYTES = 64 * 1024 * 1024
RESERVE_SHARE = 20  # of a small file system, one part in so many is kept


class DiskRoom:
    """The file system on which a folder is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def why_short(self) -> str:
        """Why nothing new should be written there, empty while there is room. Takes a microsecond or two."""
        try:
            disk = os.statvfs(self._folder)
        except OSError as error:
            return f"The journal's disk cannot be looked at ({error.strerror}): see to the disk"
        free = disk.f_bavail * disk.f_frsize
        if free >= min(RESERVE_BYTES, disk.f_blocks * disk.f_frsize // RESERVE_SHARE):
            return ""
        return f"The journal's disk is nearly full, {free // 2**20} MiB are left: make room"


class KeptFile:
    """A file that is there: whether its name still leads to it. One without a name ends with the process."""

    def __init__(self, path: Path) -> None:
        """Raises OSError when nothing is there."""
        self._path = path
        self._status = path.stat()

    def why_lost(self) -> str:
        """Why what is written to it would not be found again, empty while it would. Takes a microsecond."""
        try:
            if os.path.samestat(self._path.stat(), self._status):
                return ""
            what = "is another file now"
        except OSError as error:
            what = f"cannot be found ({error.strerror})"
        return (
            f"The journal {self._path} {what}: put it back, or end the engine and check the wallet's history"
        )
