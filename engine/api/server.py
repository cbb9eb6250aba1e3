"""Serves the engine on its unix socket, and what is public of it on loopback TCP.

Commands come over the unix socket, whose file only this user may open; the audit gets the caller's uid from
the kernel. On TCP there are reads for machines, the emergency stop for who knows its token, and a refusal
that says where all other commands go. The listeners may run beside the engine's loop: a stop needs nothing
of it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import structlog
from aiohttp import web

from engine.actor import Actor
from engine.api import wire
from engine.api.access import Access
from engine.api.admin import Admin
from engine.api.commander import Commander
from engine.api.connections import Connections
from engine.api.dispatch import Dispatcher, application
from engine.api.figures import Figures
from engine.api.history_view import HistoryViews
from engine.api.news import NewsDesk
from engine.api.openapi import document
from engine.api.pace import (
    CONNECTIONS_AT_ONCE,
    CONNECTIONS_PER_S,
    READS_AT_ONCE,
    READS_PER_S,
    Courtesy,
    Pace,
)
from engine.api.peers import peer_name, share_with_group
from engine.api.position_pages import PositionPages
from engine.api.readiness import ReadinessView
from engine.api.reads import Reads
from engine.api.routes import JSON, Call, Plain, Route, Scope
from engine.api.snapshots import Snapshots
from engine.api.stop_token import StopToken
from engine.api.stream import Streams
from engine.api.unreadable import RequestReader
from engine.commands import Commands
from engine.errors import AddressInUse
from engine.own_loop import Engine, SameLoop

log = structlog.get_logger("api")

LOOPBACK = "127.0.0.1"
MOST_UNIX_CONNECTIONS = 256
MOST_TCP_CONNECTIONS = 512
KEEPALIVE_S = 75.0  # longer than clients keep theirs, so that none is closed under a command


class ApiServer:
    """Both listeners of one engine."""

    def __init__(
        self,
        snapshots: Snapshots,
        commands: Commands,
        *,
        engine: Engine | None = None,
        stop_token: StopToken | None = None,
        access: Access | None = None,
        history: HistoryViews | None = None,
        settings: wire.SettingsPage | None = None,
        pages: PositionPages | None = None,
        readiness: ReadinessView | None = None,
        metrics: Callable[[], bytes] | None = None,
        news: NewsDesk | None = None,
        courtesy: Courtesy | None = None,
        host: str = LOOPBACK,
        tls: ssl.SSLContext | None = None,
        group: str | None = None,
        one_commander: bool = False,
    ) -> None:
        self._snapshots = snapshots
        self._commands = commands
        self._engine = engine or SameLoop()
        self._history = history
        self._access = access or Access(stop_token=stop_token)
        self._commander = Commander(self._note_command, is_one=one_commander)
        snapshots.follow_command(self._commander.view)
        self._dispatcher = Dispatcher(self._engine, commands, self._commander)
        self._news = news
        self._streams = Streams(self._look, self._commander.attached)
        self._routes = [
            *self._picture_routes(),
            *(news.routes() if news is not None else ()),
            *Figures(self._engine, snapshots, pages, readiness, metrics).routes(),
            *Reads(self._engine, snapshots, history).routes(),
            *Admin(self._engine, commands, snapshots, history, settings, commander=self._commander).routes(),
        ]
        self._host, self._tls, self._group = host, tls, group
        self._document = msgspec.json.encode(document([*self._routes, self._document_route()]))
        self._routes.append(self._document_route())
        self._following: list[asyncio.Task[None]] = []
        self._listeners: list[asyncio.Server] = []
        self._runners: list[web.AppRunner] = []
        pace = Pace(READS_PER_S, READS_AT_ONCE, courtesy)
        arrivals = Pace(CONNECTIONS_PER_S, CONNECTIONS_AT_ONCE, courtesy)
        self.tcp_connections = Connections(MOST_TCP_CONNECTIONS, pace, arrivals)
        self.port = 0

    async def start(self, socket_path: Path, port: int) -> None:
        """Listen. Raises AddressInUse when the port or the socket is taken; port 0 takes a free one."""
        peer_name(os.getuid())  # asked for now, so that a stop never waits for a directory service
        await self._access.refresh()
        await self._listen_unix(socket_path)
        await self._listen_tcp(port)
        self._following.append(asyncio.ensure_future(self._access.run()))
        if self._news is not None:
            self._following.append(asyncio.ensure_future(self._news.run()))

    async def close(self) -> None:
        """Say goodbye to the viewers and stop listening; in the loop of `start`."""
        for task in self._following:
            task.cancel()
        if self._news is not None:
            await self._news.close()
        await self._dispatcher.close()
        for listener in self._listeners:
            listener.close()
        await self._streams.close()
        for runner in self._runners:
            await runner.cleanup()
        if self._history is not None:
            await self._history.close()

    async def _listen_unix(self, path: Path) -> None:
        if not _take_over(path):
            raise AddressInUse(
                f"An engine already runs on {path}: attach with `liquidation-engine`, "
                "or use another --profile"
            )
        connections = Connections(MOST_UNIX_CONNECTIONS)
        app = application(connections)
        for route in self._routes:
            self._dispatcher.add(app, route, self._access.over_unix)
        factory = await self._factory(app, connections)
        # The socket is born private: between bind and chmod nobody else may connect.
        before = os.umask(0o177)
        try:
            listener = await asyncio.get_running_loop().create_unix_server(factory, str(path))
        finally:
            os.umask(before)
        self._listeners.append(listener)
        if self._group is not None:
            share_with_group(path, self._group)

    async def _listen_tcp(self, port: int) -> None:
        app = application(self.tcp_connections)
        for route in self._routes:
            if not route.unix_only:
                self._dispatcher.add(app, route, self._access.over_tcp)
        factory = await self._factory(app, self.tcp_connections)
        loop = asyncio.get_running_loop()
        try:
            listener = await loop.create_server(factory, self._host, port, ssl=self._tls)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise AddressInUse(
                    f"Address already in use: set SERVER_PORT to a free port (now {port}), or 0 for any"
                ) from error
            raise AddressInUse(
                f"Nothing can listen on {self._host} port {port} ({error.strerror}): correct SERVER_HOST"
            ) from error
        self._listeners.append(listener)
        self.port = listener.sockets[0].getsockname()[1]

    async def _factory(
        self, app: web.Application, connections: Connections
    ) -> Callable[[], asyncio.Protocol]:
        """What makes the protocol of each connection."""
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        self._runners.append(runner)
        assert runner.server is not None, "it is there after setup"
        server, loop = runner.server, asyncio.get_running_loop()
        return connections.guarded(
            lambda: RequestReader(
                server,
                loop=loop,
                access_log=None,  # type: ignore[arg-type]  # it takes None for none
                keepalive_timeout=KEEPALIVE_S,
            )
        )

    async def _note_command(self, caller: Actor, command: str, detail: str) -> None:
        await self._engine.look(lambda: self._commands.note_command(caller, command, detail))

    def _document_route(self) -> Route:
        return Route("GET", "/openapi.json", Scope.OPEN, self._describe, "This document", dict[str, Any])

    async def _describe(self, _: Call) -> Plain:
        return Plain(self._document, JSON)

    def _picture_routes(self) -> list[Route]:
        """What consoles live on."""
        return [
            Route(
                "GET",
                "/snapshot",
                Scope.READ,
                self._snapshot,
                "Everything that a console shows",
                wire.Snapshot,
                unix_only=True,
            ),
            self._streams.route(),
        ]

    async def _snapshot(self, _: Call) -> wire.Snapshot:
        return await self._look()

    async def _look(self) -> wire.Snapshot:
        return await self._engine.look(self._snapshots.take)


def _take_over(path: Path) -> bool:
    """Remove a socket that nobody serves any more; False when somebody does, even if it hangs."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            return True
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return True
        except OSError:  # a full backlog, or a socket of somebody else
            return False
    return False
