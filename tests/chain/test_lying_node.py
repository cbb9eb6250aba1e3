"""The engine on three nodes in a crash, of which the first one lies in every way that chance brings."""

from __future__ import annotations

import asyncio
import random
import signal
from typing import Any

from between import between
from mutation import mutated
from world import World, until

from engine.api import wire
from engine.api.client import EngineClient

LYING = (
    "getAccountInfo",
    "getBalance",
    "getBlockHeight",
    "getEpochInfo",
    "getLatestBlockhash",
    "getMultipleAccounts",
    "getRecentPrioritizationFees",
    "getSignatureStatuses",
    "getTransaction",
    "sendTransaction",
)
TRUTHS_FIRST = 60  # so that it is met, and believed
SHARE = 0.5
ENOUGH = 20


class Liar:
    """Answers some methods with what is not true, once it has been told enough."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self.answers = self.lies = 0

    def __call__(self, method: str, truth: Any) -> Any:
        self.answers += 1
        if self.answers < TRUTHS_FIRST or method not in LYING or self._draw.random() > SHARE:
            return truth
        self.lies += 1
        return mutated(self._draw, truth)


async def test_with_a_first_node_that_lies_the_engine_names_it_goes_on_and_records_nothing_untrue(short_path):
    world = World(short_path)
    liar = Liar(seed=11)
    try:
        await world.start_sandbox("--nodes", "3", "--positions", "250")
        async with between(world.where["rpc_urls"][0], liar) as (url, _):
            await _live_through_it(world, url, liar)
    except BaseException:
        for log in sorted(short_path.glob("*.log")):
            print(f"--- {log.name}", *log.read_text().splitlines()[-60:], sep="\n")
        raise
    finally:
        await world.end()


async def _live_through_it(world: World, url: str, liar: Liar) -> None:
    world.environment |= {
        "SOLANA_RPC_URL": ",".join([url, *world.where["rpc_urls"][1:]]),
        "SOLANA_WS_URL": ",".join(world.where["ws_urls"]),
    }
    world.where["rpc_url"] = world.where["rpc_urls"][1]
    engine = await world.start("--no-ui")
    async with EngineClient(world.socket) as client:
        told = await until(lambda: _is_named(world, client))
        assert "is not used, distrusted: not believed: " in told
        assert told.isprintable()
        await until(lambda: _has_liquidated(world, client, ENOUGH))
        snapshot = await client.snapshot()
        assert [row.state for row in snapshot.chain.endpoints[1:]] == ["ok", "ok"]
    engine.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(engine.wait(), 60) == 0
    assert liar.lies > 0
    report = await world.report()
    assert report.findings == []
    assert report.chain.liquidation_transactions_landed == report.database.liquidations >= ENOUGH
    assert report.database.open_intents == 0


async def _is_named(world: World, client: EngineClient) -> str | None:
    snapshot = await world.snapshot(client)
    events: list[wire.EventRow] = [] if snapshot is None else snapshot.events
    return next((event.text for event in events if " distrusted: " in event.text), None)


async def _has_liquidated(world: World, client: EngineClient, count: int) -> bool:
    snapshot = await world.snapshot(client)
    return snapshot is not None and snapshot.totals.full + snapshot.totals.partial >= count
