"""Carries the embedded database over when PostgreSQL's major version changes; the old data is never touched.

The old server is started from its own binaries, dumped by the new pg_dump into a new one beside it, and the
rows of every table are counted on both sides before the new data takes the old one's place. The old data
stays beside it. Where that cannot be done it is put aside all the same, so that the engine starts: its
journal gives the new database what it still holds.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import structlog

from engine.errors import DatabaseUnavailable
from engine.store.postgres_files import (
    DATABASE,
    ROLE,
    SERVER_VERSION,
    ServerUser,
    find_binaries,
    find_older_binaries,
    initialise,
)

log = structlog.get_logger("store")

CARRY_S = 3_600.0
START_S = 60
_NEW = "-new"
_SOCKETS = "liquidation-upgrade-"
_DONE = "carried-over"
_TABLES = (
    "SELECT format('SELECT %L, count(*) FROM %I.%I', schemaname || '.' || relname, schemaname, relname)"
    " FROM pg_stat_user_tables ORDER BY schemaname, relname"
)


class _CannotCarryError(Exception):
    """Why the rows cannot be had."""


def bring_forward(data: Path, user: ServerUser) -> None:
    """See that `data` holds a cluster of this version, or none.

    Blocks for as long as the dump takes. Raises DatabaseUnavailable when the old server still runs, or when
    the data cannot be moved.
    """
    new = data.with_name(data.name + _NEW)
    if (new / _DONE).exists() and not (data / "PG_VERSION").exists():
        _take_place(new, data)  # it ended between two renames
    marker = data / "PG_VERSION"
    if not marker.exists() or (found := marker.read_text().strip()) == str(SERVER_VERSION):
        return
    _refuse_running(data)
    shutil.rmtree(new, ignore_errors=True)
    aside = _free_name(data, found)
    try:
        tables = _carry(found, data, new, user)
    except (_CannotCarryError, OSError, subprocess.SubprocessError) as error:
        shutil.rmtree(new, ignore_errors=True)
        log.error(
            "the embedded database is of another PostgreSQL and is kept aside",
            version=found,
            place=str(aside),
            reason=" ".join(str(error).split())[:300],
        )
        _move(data, aside)
        data.mkdir(mode=0o700)
        user.own(data)
        return
    _move(data, aside)
    _take_place(new, data)
    log.info("the embedded database was carried over", tables=tables, to=SERVER_VERSION, old_data=str(aside))


def _refuse_running(data: Path) -> None:
    """An engine of the old version may still use it."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        pid = int(lines[0])
        if _SOCKETS in lines[4]:
            _end_leftover(pid, Path(lines[4]))
            return
        os.kill(pid, 0)
    except (OSError, ValueError, IndexError):
        return
    raise DatabaseUnavailable(
        f"The embedded database in {data} is in use by process {pid}: "
        "end the engine that it belongs to, or set DATABASE_URL"
    )


def _end_leftover(pid: int, sockets: Path) -> None:
    """End a server that an upgrade started which was killed; raises OSError once it is gone."""
    try:
        os.kill(pid, signal.SIGINT)
        for _ in range(START_S * 10):
            threading.Event().wait(0.1)  # in a helper thread, beside the event loop
            os.kill(pid, 0)
    finally:
        shutil.rmtree(sockets, ignore_errors=True)


def _carry(found: str, data: Path, new: Path, user: ServerUser) -> int:
    """Dump the one into the other; returns how many tables are the same on both sides."""
    older = find_older_binaries(int(found), user) if found.isdigit() else None
    if older is None:
        raise _CannotCarryError(f"PostgreSQL {found} is not installed, to read it with")
    newer = find_binaries(user)
    new.mkdir(mode=0o700)
    user.own(new)
    initialise(newer, new, user, durable=True)
    with (
        _Server(older, data, user, _socket_folder(user)) as source,
        _Server(newer, new, user, _socket_folder(user)) as target,
    ):
        target.psql(newer, "postgres", f"CREATE DATABASE {DATABASE}")
        source.dump_into(newer, target)
        tables = source.counts(newer)
        if tables != target.counts(newer):
            raise _CannotCarryError("the copy does not hold as many rows")
    (new / _DONE).touch()
    return len(tables)


