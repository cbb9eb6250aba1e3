"""The engine on three nodes in a crash: the one that it reads from and sends to goes silent."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from typing import Any

import aiohttp
import pytest
from world import World, until

from engine.api import wire
from engine.api.client import EngineClient

BLACK_HOLE = {"http": {"black_hole_share": 1}, "websocket": {"silent": True}}
# A request to the black hole would be waited for RPC_TIMEOUT_S, five seconds. How soon another node is asked
# is proven in simulated time; on a machine with other work, the wall clock says only that nobody waited.
WITHIN_S = 3.0
LOOKED_AT_S = 4.0
WAITING = ("queued", "signed")


# That nobody waits for such a node is shown quickly in test_on_nodes.py, by the parts that ask and send, and
# that a whole engine liquidates on among failing requests in tests/cli/test_in_trouble.py.
@pytest.mark.long
async def test_with_its_first_node_a_black_hole_the_engine_liquidates_on_without_waiting_for_it(short_path):
    world = World(short_path)
    try:
        await _live_through_it(world)
    except BaseException:
        for log in sorted(short_path.glob("*.log")):
            print(f"--- {log.name}", *log.read_text().splitlines()[-60:], sep="\n")
        raise
    finally:
        await world.end()


async def _live_through_it(world: World) -> None:
    await world.start_sandbox("--nodes", "3", "--positions", "600")
    world.environment |= {
        "SOLANA_RPC_URL": ",".join(world.where["rpc_urls"]),
        "SOLANA_WS_URL": ",".join(world.where["ws_urls"]),
    }
    # Its evidence is read from a node that stays well.
    first, world.where["rpc_url"] = world.where["rpc_url"], world.where["rpc_urls"][1]
    engine = await world.start("--no-ui")
    async with EngineClient(world.socket) as client:
        await until(lambda: _has_liquidated(world, client, 5))
        await _trouble(first, BLACK_HOLE)
        sent, longest_s = await _watched(client)
        assert longest_s < WITHIN_S
        assert sent > 5
        snapshot = await client.snapshot()
        states = [row.state for row in snapshot.chain.endpoints]
        assert states == ["failing", "ok", "ok"], snapshot.chain.endpoints
        assert (snapshot.chain.rpc_ok, snapshot.chain.rpc_total) == (2, 3)
        assert any("is not used: timeout" in line for line in snapshot.engine.degraded)
        await _trouble(first, None)
        await until(lambda: _all_are_used(client), 10)
    engine.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(engine.wait(), 60) == 0
    report = await world.report()
    assert report.findings == []
    assert report.chain.liquidation_transactions_landed == report.database.liquidations > 10
    assert report.database.open_intents == 0


async def _trouble(url: str, settings: dict[str, Any] | None) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "sandboxTrouble", "params": [settings]}
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        assert "error" not in json.loads(await response.text())


async def _has_liquidated(world: World, client: EngineClient, count: int) -> bool:
    snapshot = await world.snapshot(client)
    return snapshot is not None and snapshot.totals.full + snapshot.totals.partial >= count


async def _all_are_used(client: EngineClient) -> bool:
    snapshot = await client.snapshot()
    return all(row.state == "ok" for row in snapshot.chain.endpoints)


async def _watched(client: EngineClient) -> tuple[int, float]:
    """How many liquidations were sent for a while, and the longest time that one waited with none sent."""
    before = first = _sent(await client.snapshot())
    begun = at_s = time.monotonic()
    longest_s = 0.0
    while time.monotonic() - begun < LOOKED_AT_S:
        snapshot = await client.snapshot()
        now_s = time.monotonic()
        if _sent(snapshot) > before or not any(row.stage in WAITING for row in snapshot.queue):
            before, at_s = _sent(snapshot), now_s
        longest_s = max(longest_s, now_s - at_s)
        await asyncio.sleep(0.02)
    return before - first, longest_s


def _sent(snapshot: wire.Snapshot) -> int:
    return snapshot.latency.detect_to_submit.count
