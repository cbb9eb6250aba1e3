"""A running cluster: nodes that answer over HTTP and WebSocket, and the clock of the ledger behind them."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Mapping, Sequence

from aiohttp import web
from solders.pubkey import Pubkey

from engine.errors import AddressInUse
from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.ledger.ledger import Ledger
from engine.sandbox.cluster.ledger.slot_clock import SlotClock
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc.jsonrpc import Dispatcher, Pieces
from engine.sandbox.cluster.rpc.method_table import methods_of
from engine.sandbox.cluster.rpc.methods_cluster import Contact
from engine.sandbox.cluster.rpc.params import Method, Params
from engine.sandbox.cluster.rpc_errors import RpcError
from engine.sandbox.cluster.serving.connections import Connections
from engine.sandbox.cluster.serving.http_server import HttpService
from engine.sandbox.cluster.serving.interference import Interference, NoInterference
from engine.sandbox.cluster.serving.subscriptions import Subscriptions
from engine.sandbox.cluster.serving.websocket_server import MAX_UNSENT_BYTES, WebSocketService

DEFAULT_RPC_PORT = 8899
DEFAULT_WS_PORT = 8900
DEFAULT_SLOT_MS = 400
CLOSE_DEADLINE_S = 2.0
BACKLOG = 1024
_PORT_PAIR_ATTEMPTS = 50

ExtraMethods = Mapping[str, Callable[[list[object]], object]]


class NodeServer:
    """A node that answers on its URLs until it is closed."""

    def __init__(
        self,
        host: str,
        listeners: tuple[socket.socket, socket.socket],
        runners: Sequence[web.ServerRunner],
        websockets: WebSocketService,
    ) -> None:
        rpc_port, ws_port = (listener.getsockname()[1] for listener in listeners)
        shown = f"[{host}]" if ":" in host else host
        self.rpc_url = f"http://{shown}:{rpc_port}"
        self.ws_url = f"ws://{shown}:{ws_port}"
        self._runners = runners
        self._websockets = websockets

    async def close(self) -> None:
        """End every connection, and free the ports."""
        await self._websockets.close()
        await asyncio.gather(*(runner.cleanup() for runner in self._runners))


class ClusterServer:
    """A node together with the clock of its cluster."""

    def __init__(self, node: NodeServer, clock: SlotClock) -> None:
        self.rpc_url = node.rpc_url
        self.ws_url = node.ws_url
        self.clock = clock
        self._node = node

    async def wait(self) -> None:
        """Return when the cluster is closed; raises what an `on_slot` callback raised, which stops slots."""
        await self.clock.wait()

    async def close(self) -> None:
        """Stop slots and servers, and end every connection."""
        await self.clock.stop()
        await self._node.close()


async def serve(
    ledger: Ledger,
    *,
    host: str = "127.0.0.1",
    rpc_port: int = DEFAULT_RPC_PORT,
    ws_port: int = DEFAULT_WS_PORT,
    slot_ms: float = DEFAULT_SLOT_MS,
    on_slot: Sequence[Callable[[Ledger], None]] = (),
    extra_methods: ExtraMethods | None = None,
    max_unsent_bytes: int = MAX_UNSENT_BYTES,
    leader: Leader | None = None,
    view: View | None = None,
    interference: Interference | None = None,
    contacts: list[Contact] | None = None,
    prepared: Sequence[Pubkey] = (),
) -> ClusterServer:
    """Serve a ledger over JSON-RPC and WebSocket in the running loop, and advance its slots.

    Each `on_slot` is called at the start of each slot. The leader runs what waits for it before a slot is
    closed, and in between. For the rest see `serve_node`.
    """
    leader = leader or Leader(ledger)
    node = await serve_node(
        leader,
        view=view,
        interference=interference,
        host=host,
        rpc_port=rpc_port,
        ws_port=ws_port,
        extra_methods=extra_methods,
        max_unsent_bytes=max_unsent_bytes,
        contacts=contacts,
        prepared=prepared,
    )
    clock = SlotClock(leader, slot_ms, on_slot)
    clock.start()
    return ClusterServer(node, clock)


async def serve_node(
    leader: Leader,
    *,
    view: View | None = None,
    interference: Interference | None = None,
    host: str = "127.0.0.1",
    rpc_port: int = 0,
    ws_port: int = 0,
    extra_methods: ExtraMethods | None = None,
    max_unsent_bytes: int = MAX_UNSENT_BYTES,
    contacts: list[Contact] | None = None,
    prepared: Sequence[Pubkey] = (),
) -> NodeServer:
    """Serve one node's view of a ledger whose slots somebody else advances.

    `contacts`, the nodes that getClusterNodes names, gets this one too: give the same list to every node.
    `extra_methods` get the positional parameters and return JSON, or raise RpcError. A port of 0 is any that
    makes the two neighbours (the WebSocket's is the next one: clients that know one URL expect that). Default
    ports that are taken are replaced by a free pair; other ports that are taken raise AddressInUse.
    The accounts of `prepared` programs are written before the first client comes, who would wait for them.
    """
    listeners = _listen(host, rpc_port, ws_port)
    view = view or View(leader.ledger)
    interference = interference or NoInterference()
    contacts = [] if contacts is None else contacts
    methods = methods_of(view, leader, contacts)
    for name, method in (extra_methods or {}).items():
        methods[name] = _with_plain_list(method)
    websockets = WebSocketService(
        Subscriptions(view),
        {"getVersion": methods["getVersion"]},
        max_unsent_bytes=max_unsent_bytes,
        interference=interference,
    )
    for program in prepared:
        await _prepare(program, methods["getProgramAccounts"])
    http = HttpService(Dispatcher(methods), interference, lambda: _health(view, methods["getHealth"]))
    runners = []
    for listener, handler in zip(listeners, (http.handle, websockets.handle), strict=True):
        runner = web.ServerRunner(Connections(handler), shutdown_timeout=CLOSE_DEADLINE_S)
        await runner.setup()
        await web.SockSite(runner, listener, backlog=BACKLOG).start()
        runners.append(runner)
    node = NodeServer(host, listeners, runners, websockets)
    contacts.append(Contact(*(url.partition("://")[2] for url in (node.rpc_url, node.ws_url))))
    return node


async def _prepare(program: Pubkey, get_program_accounts: Method) -> None:
    """Have a program's accounts written in the form in which clients read whole programs."""
    answer = get_program_accounts(Params([str(program), {"encoding": "base64"}]))
    if isinstance(answer, Pieces):
        for _ in answer:
            await asyncio.sleep(0)


def _health(view: View, get_health: Method) -> str:
    """What GET /health says of what getHealth answers."""
    try:
        get_health(Params([]))
    except RpcError:
        return "behind" if view.healthy else "unknown"
    return "ok"


def _with_plain_list(method: Callable[[list[object]], object]) -> Method:
    def call(params: Params) -> object:
        return method(params.as_list())

    return call


def _listen(host: str, rpc_port: int, ws_port: int) -> tuple[socket.socket, socket.socket]:
    """Bound sockets for both servers."""
    if rpc_port == 0 and ws_port == 0:
        return _listen_on_free_pair(host)
    try:
        return _bind_pair(host, rpc_port or ws_port - 1, ws_port or rpc_port + 1)
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


def _bind_pair(host: str, rpc_port: int, ws_port: int) -> tuple[socket.socket, socket.socket]:
    rpc = _bind(host, rpc_port)
    try:
        return rpc, _bind(host, ws_port)
    except (AddressInUse, OverflowError):
        rpc.close()
        raise


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
    except OverflowError:
        listener.close()
        raise
    return listener
