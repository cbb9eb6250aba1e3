"""The machine's clock as one process sees it, through libfaketime: moved while the process runs.

Only the wall clock moves. The monotonic clock never jumps on a real machine either.
"""

from __future__ import annotations

from pathlib import Path

import pytest

LIBRARY = "libfaketime.so.1"
PLACES = ("/usr/lib", "/usr/local/lib", "/lib")


class MovedClock:
    """A clock that a process is started on with `settings`, and that `move` moves by seconds."""

    def __init__(self, folder: Path) -> None:
        found = [path for place in PLACES for path in Path(place).glob(f"**/faketime/{LIBRARY}")]
        if not found:
            pytest.skip("needs the Debian package faketime: the clock of a real process has to jump")
        self._library = found[0]
        self._file = folder / "clock"
        self.move(0)

    @property
    def settings(self) -> dict[str, str]:
        """The environment of a process on this clock."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def move(self, seconds: int) -> None:
        """From now on the process sees the machine's time plus so many seconds."""
        scratch = self._file.with_suffix(".new")
        scratch.write_text(f"{seconds:+d}\n")
        scratch.replace(self._file)
