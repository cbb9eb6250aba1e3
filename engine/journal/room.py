"""Whether the journal's disk has room for another intent: the last of it is for ends of those in flight."""

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
