"""The connections over which transactions leave, so that a stop can cut them from any thread.

A write that the gate let pass may still wait in the event loop, and in the kernel for a node that does not
read. Cutting the connection ends both: what a busy loop writes later meets a closed connection.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import Any

from engine.control import GateState

_AT_ONCE = struct.pack("ii", 1, 0)  # a close drops what the kernel has not sent yet


class SendLines:
    """Makes sockets and keeps them until they are closed. Every method may be called in any thread."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._changing = threading.Lock()

    def open(self, address: tuple[Any, ...]) -> socket.socket:
        """A new socket for an entry of getaddrinfo; for aiohttp's connector."""
        family, kind, protocol = address[:3]
        line = socket.socket(family, kind, protocol)
        with self._changing:
            self._sockets = [each for each in self._sockets if each.fileno() >= 0]
            self._sockets.append(line)
        return line

    def follow(self, gate: GateState) -> None:
        """A listener of the gate: cuts every line when it closes."""
        if not gate.is_running:
            self.cut()

    def cut(self) -> None:
        """Close every connection for both directions, at once; what was not sent yet is dropped."""
        with self._changing:
            lines = list(self._sockets)
        for line in lines:
            # One that is closed has nothing to cut; one that is not connected yet asks the gate later.
            with contextlib.suppress(OSError):
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                line.shutdown(socket.SHUT_RDWR)
