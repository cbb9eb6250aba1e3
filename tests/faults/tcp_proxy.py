"""A TCP proxy that forwards, refuses, or swallows: the network between the engine and what it talks to."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit

CHUNK = 65_536


class TcpProxy:
    """One port of ours before one address: a path of a unix socket, or a URL with host and port.

    Healthy until told otherwise. `swallow` takes what comes and gives nothing back, over old and new
    connections alike, and no end of a connection passes either; `refuse` closes the port and resets what was
    open; `forward` ends both.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._swallows = asyncio.Event()
        self._flows = asyncio.Event()
        self._flows.set()
        self._open: set[asyncio.Task[None]] = set()
        self.port = 0
        self.swallowed_bytes = 0

    @property
    def is_listening(self) -> bool:
        """Whether connections are accepted."""
        return self._server is not None

    async def listen(self) -> None:
        """Open the port, the same one as before."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def forward(self) -> None:
        """Be a healthy network again; what was swallowed is gone, so its connections are reset."""
        if not self._flows.is_set():
            self._flows.set()
            await self._reset_all()
        if self._server is None:
            await self.listen()

    def swallow(self) -> None:
        """Take everything, give nothing."""
        self._flows.clear()

    async def refuse(self) -> None:
        """Nobody listens any more."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset_all()

    async def close(self) -> None:
        """End everything."""
        self._flows.set()
        await self.refuse()

    async def _reset_all(self) -> None:
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        far: asyncio.StreamWriter | None = None
        try:
            if not self._flows.is_set():
                await self._swallow_all(reader)
            answers, far = await self._connect()
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._carry(reader, far))
                ways.create_task(self._carry(answers, writer))
        except* (OSError, asyncio.IncompleteReadError):
            pass  # one side has gone: so does the other
        except* asyncio.CancelledError:
            pass  # reset
        finally:
            self._open.discard(task)
            for side in (writer, far):
                if side is not None:
                    side.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._target.startswith("/"):
            return await asyncio.open_unix_connection(self._target)
        address = urlsplit(self._target)
        return await asyncio.open_connection(address.hostname, address.port)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK):
            if not self._flows.is_set():
                self.swallowed_bytes += len(chunk)
                continue
            writer.write(chunk)
            await writer.drain()
        await self._flows.wait()
        raise ConnectionResetError("one side has gone")

    async def _swallow_all(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK):
                self.swallowed_bytes += len(chunk)
        await self._flows.wait()
