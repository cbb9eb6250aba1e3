"""A disk of a few megabytes for an engine's state, which a test fills and empties. Needs root on Linux."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MEGABYTES = 48
_BLOCK = b"\0" * 65_536


class SmallDisk:
    """A tmpfs at a path; `fill` leaves nothing, or so many bytes, and `empty` takes the filling away."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._filling = path / "filling"
        mount = shutil.which("mount")
        if os.geteuid() != 0 or mount is None:
            pytest.skip("needs root and the Debian package mount: a small disk has to be mounted")
        path.mkdir(parents=True)
        command = [mount, "-t", "tmpfs", "-o", f"size={MEGABYTES}m,mode=0700", "tmpfs", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        if done.returncode != 0:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")

    @property
    def free_bytes(self) -> int:
        """What is left."""
        found = os.statvfs(self._path)
        return found.f_bavail * found.f_frsize

    def fill(self, leave_bytes: int = 0) -> None:
        """Write until so much is left; whoever writes beside us may take the rest."""
        with self._filling.open("ab", buffering=0) as file:
            try:
                while (more := self.free_bytes - leave_bytes) > 0:
                    file.write(_BLOCK[: min(more, len(_BLOCK))])
            except OSError:
                return

    def empty(self) -> None:
        """Make room again."""
        self._filling.unlink(missing_ok=True)

    def unmount(self) -> None:
        """Take it down; what still has files open on it keeps it until it ends."""
        subprocess.run(["umount", "--lazy", str(self._path)], capture_output=True, timeout=20, check=False)
