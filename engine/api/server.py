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
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import structlog
from aiohttp import WSCloseCode, web

from engine.actor import Actor
from engine.api import wire
from engine.api.admin import Admin
from engine.api.figures import Figures
from engine.api.history_view import HistoryViews
from engine.api.parameters import read_query
from engine.api.peers import peer_name, terminal_of, unix_caller
from engine.api.position_pages import PositionPages
from engine.api.readiness import ReadinessView
from engine.api.reads import Reads
from engine.api.routes import Call, Plain, Route, Scope
from engine.api.snapshots import Snapshots
from engine.api.stop_token import StopToken
from engine.commands import CommandError, Commands
from engine.errors import AddressInUse
from engine.own_loop import Engine, SameLoop

log = structlog.get_logger("api")

BODY_LIMIT = 64 * 1024
STREAM_INTERVAL_MS = (100, 60_000)
WRITE_DEADLINE_S = 10.0  # a viewer that reads slower than this is dropped; it comes back with a new snapshot
STOP_BODY_DEADLINE_S = 0.02  # the whole acknowledgement of a stop has 100 ms
LOOPBACK = "127.0.0.1"

Identify = Callable[[web.Request, Route], Actor]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ApiServer:
    """Both listeners of one engine."""

    def __init__(
        self,
        snapshots: Snapshots,
        commands: Commands,
        *,
        engine: Engine | None = None,
        stop_token: StopToken | None = None,
        history: HistoryViews | None = None,
        settings: wire.SettingsPage | None = None,
        pages: PositionPages | None = None,
        readiness: ReadinessView | None = None,
        metrics: Callable[[], bytes] | None = None,
    ) -> None:
        self._snapshots = snapshots
        self._commands = commands
        self._engine = engine or SameLoop()
        self._stop_token = stop_token
        self._history = history
        self._routes = [
            *Figures(self._engine, snapshots, pages, readiness, metrics).routes(),
            *Reads(self._engine, snapshots, history).routes(),
            *Admin(self._engine, commands, snapshots, history, settings).routes(),
        ]
        self._runners: list[web.AppRunner] = []
        self._streams: set[web.WebSocketResponse] = set()
        self.port = 0

    async def start(self, socket_path: Path, port: int) -> None:
        """Listen. Raises AddressInUse when the port or the socket is taken; port 0 takes a free one."""
        peer_name(os.getuid())  # asked for now, so that a stop never waits for a directory service
        await self._listen_unix(socket_path)
        await self._listen_tcp(port)

    async def close(self) -> None:
        """Say goodbye to the viewers and stop listening; in the loop of `start`."""
        for stream in set(self._streams):
            await stream.close(code=WSCloseCode.GOING_AWAY, message=b"the engine ends")
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
        app = _application()
        app.router.add_get("/snapshot", self._snapshot)
        app.router.add_get("/stream", self._stream)
        for route in self._routes:
            app.router.add_route(route.method, route.path, partial(self._answer, route, _unix_caller))
        runner = await self._runner(app)
        # The socket is born private: between bind and chmod nobody else may connect.
        before = os.umask(0o177)
        try:
            await web.UnixSite(runner, str(path)).start()
        finally:
            os.umask(before)

    async def _listen_tcp(self, port: int) -> None:
        app = _application()
        for route in self._routes:
            if not route.unix_only and route.scope in (Scope.OPEN, Scope.READ, Scope.STOP):
                app.router.add_route(route.method, route.path, partial(self._answer, route, self._tcp_caller))
        app.router.add_route("*", "/admin/{command:.*}", _refuse_admin)
        runner = await self._runner(app)
        try:
            await web.TCPSite(runner, LOOPBACK, port).start()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise AddressInUse(
                    f"Address already in use: set SERVER_PORT to a free port (now {port}), or 0 for any"
                ) from error
            raise
        self.port = runner.addresses[0][1]

    async def _answer(self, route: Route, identify: Identify, request: web.Request) -> web.StreamResponse:
        """Check what came, run the route, and audit a command that is refused before it is heard."""
        caller = Actor("unknown")
        try:
            caller = identify(request, route)
            call = Call(
                caller=caller,
                path=request.match_info,
                query=read_query(request.query, route.query),
                body=await _body_of(request, route),
                request=request,
            )
            return _reply(await route.run(call))
        except CommandError as refusal:
            if route.method == "POST" and not refusal.is_audited:
                await self._audit_refusal(caller, request.path, refusal)
            raise

    async def _audit_refusal(self, caller: Actor, path: str, refusal: CommandError) -> None:
        command = path.removeprefix("/admin/")
        why = f"{refusal.code}: {refusal}"
        await self._engine.look(lambda: self._commands.audit_refused(caller, command, why))

    def _tcp_caller(self, request: web.Request, route: Route) -> Actor:
        """Over TCP anybody on this machine may read; a stop needs the token, for this user's eyes only."""
        name = f"{peer_name(os.getuid())} (HTTP)"
        token = self._stop_token
        if route.scope is Scope.STOP and (
            token is None or not token.is_in(request.headers.get("Authorization", ""))
        ):
            raise CommandError(
                "token_missing",
                "A stop over TCP needs the header `Authorization: Bearer` with the token in "
                f"{token.path if token else 'no file'}: or use `liquidation-engine stop`",
                401,
            )
        return Actor(name, terminal=terminal_of(request))

    async def _runner(self, app: web.Application) -> web.AppRunner:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._runners.append(runner)
        return runner

    async def _snapshot(self, _: web.Request) -> web.Response:
        return _reply(await self._engine.look(self._snapshots.take))

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Snapshots at the viewer's pace; one that does not read is dropped instead of filling memory."""
        interval_s = _interval_ms(request) / 1000
        stream = web.WebSocketResponse(heartbeat=15.0, max_msg_size=BODY_LIMIT)
        await stream.prepare(request)
        self._streams.add(stream)
        listener = asyncio.ensure_future(_until_closed(stream))
        try:
            while not listener.done():
                snapshot = await self._engine.look(self._snapshots.take)
                text = msgspec.json.encode(snapshot).decode()
                async with asyncio.timeout(WRITE_DEADLINE_S):
                    await stream.send_str(text)
                await asyncio.wait({listener}, timeout=interval_s)
        except (TimeoutError, ConnectionError) as error:
            log.info("viewer dropped", reason=type(error).__name__)
        finally:
            listener.cancel()
            self._streams.discard(stream)
        return stream


