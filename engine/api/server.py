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
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog
from aiohttp import WSCloseCode, web
from solders.pubkey import Pubkey

from engine.api import wire
from engine.api.peers import peer_name, peer_uid
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

T = TypeVar("T", bound=wire.Message)
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
    ) -> None:
        self._snapshots = snapshots
        self._commands = commands
        self._engine = engine or SameLoop()
        self._stop_token = stop_token
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

    async def _listen_unix(self, path: Path) -> None:
        if not _take_over(path):
            raise AddressInUse(
                f"An engine already runs on {path}: attach with `liquidation-engine`, "
                "or use another --profile"
            )
        app = _application()
        app.router.add_get("/snapshot", self._snapshot)
        app.router.add_get("/stream", self._stream)
        app.router.add_get("/positions/{address}", self._position)
        app.router.add_get("/admin/resume", self._resume_checks)
        app.router.add_post("/admin/emergency-stop", self._stop)
        app.router.add_post("/admin/resume", self._resume)
        app.router.add_post("/admin/clear-queue", self._clear_queue)
        app.router.add_post("/admin/retry/{id}", self._retry)
        app.router.add_post("/admin/dismiss/{id}", self._dismiss)
        app.router.add_post("/admin/shutdown", self._shutdown)
        self._add_public(app)
        runner = await self._runner(app)
        # The socket is born private: between bind and chmod nobody else may connect.
        before = os.umask(0o177)
        try:
            await web.UnixSite(runner, str(path)).start()
        finally:
            os.umask(before)

    async def _listen_tcp(self, port: int) -> None:
        app = _application()
        self._add_public(app)
        app.router.add_post("/admin/emergency-stop", self._stop_by_token)
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

    def _add_public(self, app: web.Application) -> None:
        app.router.add_get("/health", self._health)
        app.router.add_get("/insurance/balance", self._insurance_balance)

    async def _runner(self, app: web.Application) -> web.AppRunner:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._runners.append(runner)
        return runner

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _insurance_balance(self, _: web.Request) -> web.Response:
        fund = await self._engine.look(self._snapshots.fund)
        if fund is None:
            raise CommandError("fund_unknown", "The insurance fund has not been read yet: try later", 503)
        return web.json_response(
            {
                "balance": fund.balance_lamports,
                "balance_formatted": f"{fund.balance_lamports / 1e9:.9f} SOL",
                "utilization_ratio": fund.utilization_bps / 10_000,
                "total_contributions": fund.total_contributions_lamports,
                "total_bad_debt_covered": fund.total_bad_debt_covered_lamports,
                "last_updated": fund.updated_at_ns // 10**9,
            }
        )

    async def _snapshot(self, _: web.Request) -> web.Response:
        return _reply(await self._engine.look(self._snapshots.take))

    async def _position(self, request: web.Request) -> web.Response:
        text = request.match_info["address"]
        try:
            address = Pubkey.from_string(text)
        except ValueError:
            raise CommandError(
                "bad_address", "That is no base58 address of 32 bytes: look again", 400
            ) from None
        detail = await self._engine.look(lambda: self._snapshots.detail(address))
        if detail is None:
            raise CommandError("unknown_position", f"No position is held at {address}: it may be closed", 404)
        return _reply(detail)

    async def _resume_checks(self, _: web.Request) -> web.Response:
        checks = [
            wire.ResumeCheck(name=check.name, ok=check.ok, detail=check.detail)
            for check in await self._engine.look(self._commands.resume_checks)
        ]
        return web.Response(body=msgspec.json.encode(checks), content_type="application/json")

    async def _stop(self, request: web.Request) -> web.Response:
        return await self._stop_by(_actor(request), request)

    async def _stop_by_token(self, request: web.Request) -> web.Response:
        """A stop over TCP. Only this user can read the token, so it is this user's stop."""
        token = self._stop_token
        if token is None or not token.is_in(request.headers.get("Authorization", "")):
            raise CommandError(
                "token_missing",
                "A stop over TCP needs the header `Authorization: Bearer` with the token in "
                f"{token.path if token else 'no file'}: or use `liquidation-engine stop`",
                401,
            )
        return await self._stop_by(f"{peer_name(os.getuid())} (HTTP)", request)

    async def _stop_by(self, actor: str, request: web.Request) -> web.Response:
        # Whatever the body says, fails to say or never comes to say, a stop is a stop.
        try:
            async with asyncio.timeout(STOP_BODY_DEADLINE_S):
                reason = (await _body(request, wire.StopRequest)).reason
        except (CommandError, web.HTTPException, TimeoutError, OSError):
            reason = "no readable reason"
        return self._acknowledge(await self._commands.stop(actor, reason))

    async def _resume(self, request: web.Request) -> web.Response:
        body = await _body(request, wire.ResumeRequest)
        resume = self._commands.resume(_actor(request), body.reason, body.gate_version)
        return self._acknowledge(await self._engine.run(resume))

    async def _clear_queue(self, request: web.Request) -> web.Response:
        return self._acknowledge(await self._engine.run(self._commands.clear_queue(_actor(request))))

    async def _retry(self, request: web.Request) -> web.Response:
        retry = self._commands.retry(_actor(request), _id(request))
        return self._acknowledge(await self._engine.run(retry))

    async def _dismiss(self, request: web.Request) -> web.Response:
        dismiss = self._commands.dismiss(_actor(request), _id(request))
        return self._acknowledge(await self._engine.run(dismiss))

    async def _shutdown(self, request: web.Request) -> web.Response:
        return self._acknowledge(await self._engine.run(self._commands.shutdown(_actor(request))))

    def _acknowledge(self, message: str) -> web.Response:
        # In this thread: the gate's picture waits for no loop.
        return _reply(wire.Acknowledged(message=message, gate=self._snapshots.gate()))

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
        return _error(refusal.status, refusal.code, str(refusal))
    except web.HTTPException as refusal:
        return _error(refusal.status, refusal.reason.lower().replace(" ", "_"), refusal.reason)
    except TimeoutError:
        return _error(503, "engine_busy", "The engine is too busy to answer: only a stop is taken at once")
    except Exception:
        log.exception("request broke", path=request.path)
        return _error(500, "internal_error", "The engine failed to answer: look at its log")


def _error(status: int, code: str, message: str) -> web.Response:
    body = wire.ErrorReply(error=wire.ErrorBody(code=code, message=message))
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")


async def _refuse_admin(_: web.Request) -> web.Response:
    raise CommandError(
        "unix_socket_only",
        "Commands are taken on the engine's unix socket: use `liquidation-engine stop|resume|retry`",
        403,
    )


def _reply(message: wire.Message) -> web.Response:
    return web.Response(body=msgspec.json.encode(message), content_type="application/json")


async def _body(request: web.Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.DecodeError as error:
        raise CommandError("bad_body", f"The request cannot be read: {error}", 400) from error


def _actor(request: web.Request) -> str:
    uid = peer_uid(request)
    return "unknown" if uid is None else peer_name(uid)


def _id(request: web.Request) -> str:
    text = request.match_info["id"]
    if not text.isalnum() or len(text) > 64:
        raise CommandError(
            "bad_id", "An id has only letters and digits: see `liquidation-engine status`", 400
        )
    return text


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
