"""Finds a second keyring daemon on the same files: two of them lose each other's writes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from engine.errors import WalletError

_PROC: Final = Path("/proc")
_COMMAND: Final = "gnome-keyring-d"  # the kernel keeps 15 letters of a process's name


def refuse_second_daemon() -> None:
    """Raise WalletError, naming them, when more than one daemon of ours may write the same keyring."""
    pids = daemons_of(_folder(os.environ))
    if len(pids) > 1:
        raise WalletError(
            f"{len(pids)} keyring daemons (processes {', '.join(map(str, pids))}) share one keyring and "
            "lose what the other writes: log out of the sessions that you do not need, or end all but one"
        )


def daemons_of(folder: Path) -> list[int]:
    """The processes of GNOME's keyring of this user that keep their files in `folder`, or may do so."""
    found = []
    for process in _PROC.glob("[0-9]*"):
        try:
            status = (process / "status").read_text()
            if f"Name:\t{_COMMAND}\n" not in status or f"\nUid:\t{os.geteuid()}\t" not in status:
                continue
            settings = (process / "environ").read_bytes()
        except PermissionError:  # it hides its memory, and with it its settings: it may be one of them
            found.append(int(process.name))
            continue
        except OSError:  # it has ended
            continue
        pairs = (each.partition("=") for each in os.fsdecode(settings).split("\0"))
        if settings and _folder({name: value for name, _, value in pairs}) == folder:
            found.append(int(process.name))
    return sorted(found)


def _folder(environ: Mapping[str, str]) -> Path:
    """Where such a daemon with this environment keeps its files."""
    data = environ.get("XDG_DATA_HOME") or Path(environ.get("HOME", "/"), ".local", "share")
    return Path(data, "keyrings")
