"""The base of everything that travels between the engine and its viewers."""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything on the wire."""