def _socket_folder(user: ServerUser) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=_SOCKETS))
    user.own(folder)
    return folder


@dataclass(frozen=True, slots=True)
class _Server:
    """A server that runs for as long as the context lasts, and whose socket only its user may enter."""

    binaries: Path
    data: Path
    user: ServerUser
    sockets: Path

    def __enter__(self) -> _Server:
        options = (
            f"-c listen_addresses= -c unix_socket_directories={self.sockets} -c unix_socket_permissions=0700"
            " -c max_locks_per_transaction=256"
        )
        log_file = self.data / "upgrade.log"
        try:
            self._ctl("-o", options, "-l", str(log_file), "-t", str(START_S), "start")
        except (_CannotCarryError, OSError, subprocess.SubprocessError):
            shutil.rmtree(self.sockets, ignore_errors=True)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._ctl("-m", "fast", "stop")
        finally:
            shutil.rmtree(self.sockets, ignore_errors=True)

    def _ctl(self, *arguments: str) -> None:
        command = [str(self.binaries / "pg_ctl"), "-D", str(self.data), "-w", *arguments]
        done = self.user.run(command, START_S * 2)
        if done.returncode != 0:
            raise _CannotCarryError(f"pg_ctl {arguments[-1]}: {done.stderr or done.stdout}")

    def psql(self, newer: Path, database: str, statement: str) -> str:
        """What the new psql prints, a row a line."""
        command = [str(newer / "psql"), *self._address(), "-X", "-q", "-A", "-t", "-d", database]
        return self._run([*command, "-v", "ON_ERROR_STOP=1", "-c", statement])

    def dump_into(self, newer: Path, target: _Server) -> None:
        """Roles as far as they are missing, then the whole database in one transaction."""
        dump = str(target.data / "dump.sql")
        psql = [str(newer / "psql"), *target._address(), "-X", "-q", "-f", dump, "-d"]
        self._run([str(newer / "pg_dumpall"), *self._address(), "--roles-only", "-f", dump])
        self.user.run([*psql, "postgres"], CARRY_S)  # that our own role is there already is no fault
        self._run([str(newer / "pg_dump"), *self._address(), "-f", dump, DATABASE])
        self._run([*psql, DATABASE, "-1", "-v", "ON_ERROR_STOP=1"])
        Path(dump).unlink()

    def counts(self, newer: Path) -> list[str]:
        """Every table with its rows."""
        statements = self.psql(newer, DATABASE, _TABLES).splitlines()
        return sorted(self.psql(newer, DATABASE, " UNION ALL ".join(statements)).splitlines())

    def _address(self) -> list[str]:
        return ["-h", str(self.sockets), "-U", ROLE]

    def _run(self, command: list[str]) -> str:
        done = self.user.run(command, CARRY_S)
        if done.returncode != 0:
            raise _CannotCarryError(f"{Path(command[0]).name}: {done.stderr}")
        return done.stdout


def _take_place(new: Path, data: Path) -> None:
    """The new data under the old one's name."""
    _move(new, data)
    (data / _DONE).unlink()


def _free_name(data: Path, found: str) -> Path:
    """Beside the data, of the version that it is of, and of nothing that is there."""
    label = found if found.isalnum() else "other"
    names = [f"{data.name}-{label}", *(f"{data.name}-{label}-{number}" for number in range(2, 100))]
    return next(place for name in names if not (place := data.with_name(name)).exists())


def _move(source: Path, target: Path) -> None:
    try:
        if target.is_dir() and not any(target.iterdir()):
            target.rmdir()
        source.rename(target)
    except OSError as error:
        raise DatabaseUnavailable(
            f"The embedded database in {source} cannot be moved to {target} ({error.strerror}): "
            "mend that, or set DATABASE_URL"
        ) from None
