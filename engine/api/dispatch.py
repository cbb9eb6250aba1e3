"""From a request to an answer: who calls, what is asked, and every refusal in one shape."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec
import structlog
from aiohttp import web

from engine.actor import Actor
from engine.api.clean import clean
from engine.api.commander import Commander
from engine.api.connections import Connections
from engine.api.parameters import read_query
from engine.api.refusals import refused
from engine.api.refused_calls import RefusedCalls
from engine.api.repeats import AGAIN
from engine.api.routes import JSON, Call, Plain, Route
from engine.commands import CommandError, Commands
from engine.own_loop import Engine

log = structlog.get_logger("api")

BODY_LIMIT = 64 * 1024
BODY_DEADLINE_S = 10.0
SHOWN_ID = 64
STOP_BODY_DEADLINE_S = 0.02  # the whole acknowledgement of a stop has 100 ms

Identify = Callable[[web.Request, Route], Actor]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Dispatcher:
    """Puts routes into applications; the checks are the same on every listener."""

    def __init__(self, engine: Engine, commands: Commands, commander: Commander) -> None:
        self._engine = engine
        self._commands = commands
        self._commander = commander
        self._refused = RefusedCalls(self._write_refused)

    def add(self, app: web.Application, route: Route, identify: Identify) -> None:
        """Serve a route to those whom `identify` does not refuse."""
        app.router.add_route(route.method, route.path, partial(self._answer, route, identify))

    async def _answer(self, route: Route, identify: Identify, request: web.Request) -> web.StreamResponse:
        caller = Actor(f"unknown ({request.remote or 'unix socket'})")
        try:
            caller = identify(request, route)
            await self._commander.admit(route, request, caller)
            call = Call(
                caller=caller,
                path=request.match_info,
                query=read_query(request.query, route.query),
                body=await _body_of(request, route),
                request=request,
            )
            answer = await route.run(call)
        except (CommandError, web.HTTPException) as refusal:
            if route.method == "POST" and not getattr(refusal, "is_audited", False):
                await self._audit(caller, route, request, refusal)
            raise
        return answer if isinstance(answer, web.StreamResponse) else reply(answer)

    async def close(self) -> None:
        """Bring what is only counted into the audit."""
        await self._refused.close()

    async def _audit(
        self, caller: Actor, route: Route, request: web.Request, refusal: CommandError | web.HTTPException
    ) -> None:
        """A command that was refused before it was heard is told by the audit, too."""
        command = route.path.removeprefix("/admin/").replace("/{id}", "")
        about = f"{clean(request.match_info['id'], SHOWN_ID)}: " if route.path_names else ""
        code = refusal.code if isinstance(refusal, CommandError) else _code_of(refusal)
        await self._refused.note(caller, command, code, f"{about}{code}: {refusal}")

    async def _write_refused(self, caller: Actor, command: str, why: str) -> None:
        await self._engine.look(lambda: self._commands.audit_refused(caller, command, why))


def application(connections: Connections) -> web.Application:
    """One without routes, that tells every refusal in one shape."""
    return web.Application(client_max_size=BODY_LIMIT, middlewares=[connections.middleware(), _errors])


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal in one shape; a fault of ours is logged here and told without its insides."""
    try:
        return await handler(request)
    except CommandError as refusal:
        return refused(refusal.status, refusal.code, str(refusal), refusal.details)
    except web.HTTPException as refusal:
        response = refused(refusal.status, _code_of(refusal), refusal.reason)
        if "Allow" in refusal.headers:
            response.headers["Allow"] = refusal.headers["Allow"]
        return response
    except TimeoutError:
        return refused(503, "engine_busy", "The engine is too busy to answer: only a stop is taken at once")
    except ConnectionError:
        raise
    except Exception:
        log.exception("request broke", path=request.path)
        return refused(500, "internal_error", "The engine failed to answer: look at its log")


def _code_of(refusal: web.HTTPException) -> str:
    return refusal.reason.lower().replace(" ", "_")


def reply(answer: object) -> web.Response:
    """A message as JSON, or bytes as they are."""
    if isinstance(answer, Plain):
        headers = {"Content-Type": answer.content_type}
        response = web.Response(status=answer.status, body=answer.body, headers=headers)
        if answer.again is not None:
            response[AGAIN] = answer.again
        return response
    return web.Response(body=msgspec.json.encode(answer), content_type=JSON)


async def _body_of(request: web.Request, route: Route) -> Any:
    """The request's body as the route wants it; of a tolerant route None when it cannot be had at once."""
    if route.body is None:
        return None
    if not route.tolerant:
        if request.content_type != JSON:
            raise CommandError("not_json", f"The body must be {JSON}: say so in Content-Type", 415)
        try:
            async with asyncio.timeout(BODY_DEADLINE_S):
                raw = await request.read()
        except TimeoutError:
            raise CommandError("body_late", f"The body did not come in {BODY_DEADLINE_S:g} s", 408) from None
        return _decoded(raw, route.body)
    try:
        async with asyncio.timeout(STOP_BODY_DEADLINE_S):
            return _decoded(await request.read(), route.body)
    except (CommandError, web.HTTPException, TimeoutError, OSError):
        return None


def _decoded(raw: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise CommandError("bad_body", f"The request does not say what is wanted: {error}", 422) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise CommandError("bad_body", f"The request cannot be read: {error}", 400) from error
