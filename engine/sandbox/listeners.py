"""All that listens in one sandbox: its nodes, Hermes beside them, and the desk that orders their trouble."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from engine.protocol.addresses import PROGRAM_ID
from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.ledger.ledger import Ledger
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc.methods_cluster import Contact
from engine.sandbox.cluster.serving.server import ClusterServer, NodeServer, serve, serve_node
from engine.sandbox.hermes import HermesServer, serve_hermes
from engine.sandbox.market.market import Market
from engine.sandbox.options import SandboxOptions
from engine.sandbox.trouble.desk import METHOD, TroubleDesk


class Listeners:
    """The running servers of one sandbox; without an order at the `desk` there is no trouble."""

    def __init__(
        self, cluster: ClusterServer, further: list[NodeServer], hermes: HermesServer, desk: TroubleDesk
    ) -> None:
        self._cluster = cluster
        self._nodes: list[ClusterServer | NodeServer] = [cluster, *further]
        self._hermes = hermes
        self.desk = desk

    @property
    def where(self) -> dict[str, Any]:
        """The URLs of everything; `rpc_url` and `ws_url` are the first node's."""
        return {
            "rpc_url": self._cluster.rpc_url,
            "ws_url": self._cluster.ws_url,
            "rpc_urls": [node.rpc_url for node in self._nodes],
            "ws_urls": [node.ws_url for node in self._nodes],
            "hermes_url": self._hermes.url,
        }

    async def wait(self) -> None:
        """Return when the cluster is closed; raises what stopped its slots."""
        await self._cluster.wait()


@asynccontextmanager
async def listening(options: SandboxOptions, leader: Leader, market: Market) -> AsyncIterator[Listeners]:
    """Serve the cluster of a leader and its market as the options say; slots advance from here on.

    Raises AddressInUse for a port that is taken.
    """
    desk = TroubleDesk(leader, market.oracle)
    contacts: list[Contact] = []
    async with contextlib.AsyncExitStack() as stack:
        hermes = await serve_hermes(
            market, port=options.hermes_port, key=options.hermes_key, interference=desk.hermes_calls
        )
        stack.push_async_callback(hermes.close)
        desk.look_after_hermes(hermes)

        def publish(_ledger: Ledger) -> None:
            hermes.publish()

        cluster = await serve(
            leader.ledger,
            leader=leader,
            rpc_port=options.rpc_port,
            ws_port=options.ws_port,
            slot_ms=options.slot_ms,
            on_slot=[desk.on_slot, market.on_slot, publish],
            contacts=contacts,
            prepared=[PROGRAM_ID],
            **_node(desk, leader, market, 0),
        )
        stack.push_async_callback(cluster.close)
        further = []
        for number in range(1, options.nodes):
            node = await serve_node(leader, contacts=contacts, **_node(desk, leader, market, number))
            stack.push_async_callback(node.close)
            further.append(node)
        yield Listeners(cluster, further, hermes, desk)


def _node(desk: TroubleDesk, leader: Leader, market: Market, number: int) -> dict[str, Any]:
    """What is a node's own: its view of the ledger, its trouble, and the sandbox's methods on it."""
    view = View(leader.ledger)
    methods: dict[str, Callable[[list[object]], object]] = {
        **market.rpc_methods,
        METHOD: desk.method(number),
    }
    return {"view": view, "interference": desk.node(view), "extra_methods": methods}
