"""A running cluster: the slot clock, the HTTP server and the WebSocket server around one ledger."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

import structlog
from aiohttp import web

from engine.errors import AddressInUse
from engine.sandbox.cluster.http_server import HttpService
from engine.sandbox.cluster.interference import Interference, NoInterference
from engine.sandbox.cluster.jsonrpc import Dispatcher
from engine.sandbox.cluster.leader import Leader
from engine.sandbox.cluster.ledger import Ledger
from engine.sandbox.cluster.method_table import methods_of
from engine.sandbox.cluster.params import Method, Params
from engine.sandbox.cluster.subscriptions import Subscriptions
from engine.sandbox.cluster.view import View
from engine.sandbox.cluster.websocket_server import MAX_UNSENT_BYTES, WebSocketService

log = structlog.get_logger("cluster")

DEFAULT_RPC_PORT = 8899
DEFAULT_WS_PORT = 8900
DEFAULT_SLOT_MS = 400
CLOSE_DEADLINE_S = 2.0
BACKLOG = 1024
_PORT_PAIR_ATTEMPTS = 50


class ClusterServer:
    """A cluster that answers on its URLs until it is closed."""

    def __init__(
        self,
        host: str,
        listeners: tuple[socket.socket, socket.socket],
        runners: Sequence[web.ServerRunner],
        websockets: WebSocketService,
    ) -> None:
        rpc_port, ws_port = (listener.getsockname()[1] for listener in listeners)
        self.rpc_url = f"http://{host}:{rpc_port}"
        self.ws_url = f"ws://{host}:{ws_port}"
        self._runners = runners
        self._websockets = websockets
        self._slots: asyncio.Task[NoReturn] | None = None

    def start_slots(
        self, ledger: Ledger, slot_ms: float, on_slot: Sequence[Callable[[Ledger], None]]
    ) -> None:
        """Let slots advance from now on."""
        self._slots = asyncio.create_task(_advance_slots(ledger, slot_ms, on_slot), name="slots")

    async def wait(self) -> None:
        """Return when the cluster is closed; raises what an `on_slot` callback raised, which stops slots."""
        if self._slots is not None:
            try:
                await asyncio.shield(self._slots)
            except asyncio.CancelledError:
                if not self._slots.cancelled():
                    raise

    async def close(self) -> None:
        """Stop slots and servers, and end every connection."""
        if self._slots is not None:
            self._slots.cancel()
            await asyncio.gather(self._slots, return_exceptions=True)
        await self._websockets.close()
        await asyncio.gather(*(runner.cleanup() for runner in self._runners))


async def serve(
    ledger: Ledger,
    *,
    host: str = "127.0.0.1",
    rpc_port: int = DEFAULT_RPC_PORT,
    ws_port: int = DEFAULT_WS_PORT,
    slot_ms: float = DEFAULT_SLOT_MS,
    on_slot: Sequence[Callable[[Ledger], None]] = (),
    extra_methods: Mapping[str, Callable[[list[object]], object]] | None = None,
    max_unsent_bytes: int = MAX_UNSENT_BYTES,
    leader: Leader | None = None,
    interference: Interference | None = None,
) -> ClusterServer:
    """Serve a ledger over JSON-RPC and WebSocket in the running loop, and advance its slots.

    Each `on_slot` is called at the start of each slot. `extra_methods` get the positional parameters and
    return JSON, or raise RpcError. Default ports that are taken are replaced by free neighbours; another port
    that is taken raises AddressInUse.
    """
    listeners = _listen(host, rpc_port, ws_port)
    view, leader = View(ledger), leader or Leader(ledger)
    interference = interference or NoInterference()
    methods = methods_of(view, leader)
    for name, method in (extra_methods or {}).items():
        methods[name] = _with_plain_list(method)
    websockets = WebSocketService(
        Subscriptions(ledger), max_unsent_bytes=max_unsent_bytes, interference=interference
    )
    http = HttpService(Dispatcher(methods), interference)
    runners = []
    for listener, handler in zip(listeners, (http.handle, websockets.handle), strict=True):
        runner = web.ServerRunner(
            web.Server(handler, access_log=None),
            shutdown_timeout=CLOSE_DEADLINE_S,
        )
        await runner.setup()
        await web.SockSite(runner, listener, backlog=BACKLOG).start()
        runners.append(runner)
    server = ClusterServer(host, listeners, runners, websockets)
    server.start_slots(ledger, slot_ms, on_slot)
    return server


async def _advance_slots(
    ledger: Ledger, slot_ms: float, on_slot: Sequence[Callable[[Ledger], None]]
) -> NoReturn:
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        try:
            ledger.advance_slot()
            for callback in on_slot:
                callback(ledger)
        except Exception:
            ledger.halted = True
            log.exception("slots have stopped", slot=ledger.slot)
            raise
        # A host that was suspended does not get its missed slots all at once.
        due = max(due + slot_ms / 1000, loop.time())
        await asyncio.sleep(due - loop.time())


def _with_plain_list(method: Callable[[list[object]], object]) -> Method:
    def call(params: Params) -> object:
        return method(params.as_list())

    return call


def _listen(host: str, rpc_port: int, ws_port: int) -> tuple[socket.socket, socket.socket]:
    """Bound sockets for both servers. Clients that know one URL only expect the other at the next port."""
    try:
        rpc = _bind(host, rpc_port)
        try:
            return rpc, _bind(host, ws_port)
        except AddressInUse:
            rpc.close()
            raise
    except AddressInUse:
        if (rpc_port, ws_port) != (DEFAULT_RPC_PORT, DEFAULT_WS_PORT):
            raise
    return _listen_on_free_pair(host)


def _listen_on_free_pair(host: str) -> tuple[socket.socket, socket.socket]:
    for _ in range(_PORT_PAIR_ATTEMPTS):
        rpc = _bind(host, 0)
        try:
            return rpc, _bind(host, rpc.getsockname()[1] + 1)
        except (AddressInUse, OverflowError):
            rpc.close()
    raise AddressInUse(f"No two free neighbouring ports on {host}: set --rpc-port and --ws-port")


def _bind(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(
                f"Address already in use: {host}:{port}: choose others with --rpc-port and --ws-port"
            ) from error
        raise
    return listener
