"""This machine: Python, terminal, clock, disk, the API's port, the service manager, tokens."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import ssl
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from engine.api.launcher import engine_pid
from engine.api.tokens import TokenFile
from engine.doctor.findings import Finding, fail, of_error, ok, warn
from engine.errors import OperatorError
from engine.paths import ProfilePaths
from engine.setting_sources import exposed_secrets
from engine.settings import Settings

OLDEST_PYTHON = (3, 11)
LEAST_SIZE = (60, 16)  # columns and rows below which the console shows its banner and stop key alone
LEAST_FREE_BYTES = 1 << 30
SOON_S = 7 * 86_400
_SYSTEMD = Path("/run/systemd/system")
_ADJTIME_UNSYNCHRONISED = 0x40


def python() -> Finding:
    """The interpreter."""
    text = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST_PYTHON:
        return fail("python", text, "install Python 3.11 or newer")
    return ok("python", f"{text}, {ssl.OPENSSL_VERSION}")


def terminal(environ: Mapping[str, str]) -> Finding:
    """What the console would draw on."""
    if not sys.stdout.isatty():
        return ok("terminal", "none here: `--no-ui` and `status` need none")
    columns, rows = shutil.get_terminal_size()
    kind = environ.get("TERM", "")
    if kind in ("", "dumb"):
        return warn("terminal", f"TERM is {kind or 'not set'}", "set TERM, as in TERM=xterm-256color")
    if columns < LEAST_SIZE[0] or rows < LEAST_SIZE[1]:
        return warn("terminal", f"{columns}x{rows}", "make it 80x24 or larger for the panes to fit")
    encoding = (sys.stdout.encoding or "").lower()
    letters = "" if encoding == "utf-8" else f", {encoding or 'no encoding'}: the console will use ASCII"
    return ok("terminal", f"{kind} {columns}x{rows}{letters}")


def synchronised() -> bool | None:
    """Whether the kernel says that its clock follows a time server; None when it does not say."""
    try:
        import ctypes

        buffer = ctypes.create_string_buffer(256)  # struct timex, all zero: only ask
        state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except (OSError, AttributeError):
        return None
    status = int.from_bytes(buffer.raw[40:44], sys.byteorder)
    return None if state < 0 else not status & _ADJTIME_UNSYNCHRONISED


def disk(paths: ProfilePaths) -> Finding:
    """Where the journal will be: it has to be writable, and to have room."""
    folder = paths.state
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        return fail("disk", f"{folder} cannot be written", "set XDG_STATE_HOME, or own the folder")
    free = shutil.disk_usage(folder).free
    text = f"{free / (1 << 30):.1f} GiB free for {paths.state}"
    if free < LEAST_FREE_BYTES:
        return warn("disk", text, "make room: the journal refuses new liquidations on a full disk")
    return ok("disk", text)


def port(settings: Settings, paths: ProfilePaths) -> Finding:
    """The API's address: free, or our engine's."""
    address = f"{settings.server_host}:{settings.server_port}"
    if engine_pid(paths.socket) is not None:
        return ok("port", f"{address}; the profile's engine runs")
    try:
        family = socket.AF_INET6 if ":" in settings.server_host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.server_host, settings.server_port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return fail("port", f"{address} is taken", "set SERVER_PORT to a free port, or 0 for any")
        return fail("port", f"{address}: {error.strerror}", "correct SERVER_HOST and SERVER_PORT")
    return ok("port", f"{address} is free")


def service() -> Finding:
    """Who would start it again after a crash or a reboot."""
    if not _SYSTEMD.is_dir():
        return warn("systemd", "does not run this machine", "have something start the engine after a reboot")
    return ok("systemd", "runs this machine")


def tokens(paths: ProfilePaths, now_s: float) -> Finding:
    """Those of programs that command over TCP."""
    try:
        known = TokenFile(paths.tokens).read()
    except OperatorError as error:
        return of_error("tokens", error)
    if not known:
        return ok("tokens", "none: programs on this machine can read, and command nothing")
    over = [token.name for token in known if token.expires_s <= now_s]
    soon = [token.name for token in known if now_s < token.expires_s <= now_s + SOON_S]
    if over or soon:
        told = f"expired: {', '.join(over) or 'none'}; within a week: {', '.join(soon) or 'none'}"
        return warn("tokens", told, "rotate with `liquidation-engine token new NAME --replace`")
    return ok("tokens", f"{len(known)} in force")


def secret_files(environ: Mapping[str, str]) -> list[Finding]:
    """Files of settings that others can read."""
    exposed = [line.rpartition(": ") for line in exposed_secrets(environ)]
    return [warn("files", what, remedy.strip("`")) for what, _, remedy in exposed]


def look(settings: Settings | None, paths: ProfilePaths, environ: Mapping[str, str]) -> list[Finding]:
    """All of it; without settings, what needs none."""
    found = [python(), terminal(environ), disk(paths)]
    if settings is not None:
        found.append(port(settings, paths))
    return [*found, service(), tokens(paths, time.time()), *secret_files(environ)]
