"""Tells systemd (Type=notify) how the engine stands and that it lives; nothing without NOTIFY_SOCKET."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable

LONGEST_STATUS = 200
_LOOK_S = 5.0
_SHORTEST_S = 0.05


def notify(state: str) -> None:
    """Send one state, such as READY=1 or STOPPING=1. A manager that does not listen is no fault of ours."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    # Around the socket, too: a process with all its files open must not end for want of one more.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.setblocking(False)  # a full queue costs one state, never the event loop's time
        channel.sendto(state.encode(), address)


def notify_reloading() -> None:
    """That the settings are read again; READY=1 has to follow."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def watchdog_period_s() -> float | None:
    """How often the manager is to be told, half of its patience; None where it has no watchdog for us."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()) or not microseconds.isdecimal():
        return None
    return max(_SHORTEST_S, int(microseconds) / 2e6) if int(microseconds) else None


async def stay_in_touch(status: Callable[[], str]) -> None:
    """Ping the watchdog, and tell the status where it changed, until cancelled.

    Runs in the engine's own event loop: when that hangs the pings end, and systemd starts the engine anew.
    """
    if not os.environ.get("NOTIFY_SOCKET"):
        return
    period_s = watchdog_period_s()
    told = ""
    while True:
        if period_s is not None:
            notify("WATCHDOG=1")
        now = " ".join(status().split())[:LONGEST_STATUS]
        if now != told:
            notify(f"STATUS={now}")
            told = now
        await asyncio.sleep(min(_LOOK_S, period_s or _LOOK_S))
