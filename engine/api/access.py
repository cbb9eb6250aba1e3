"""Who may do what: the unix socket's peers by the kernel's word, everybody else by a bearer token.

A web page in the operator's browser can reach a loopback port, too: it is kept out by the Host and the
Origin of its requests, and by tokens that it does not know.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from engine.actor import Actor
from engine.api.clean import clean
from engine.api.peers import peer_name, terminal_of, unix_caller
from engine.api.routes import Route, Scope
from engine.api.stop_token import StopToken
from engine.api.tokens import Token, TokenError, TokenFile, find
from engine.commands import CommandError

log = structlog.get_logger("api")

MOST_FAILURES = 5  # in FAILURE_WINDOW_S by one peer; after that nothing is looked at but whether it is right
FAILURE_WINDOW_S = 60.0
MOST_PEERS = 1024
REFRESH_S = 1.0
_LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


class Failures:
    """Failed attempts by peer within the last minute; the peers that were quiet longest are forgotten."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._by_peer: OrderedDict[str, list[float]] = OrderedDict()

    def note(self, peer: str) -> int:
        """One more; returns how many there are now."""
        now_s = self._now_s()
        recent = [at_s for at_s in self._by_peer.pop(peer, []) if now_s - at_s < FAILURE_WINDOW_S]
        if len(recent) <= MOST_FAILURES:
            recent.append(now_s)
        self._by_peer[peer] = recent
        while len(self._by_peer) > MOST_PEERS:
            self._by_peer.popitem(last=False)
        return len(recent)


class Access:
    """Identifies callers, or refuses them with a CommandError."""

    def __init__(
        self,
        *,
        stop_token: StopToken | None = None,
        tokens: TokenFile | None = None,
        host: str = "127.0.0.1",
        group: str | None = None,
        failures: Failures | None = None,
    ) -> None:
        self._stop_token = stop_token
        self._file = tokens
        self._tokens: Sequence[Token] = ()
        self._group = group
        self._failures = failures or Failures()
        self._hosts = _LOOPBACK_NAMES | {host}
        # Beyond this machine nothing is for everybody, reading included.
        self._is_local = ip_address(host).is_loopback

    async def run(self) -> None:
        """Follow the file of tokens; ends only by cancellation."""
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_S)

    async def refresh(self) -> None:
        """Read the tokens again. While they cannot be read nobody has one but who stops."""
        if self._file is None:
            return
        try:
            self._tokens = await asyncio.to_thread(self._file.read)
        except TokenError as error:
            if self._tokens:
                log.error("no tokens are taken", reason=str(error))
            self._tokens = ()

    def over_unix(self, request: web.Request, _: Route) -> Actor:
        """Who could open the socket: this user, root, or the group that the settings name."""
        caller = unix_caller(request)
        if self._group is None and caller.uid not in (os.getuid(), 0):
            raise CommandError("not_yours", "This engine is another user's: ask that user", 403)
        return caller

    def over_tcp(self, request: web.Request, route: Route) -> Actor:
        """Who carries which token; nobody in particular where none is needed."""
        self._check_origin(request)
        header = request.headers.get("Authorization")
        peer = clean(request.remote or "unknown", 64)
        if header is None:
            if route.scope is Scope.OPEN or (route.scope is Scope.READ and self._is_local):
                return Actor(f"anybody (HTTP, {peer})", terminal=terminal_of(request))
            raise self._refuse(peer)
        token = self._stop_token
        if token is not None and token.is_in(header):
            if route.scope in (Scope.OPEN, Scope.READ, Scope.STOP):
                return Actor(f"{peer_name(os.getuid())} (HTTP)", terminal=terminal_of(request))
            raise CommandError("scope_missing", "The token of a stop lets its holder stop, nothing else", 403)
        known = find(self._tokens, _bearer(header))
        if known is None or known.expires_s <= time.time():
            raise self._refuse(peer)
        if route.scope is not Scope.OPEN and not known.may(route.scope.value):
            raise CommandError("scope_missing", f"This needs a token with the scope {route.scope.value}", 403)
        return Actor(f"token {known.name}", terminal=terminal_of(request))

    def _refuse(self, peer: str) -> CommandError:
        """A right token is never kept out by the failures of others: it cannot be guessed."""
        count = self._failures.note(peer)
        if count > MOST_FAILURES:
            return CommandError("too_many_failures", "Too many failures: wait a minute", 429)
        stop = f", or for a stop the one in {self._stop_token.path}" if self._stop_token else ""
        return CommandError(
            "token_missing",
            "This needs the header `Authorization: Bearer` with a token that is valid: "
            f"make one with `liquidation-engine token new`{stop}",
            401,
        )

    def _check_origin(self, request: web.Request) -> None:
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1 or _host_of(f"//{hosts[0]}") not in self._hosts:
            raise CommandError(
                "foreign_host",
                "The Host of the request is not this engine's: use its address",
                HTTPStatus.MISDIRECTED_REQUEST,
            )
        origin = request.headers.get("Origin")
        if origin is not None and _host_of(origin) not in self._hosts:
            raise CommandError("foreign_origin", "Pages of other sites are not answered here", 403)


def _bearer(header: str) -> str:
    """The token in a header of authorization, empty when it is of another scheme."""
    scheme, _, value = header.partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
