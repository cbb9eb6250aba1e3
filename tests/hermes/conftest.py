"""A Hermes on a real socket whose publishers' prices the test sets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import aiohttp
import pytest

from engine.protocol.addresses import FEEDS
from engine.protocol.pyth import PriceUpdate
from engine.sandbox.hermes import HermesServer, serve_hermes
from engine.sandbox.market.feeds import FeedPublisher

NOW_S = 1_760_000_000
START_RAW = {"SOL/USD": 150 * 10**8, "BTC/USD": 65_000 * 10**8, "ETH/USD": 3_200 * 10**8}


@dataclass
class Publishers:
    """The market's own publishers, told their prices by hand."""

    quotes: dict[str, PriceUpdate] = field(default_factory=dict)
    slot: int = 1_000

    def __post_init__(self) -> None:
        self._feeds = {symbol: FeedPublisher(FEEDS[symbol], Random(symbol)) for symbol in FEEDS}
        self.say(START_RAW, NOW_S)

    def say(self, prices: dict[str, int], unix_time_s: int) -> None:
        self.slot += 1
        for symbol, price in prices.items():
            self.quotes[symbol] = self._feeds[symbol].update(price, unix_time_s, self.slot)


class Hermes:
    """A running service, its publishers, and a client."""

    def __init__(self, server: HermesServer, publishers: Publishers, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.publishers = publishers
        self.http = http

    def say(self, unix_time_s: int = NOW_S + 1, **prices: int) -> None:
        """New prices of 1e-8 USD by base currency, published to every stream."""
        told = {f"{base}/USD": price for base, price in prices.items()}
        self.publishers.say({**START_RAW, **told}, unix_time_s)
        self.server.publish()

    async def get(self, path: str, *ids: str, **options: str) -> tuple[int, str]:
        parameters = [("ids[]", each) for each in ids] + list(options.items())
        async with self.http.get(self.server.url + path, params=parameters) as response:
            return response.status, await response.text()

    async def latest(self, *ids: str, **options: str) -> dict[str, Any]:
        status, text = await self.get("/v2/updates/price/latest", *ids, **options)
        assert status == 200, text
        answer: dict[str, Any] = json.loads(text)
        return answer

    @asynccontextmanager
    async def stream(self, *ids: str, **options: str) -> AsyncIterator[aiohttp.StreamReader]:
        """The raw bytes of a stream that is open."""
        parameters = [("ids[]", each) for each in ids] + list(options.items())
        async with self.http.get(f"{self.server.url}/v2/updates/price/stream", params=parameters) as response:
            assert response.status == 200, await response.text()
            assert response.headers["Content-Type"] == "text/event-stream"
            yield response.content

    async def event(self, content: aiohttp.StreamReader) -> str:
        """The next event of a stream, comments included; "" when it has ended."""
        lines = []
        while line := (await content.readline()).decode():
            if line == "\n":
                break
            lines.append(line)
        return "".join(lines)

    async def update(self, content: aiohttp.StreamReader) -> dict[str, Any]:
        """The next update of a stream."""
        text = await self.event(content)
        assert text.startswith('data:{"binary":'), text
        body: dict[str, Any] = json.loads(text.removeprefix("data:"))
        return body


Start = Callable[..., Any]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts services with options of `serve_hermes`; closes them in the end."""
    running: list[HermesServer] = []
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as http:

        async def run(**options: Any) -> Hermes:
            publishers = Publishers()
            server = await serve_hermes(publishers, port=0, **options)
            running.append(server)
            return Hermes(server, publishers, http)

        yield run
    for server in running:
        await server.close()


@pytest.fixture
async def hermes(start: Start) -> Hermes:
    """A service that works."""
    service: Hermes = await start()
    return service
