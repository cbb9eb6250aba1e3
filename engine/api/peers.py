"""Who is at the other end of a request, by the kernel's word where there is one."""

from __future__ import annotations

import functools
import grp
import os
import pwd
import socket
import struct
from pathlib import Path

from aiohttp import web

from engine.actor import Actor
from engine.api.clean import clean
from engine.errors import SettingsError

TERMINAL_LIMIT = 64
_CREDENTIALS = struct.Struct("3i")


def peer_uid(request: web.Request) -> int | None:
    """The user id of the process behind a unix-socket request, None when it did not come over one."""
    transport = request.transport
    sock = None if transport is None else transport.get_extra_info("socket")
    if sock is None or sock.family != socket.AF_UNIX:
        return None
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(raw)[1]
    return uid


@functools.lru_cache(maxsize=256)
def peer_name(uid: int) -> str:
    """The user's name, or `uid N` when the system knows none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def terminal_of(request: web.Request) -> str:
    """The terminal that the caller says it sits at: header `X-Terminal`, cleaned."""
    return clean(request.headers.get("X-Terminal", ""), TERMINAL_LIMIT)


def unix_caller(request: web.Request) -> Actor:
    """Who calls over the unix socket."""
    uid = peer_uid(request)
    return Actor("unknown" if uid is None else peer_name(uid), uid, terminal_of(request))


def share_with_group(path: Path, name: str) -> None:
    """Let a system group open a unix socket, and reach it; raises SettingsError."""
    try:
        number = grp.getgrnam(name).gr_gid
        os.chown(path, -1, number)
        path.chmod(0o660)
        os.chown(path.parent, -1, number)
        path.parent.chmod(0o710)
    except (KeyError, OSError) as error:
        raise SettingsError(
            f"ADMIN_GROUP {name!r} cannot be given the socket ({error}): name a group that you are in"
        ) from None
