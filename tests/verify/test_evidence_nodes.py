"""Evidence is read from whichever node answers: a busy, dead, foreign or late one is not the end of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import web
from solana.rpc.commitment import Finalized
from solders.hash import Hash

from engine.errors import RpcUnreachable
from engine.evidence.nodes import EvidenceNodes

OURS, FOREIGN = str(Hash.new_unique()), str(Hash.new_unique())
NOBODY = "http://127.0.0.1:9"


class Node:
    """Answers two questions, or refuses the first ones with 503."""

    def __init__(self, genesis: str = OURS, slot: int = 100, refused: int = 0) -> None:
        self.genesis = genesis
        self.slot = slot
        self.refused = refused
        self.height = slot
        self.heights_told = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if self.refused > 0:
            self.refused -= 1
            return web.Response(status=503, headers={"Retry-After": "1"})
        if asked["method"] == "getGenesisHash":
            result: object = self.genesis
        elif asked["method"] == "getSlot":
            result = self.slot
        else:
            self.heights_told += 1
            result = self.height
        return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "result": result})


@asynccontextmanager
async def serving(*nodes: Node) -> AsyncIterator[list[str]]:
    """Each node on a port of its own."""
    async with AsyncExitStack() as stack:
        for node in nodes:
            application = web.Application()
            application.router.add_post("/", node.answer)
            runner = web.AppRunner(application)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            node.url = f"http://{host}:{port}"
        yield [node.url for node in nodes]


async def height(nodes: EvidenceNodes) -> int:
    return (await nodes.ask(lambda client: client.get_block_height(Finalized))).value


async def test_a_node_that_refuses_for_a_while_is_asked_until_it_answers() -> None:
    busy = Node(refused=4)
    async with serving(busy) as urls, EvidenceNodes(urls) as nodes:
        assert await nodes.meet() == OURS
        busy.refused = 3
        assert await height(nodes) == 100
    assert busy.refused == 0


async def test_another_url_answers_for_one_that_does_not() -> None:
    async with serving(Node()) as urls, EvidenceNodes([NOBODY, *urls]) as nodes:
        assert await nodes.meet() == OURS
        assert await height(nodes) == 100


async def test_a_node_that_fails_in_the_middle_is_replaced_and_the_next_read_stays_there() -> None:
    first, second = Node(slot=101), Node(slot=100)
    async with serving(first, second) as urls, EvidenceNodes(urls) as nodes:
        await nodes.meet()
        assert await height(nodes) == 101
        first.refused = 1
        assert [await height(nodes), await height(nodes)] == [100, 100]
        assert (first.heights_told, second.heights_told) == (1, 2)


async def test_a_node_of_another_cluster_is_never_asked_for_evidence() -> None:
    ours, foreign = Node(slot=5), Node(FOREIGN, slot=10_000)
    async with serving(ours, foreign) as urls, EvidenceNodes(urls, patience_s=0.3) as nodes:
        assert await nodes.meet() == OURS
        ours.refused = 1000
        with pytest.raises(RpcUnreachable):
            await height(nodes)
    assert foreign.heights_told == 0


async def test_the_node_that_finalized_most_is_asked_first() -> None:
    late, newest = Node(slot=100), Node(slot=900)
    async with serving(late, newest) as urls, EvidenceNodes(urls) as nodes:
        await nodes.meet()
        assert await height(nodes) == 900
    assert late.heights_told == 0


async def test_when_none_answers_in_time_one_line_names_a_host_and_no_key() -> None:
    async with serving(Node(refused=1_000)) as urls:
        keyed = [f"{urls[0]}/?api-key=secret", f"{NOBODY}/?api-key=secret"]
        async with EvidenceNodes(keyed, patience_s=0.3) as nodes:
            with pytest.raises(
                RpcUnreachable, match=r"^The RPC node 127\.0\.0\.1 did not answer \(\w+\): "
            ) as e:
                await nodes.meet()
    assert "secret" not in str(e.value)