def _application() -> web.Application:
    return web.Application(client_max_size=BODY_LIMIT, middlewares=[_errors])


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal in one shape; a fault of ours is logged here and told without its insides."""
    try:
        return await handler(request)
    except CommandError as refusal:
        return _error(refusal.status, refusal.code, str(refusal), refusal.details)
    except web.HTTPException as refusal:
        return _error(refusal.status, refusal.reason.lower().replace(" ", "_"), refusal.reason)
    except TimeoutError:
        return _error(503, "engine_busy", "The engine is too busy to answer: only a stop is taken at once")
    except Exception:
        log.exception("request broke", path=request.path)
        return _error(500, "internal_error", "The engine failed to answer: look at its log")


def _error(status: int, code: str, message: str, details: Mapping[str, str] | None = None) -> web.Response:
    body = wire.ErrorReply(error=wire.ErrorBody(code=code, message=message, details=dict(details or {})))
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")


async def _refuse_admin(_: web.Request) -> web.Response:
    raise CommandError(
        "unix_socket_only",
        "Commands are taken on the engine's unix socket: use `liquidation-engine stop|resume|retry`",
        403,
    )


def _reply(answer: object) -> web.Response:
    if isinstance(answer, Plain):
        headers = {"Content-Type": answer.content_type}
        return web.Response(status=answer.status, body=answer.body, headers=headers)
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


async def _body_of(request: web.Request, route: Route) -> Any:
    """The request's body as the route wants it; of a tolerant route None when it cannot be had at once."""
    if route.body is None:
        return None
    if not route.tolerant:
        return _decoded(await request.read(), route.body)
    try:
        async with asyncio.timeout(STOP_BODY_DEADLINE_S):
            return _decoded(await request.read(), route.body)
    except (CommandError, web.HTTPException, TimeoutError, OSError):
        return None


def _decoded(raw: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.DecodeError as error:
        raise CommandError("bad_body", f"The request cannot be read: {error}", 400) from error


def _unix_caller(request: web.Request, _: Route) -> Actor:
    """Whoever can open the socket is this user, and may do everything."""
    return unix_caller(request)


def _interval_ms(request: web.Request) -> int:
    low, high = STREAM_INTERVAL_MS
    text = request.query.get("interval_ms", "1000")
    if not text.isdecimal() or not low <= int(text[:9]) <= high:
        raise CommandError("bad_interval", f"interval_ms must be a whole number from {low} to {high}", 400)
    return int(text)


async def _until_closed(stream: web.WebSocketResponse) -> None:
    """Read, and ignore, what the viewer sends; ends when it goes."""
    async for _ in stream:
        pass


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
