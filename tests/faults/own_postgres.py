"""A PostgreSQL of the test's own that can be stopped, killed and made read-only, and the TCP way to it."""

from __future__ import annotations

import os
import signal
import tempfile
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import asyncpg
from tcp_proxy import TcpProxy

from engine.store.embedded import embedded_postgres

ROLE, DATABASE = "liquidation", "liquidation_db"
CONNECT_S = 20.0


class OwnPostgres:
    """The server on a unix socket, and a proxy before it that can swallow or refuse. Close it at the end."""

    def __init__(self) -> None:
        # The server does not run as root: its user must be able to enter the directories above the data.
        self._folder = tempfile.TemporaryDirectory(prefix="lp-")
        Path(self._folder.name).chmod(0o711)
        self._data = Path(self._folder.name) / "pg"
        self.proxy = TcpProxy(str(self._data / ".s.PGSQL.5432"))
        self._server: AsyncExitStack | None = None

    @property
    def url(self) -> str:
        """For the engine: through the proxy, the same whatever happens to the server."""
        return f"postgresql://{ROLE}@127.0.0.1:{self.proxy.port}/{DATABASE}"

    async def start(self) -> None:
        """Start the server on its data, which a kill may have left as it fell."""
        self._server = AsyncExitStack()
        await self._server.enter_async_context(embedded_postgres(self._data))
        if not self.proxy.is_listening:
            await self.proxy.listen()

    async def stop(self) -> None:
        """A fast shutdown: sessions are ended, everything is written."""
        if self._server is not None:
            await self._server.aclose()
            self._server = None

    async def kill(self) -> None:
        """kill -9 of the server and all of its processes."""
        for pid in self._processes():
            with suppress(ProcessLookupError):  # once the first is dead, the server ends the others by itself
                os.kill(pid, signal.SIGKILL)
        await self.stop()

    def _processes(self) -> list[int]:
        """The children first: without their parent they would say that it is gone."""
        pid = int((self._data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [*map(int, children), pid]

    async def execute(self, *statements: str) -> None:
        """Run statements past the proxy, each in a transaction of its own that may write."""
        dsn = f"postgresql://{ROLE}@/{DATABASE}?host={self._data}"
        connection = await asyncpg.connect(
            dsn, timeout=CONNECT_S, server_settings={"default_transaction_read_only": "off"}
        )
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close(timeout=CONNECT_S)

    async def count(self, query: str) -> int:
        """The number that a query gives, asked past the proxy."""
        connection = await asyncpg.connect(
            f"postgresql://{ROLE}@/{DATABASE}?host={self._data}", timeout=CONNECT_S
        )
        try:
            return int(await connection.fetchval(query))
        finally:
            await connection.close(timeout=CONNECT_S)

    async def close(self) -> None:
        """End proxy and server."""
        await self.proxy.close()
        await self.stop()
        self._folder.cleanup()
