"""Trouble with prices: an oracle that is silent, old, wide or off, a second source that lies; never both."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from engine.protocol.addresses import FEEDS
from engine.protocol.pyth import PriceUpdate, decode_price_update
from engine.sandbox.cluster import Genesis, Ledger
from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.listeners import Listeners, listening
from engine.sandbox.market.market import Market
from engine.sandbox.market.plan import MarketPlan
from engine.sandbox.market.scenarios import Scenario, price_paths
from engine.sandbox.options import SandboxOptions
from engine.sandbox.settings_arguments import parse_settings
from engine.sandbox.trouble import Trouble

SOL, BTC = "SOL/USD", "BTC/USD"


class Prices:
    """A running market whose prices a client reads from the chain and from Hermes."""

    def __init__(self, listeners: Listeners, http: aiohttp.ClientSession) -> None:
        self.desk = listeners.desk
        self.where = listeners.where
        self.http = http

    async def rpc(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self.http.post(self.where["rpc_url"], json=body) as response:
            answer = await response.json()
        assert "error" not in answer, answer
        return answer["result"]

    async def trouble(self, patch: Any) -> None:
        """Order trouble and let two slots pass, so that what is read was published under it."""
        await self.rpc("sandboxTrouble", patch)
        begun = await self.rpc("getSlot", {"commitment": "processed"})
        while await self.rpc("getSlot", {"commitment": "processed"}) < begun + 2:
            pass

    async def chain(self, *symbols: str) -> list[PriceUpdate]:
        accounts = [str(FEEDS[symbol].account) for symbol in symbols]
        options = {"encoding": "base64", "commitment": "processed"}
        values = (await self.rpc("getMultipleAccounts", accounts, options))["value"]
        return [decode_price_update(base64.b64decode(value["data"][0])) for value in values]

    async def hermes(self, symbol: str) -> dict[str, Any]:
        url = f"{self.where['hermes_url']}/v2/updates/price/latest?ids[]={FEEDS[symbol].feed_id.hex()}"
        async with self.http.get(url) as response:
            assert response.status == 200, await response.text()
            price: dict[str, Any] = (await response.json())["parsed"][0]["price"]
        return price

    def stream(self, symbol: str) -> Any:
        feed_id = FEEDS[symbol].feed_id.hex()
        return self.http.get(f"{self.where['hermes_url']}/v2/updates/price/stream?ids[]={feed_id}")


@pytest.fixture
async def prices() -> AsyncIterator[Prices]:
    """A calm market without positions, its slots of 20 ms, its prices held: only trouble moves them."""
    ledger = Ledger(Genesis.from_seed(b"prices"), time.time)
    leader = Leader(ledger)
    paths = price_paths(Scenario.CALM, 1, {}, 4)
    market = Market(
        ledger, MarketPlan(seed=1, positions=0, scenario=Scenario.CALM, paths=paths), leader=leader
    )
    for _ in market.begin():
        pass
    options = SandboxOptions(slot_ms=20, rpc_port=0, ws_port=0)
    async with listening(options, leader, market) as listeners, aiohttp.ClientSession() as http:
        yield Prices(listeners, http)


async def test_without_trouble_chain_and_hermes_say_the_same(prices: Prices) -> None:
    await prices.trouble(None)
    (chain,), hermes = await prices.chain(SOL), await prices.hermes(SOL)
    assert str(chain.price) == hermes["price"] == str(150 * 10**8)
    assert abs(chain.publish_time_s - hermes["publish_time"]) <= 1


async def test_an_oracle_that_goes_silent_leaves_its_price_to_grow_old_and_speaks_again(
    prices: Prices, eventually: Callable[..., Any]
) -> None:
    await prices.trouble({"oracle": {SOL: {"outage": True}}})
    (stood,) = await prices.chain(SOL)

    async def hermes_went_on() -> bool:
        return bool((await prices.hermes(SOL))["publish_time"] > stood.publish_time_s)

    await eventually(hermes_went_on)
    sol, btc = await prices.chain(SOL, BTC)
    assert sol == stood
    assert btc.publish_time_s > stood.publish_time_s
    await prices.trouble(None)
    (again,) = await prices.chain(SOL)
    assert again.publish_time_s > stood.publish_time_s


async def test_a_wide_confidence_is_beyond_one_percent_by_settings(prices: Prices) -> None:
    healthy = await prices.chain(SOL)
    assert healthy[0].conf * 100 < healthy[0].price
    arguments = [f"oracle.{SOL}.confidence_factor=25"]
    prices.desk.begin(parse_settings("--trouble", arguments, Trouble))
    await prices.trouble({})
    sol, btc = await prices.chain(SOL, BTC)
    assert sol.conf * 100 > sol.price
    assert btc.conf * 100 < btc.price


async def test_a_price_can_be_off_and_old_on_chain_while_hermes_is_right(prices: Prices) -> None:
    await prices.trouble({"oracle": {SOL: {"jump_bps": 1_200, "age_s": 90}}})
    (sol,), hermes = await prices.chain(SOL), await prices.hermes(SOL)
    assert sol.price == 150 * 10**8 * 112 // 100
    assert 89 <= hermes["publish_time"] - sol.publish_time_s <= 91
    assert hermes["price"] == str(150 * 10**8)


async def test_hermes_lies_by_three_percent_while_the_chain_is_right(prices: Prices) -> None:
    await prices.trouble({"hermes": {"bias_bps": {SOL: -300}}})
    (sol,), hermes = await prices.chain(SOL), await prices.hermes(SOL)
    assert sol.price == 150 * 10**8
    assert hermes["price"] == str(150 * 10**8 * 97 // 100)
    async with prices.stream(SOL) as response:
        told = json.loads((await response.content.readline()).removeprefix(b"data:"))
        assert told["parsed"][0]["price"]["price"] == hermes["price"]
    await prices.trouble({"hermes": None})
    assert (await prices.hermes(SOL))["price"] == str(150 * 10**8)


async def test_hermes_falls_silent_lags_and_speaks_again(prices: Prices, eventually: Any) -> None:
    async with prices.stream(SOL) as response:
        assert (await response.content.readline()).startswith(b"data:")
        await prices.trouble({"hermes": {"silent": True}})

        async def nothing_comes() -> bool:
            try:
                async with asyncio.timeout(0.2):
                    await response.content.readline()
            except TimeoutError:
                return True
            return False

        await eventually(nothing_comes)
        await prices.trouble({"hermes": {"silent": False, "lag_s": 1}})
        assert (await response.content.readline()).startswith((b"data:", b"\n"))
    (sol,) = await prices.chain(SOL)
    assert sol.publish_time_s - (await prices.hermes(SOL))["publish_time"] in (0, 1, 2)


async def test_hermes_cuts_its_streams_and_refuses_requests(prices: Prices) -> None:
    async with prices.stream(SOL) as response:
        await prices.rpc("sandboxTrouble", {"hermes": {"stream_s": 0.05}})
        with pytest.raises(aiohttp.ClientError):
            await response.content.read()
    await prices.trouble({"hermes": {"http": {"error_share": 1, "error_status": 502}, "stream_s": None}})
    async with prices.stream(SOL) as response:
        assert response.status == 502
    assert await prices.rpc("getHealth") == "ok"
    await prices.trouble({"hermes": {"http": {"error_share": 0, "rate_limit_share": 1, "retry_after_s": 60}}})
    async with prices.stream(SOL) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "60")
    counters = (await prices.rpc("sandboxTrouble"))["counters"]
    assert (counters["hermes_refused"], counters["hermes_rate_limited"]) == (1, 1)
    await prices.trouble(None)
    assert (await prices.hermes(SOL))["price"] == str(150 * 10**8)
