"""The connection pool: deadlines on everything, statements by name, and errors without the password."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from urllib.parse import unquote, urlsplit

import asyncpg

from engine.errors import DatabaseUnavailable
from engine.store.queries import sql
from engine.store.statistics import StatementStatistics

CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 5.0
ACQUIRE_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 5.0
MAX_CONNECTIONS = 5

# The server gives up by itself as well, should our own deadline not reach it.
SERVER_SETTINGS = {
    "application_name": "liquidation-engine",
    "statement_timeout": "5000",
    "lock_timeout": "2000",
    "idle_in_transaction_session_timeout": "10000",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "synchronous_commit": "on",
}

# Everything that a server which is restarting, unreachable, full or taken over can make a call raise.
OUTAGE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
# What says that a row itself is wrong; DataError is also what the driver raises for a value it cannot encode,
# and OverflowError what becomes of a time that no calendar has.
ROW_FAULTS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    OverflowError,
)


class Session:
    """One connection within one transaction."""

    def __init__(self, connection: asyncpg.Connection, statistics: StatementStatistics) -> None:
        self._connection = connection
        self._statistics = statistics

    async def execute(self, name: str, *arguments: object) -> None:
        """Run a named statement."""
        started = time.perf_counter()
        await self._connection.execute(sql(name), *arguments)
        self._statistics.add(name, 1, time.perf_counter() - started)

    async def executemany(self, name: str, rows: Sequence[Sequence[object]]) -> None:
        """Run a named statement once per row."""
        if rows:
            started = time.perf_counter()
            await self._connection.executemany(sql(name), rows)
            self._statistics.add(name, len(rows), time.perf_counter() - started)

    async def fetch(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        """The rows of a named statement."""
        started = time.perf_counter()
        rows: list[asyncpg.Record] = await self._connection.fetch(sql(name), *arguments)
        self._statistics.add(name, 1, time.perf_counter() - started)
        return rows


class Database:
    """The engine's PostgreSQL. Any call may raise one of OUTAGE; none waits for ever.

    `dsn` is for other connections to the same server; it may hold a password.
    """

    def __init__(self, pool: asyncpg.Pool, dsn: str) -> None:
        self._pool = pool
        self.dsn = dsn
        self.statistics = StatementStatistics()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """A transaction on one connection: committed at the end, rolled back by an exception."""
        with _keeping_cancellation():
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
                transaction = connection.transaction()
                try:
                    await transaction.start()
                    yield Session(connection, self.statistics)
                    await transaction.commit()
                except TimeoutError:
                    # A server that hangs takes no cancellation either: the driver would wait as long for it.
                    connection.terminate()
                    raise
                except BaseException:
                    with suppress(*OUTAGE):  # what went wrong first is what is told
                        if connection.is_in_transaction():
                            await transaction.rollback()
                    raise

    async def fetch(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        """The rows of a named statement, in a transaction of its own."""
        async with self.transaction() as session:
            return await session.fetch(name, *arguments)

    async def renew(self) -> None:
        """Drop idle connections: after a failover they may still talk to a server that only reads."""
        await self._pool.expire_connections()

    def explain(self, error: BaseException) -> str:
        """A failure in a few words, without the password."""
        return short_reason(error, self.dsn)

    async def close(self) -> None:
        """Close every connection, by force when the server does not answer."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._pool.close()
        except (TimeoutError, *OUTAGE):
            self._pool.terminate()


@contextmanager
def _keeping_cancellation() -> Iterator[None]:
    """Whoever is cancelled while the server dies hears of the first, and does not go on after an outage.

    The driver fails in giving such a connection back, and that failure takes the cancellation's place.
    """
    try:
        yield
    except OUTAGE as error:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise asyncio.CancelledError from error
        raise


async def open_pool(
    dsn: str, *, connect_now: bool = True, max_connections: int = MAX_CONNECTIONS
) -> Database:
    """Connect to PostgreSQL; raises DatabaseUnavailable when that fails now, whatever the reason.

    Without `connect_now` the first call connects, and raises.
    """
    try:
        async with asyncio.timeout(2 * CONNECT_TIMEOUT_S):
            pool = await asyncpg.create_pool(
                dsn,
                min_size=1 if connect_now else 0,
                max_size=max_connections,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=COMMAND_TIMEOUT_S,
                server_settings=SERVER_SETTINGS,
            )
    except (*OUTAGE, ValueError) as error:
        raise unavailable(error, dsn) from None
    return Database(pool, dsn)


@asynccontextmanager
async def single_connection(dsn: str, command_timeout_s: float) -> AsyncIterator[asyncpg.Connection]:
    """One connection outside the pool; raises DatabaseUnavailable when it cannot be made."""
    try:
        async with asyncio.timeout(2 * CONNECT_TIMEOUT_S):
            connection = await asyncpg.connect(
                dsn, timeout=CONNECT_TIMEOUT_S, command_timeout=command_timeout_s
            )
    except (*OUTAGE, ValueError) as error:
        raise unavailable(error, dsn) from None
    try:
        yield connection
    finally:
        await _close_connection(connection)


async def _close_connection(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=CLOSE_TIMEOUT_S)
    except OUTAGE:
        connection.terminate()


def unavailable(error: BaseException, dsn: str) -> DatabaseUnavailable:
    """The one line that an operator reads when PostgreSQL cannot be used."""
    reason = short_reason(error, dsn)
    return DatabaseUnavailable(
        f"Database connection failed: {reason}: check DATABASE_URL and that PostgreSQL is running"
    )


def short_reason(error: BaseException, dsn: str) -> str:
    """An error of the driver or the server in one short line, without the DSN's password."""
    if isinstance(error, TimeoutError):
        return f"no answer in {CONNECT_TIMEOUT_S:g} s"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, FileNotFoundError):
        return "there is no such socket"
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    for secret in _secrets(dsn):
        text = text.replace(secret, "***")
    text = "".join(character if character.isprintable() else " " for character in text)
    return text[:200]


def _secrets(dsn: str) -> list[str]:
    """Every spelling of the password in a DSN, the longest first; a DSN too broken to parse is all secret."""
    found = {match.group(1) for match in re.finditer(r"[?&]password=([^&#]*)", dsn)}
    found |= {match.group(1) for match in re.finditer(r"//[^/@]*?:(.*)@", dsn)}
    try:
        found.add(urlsplit(dsn).password or "")
    except ValueError:
        found.add(dsn)
    found |= {unquote(each) for each in found}
    return sorted((each for each in found if each), key=len, reverse=True)
