"""The sandbox as its users run it: further nodes, Hermes and trouble from the command line."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from engine.protocol.addresses import SOL_USD

START_S = 40.0


class Sandbox:
    """A running `liquidation-engine sandbox`, and a client."""

    def __init__(self, where: dict[str, Any], http: aiohttp.ClientSession) -> None:
        self.where = where
        self.http = http

    async def call(self, url: str, method: str, *params: Any) -> tuple[int, Any]:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self.http.post(url, json=body) as response:
            return response.status, await response.json(content_type=None) if response.ok else None

    async def result(self, url: str, method: str, *params: Any) -> Any:
        status, answer = await self.call(url, method, *params)
        assert status == 200 and "error" not in answer, (status, answer)
        return answer["result"]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Three nodes, a Hermes with a key, and trouble from the start."""
    with tempfile.TemporaryDirectory(prefix="le-") as home:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "engine", "sandbox", "--positions", "20", "--slot-ms", "50"),
            *("--rpc-port", "0", "--ws-port", "0", "--nodes", "3", "--hermes-key", "sesame"),
            *("--trouble", "http.methods.getSupply.error_share=1", "--trouble", "hermes.lag_s=2"),
            "--exit-with-parent",
            env={**os.environ, "XDG_STATE_HOME": home},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            assert process.stdout is not None and process.stdin is not None
            where = json.loads(await asyncio.wait_for(process.stdout.readline(), START_S))
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
                yield Sandbox(where, http)
            process.stdin.close()
            assert await asyncio.wait_for(process.wait(), 20) == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def test_nodes_hermes_and_trouble_come_from_the_command_line(sandbox: Sandbox, eventually: Any) -> None:
    where = sandbox.where
    urls = where["rpc_urls"]
    assert len(set(urls)) == len(set(where["ws_urls"])) == 3
    assert (urls[0], where["ws_urls"][0]) == (where["rpc_url"], where["ws_url"])
    nodes = await sandbox.result(urls[1], "getClusterNodes")
    assert {f"http://{node['rpc']}" for node in nodes} == set(urls)
    assert [(await sandbox.call(url, "getSupply"))[0] for url in urls] == [503] * 3

    # One node falls behind; the others go on, and so does the trouble of all of them.
    await sandbox.result(urls[2], "sandboxTrouble", {"node": {"stands_still": True}})
    stood = await sandbox.result(urls[2], "getSlot", {"commitment": "processed"})

    async def others_went_on() -> bool:
        slots = [await sandbox.result(url, "getSlot", {"commitment": "processed"}) for url in urls[:2]]
        return min(slots) > stood + 3

    await eventually(others_went_on)
    assert await sandbox.result(urls[2], "getSlot", {"commitment": "processed"}) == stood
    await sandbox.result(urls[2], "sandboxTrouble", None)
    assert await sandbox.result(urls[2], "getSlot", {"commitment": "processed"}) > stood
    assert [(await sandbox.call(url, "getSupply"))[0] for url in urls] == [503, 503, 200]

    # Hermes wants its key; the order of null above ended its lag, which is the cluster's.
    latest = f"{where['hermes_url']}/v2/updates/price/latest?ids[]={SOL_USD.feed_id.hex()}"
    async with sandbox.http.get(latest) as response:
        assert response.status == 401
    async with sandbox.http.get(latest, headers={"Authorization": "Bearer sesame"}) as response:
        assert int((await response.json())["parsed"][0]["price"]["price"]) > 0
    settings = (await sandbox.result(urls[0], "sandboxTrouble"))["settings"]
    assert settings["hermes"]["lag_s"] == 0
    assert settings["http"]["methods"]["getSupply"]["error_share"] == 1

    # A subscriber of a further node hears of the cluster's slots.
    async with sandbox.http.ws_connect(where["ws_urls"][1]) as socket:
        await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "slotSubscribe"})
        await socket.receive_json(timeout=5)
        assert (await socket.receive_json(timeout=5))["method"] == "slotNotification"
