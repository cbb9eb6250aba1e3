"""Server-sent events: what a stream tells, when it is silent, and how it ends."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from engine.errors import AddressInUse
from engine.protocol.addresses import BTC_USD, SOL_USD
from engine.sandbox.hermes import HermesConditions, serve_hermes, streams
from engine.sandbox.hermes import server as service

SOL, BTC = SOL_USD.feed_id.hex(), BTC_USD.feed_id.hex()
NOW_S = 1_760_000_000


def price(update: dict[str, Any]) -> int:
    return int(update["parsed"][0]["price"]["price"])


async def opened(hermes: Any, eventually: Any, count: int = 1) -> None:
    await eventually(lambda: hermes.server.streams == count)


async def left(hermes: Any, eventually: Any) -> None:
    """A client that is gone is noticed by what can no longer be told to it."""

    async def unheard() -> bool:
        hermes.say()
        return bool(hermes.server.streams == 0)

    await eventually(unheard)


async def test_each_publication_is_one_event_with_the_asked_feeds(hermes: Any, eventually: Any) -> None:
    async with hermes.stream(SOL) as one, hermes.stream(SOL, BTC, parsed="true") as both:
        await opened(hermes, eventually, 2)
        hermes.say(NOW_S + 1, SOL=149 * 10**8)
        hermes.say(NOW_S + 2, SOL=148 * 10**8)
        assert [price(await hermes.update(one)) for _ in range(2)] == [149 * 10**8, 148 * 10**8]
        update = await hermes.update(both)
        assert [each["id"] for each in update["parsed"]] == [SOL, BTC]
        assert update["parsed"][0]["metadata"]["prev_publish_time"] == NOW_S
    await left(hermes, eventually)


async def test_benchmarks_are_the_first_updates_of_their_second(hermes: Any, eventually: Any) -> None:
    async with hermes.stream(SOL, benchmarks_only="true") as content:
        await opened(hermes, eventually)
        hermes.say(NOW_S + 1, SOL=1)
        hermes.say(NOW_S + 1, SOL=2)
        hermes.say(NOW_S + 2, SOL=3)
        assert [price(await hermes.update(content)) for _ in range(2)] == [1, 3]


async def test_a_stream_without_news_is_kept_alive_by_comments(
    hermes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "KEEP_ALIVE_S", 0.02)
    async with hermes.stream(SOL) as content:
        assert [await hermes.event(content) for _ in range(3)] == [":\n"] * 3


async def test_a_stream_ends_after_its_longest_time_and_says_so(start: Any) -> None:
    hermes = await start(longest_stream_s=0.05)
    async with hermes.stream(SOL) as content:
        assert (await content.read()).endswith(b"event:error\ndata:Connection timeout reached (24h)\n\n")


async def test_a_client_that_does_not_read_is_dropped_and_the_others_are_served(
    hermes: Any, eventually: Any
) -> None:
    with socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        address = urlsplit(hermes.server.url)
        lazy.connect((address.hostname, address.port))
        lazy.sendall(
            f"GET /v2/updates/price/stream?ids[]={SOL}&ids[]={BTC} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        async with hermes.stream(SOL) as content:
            await opened(hermes, eventually, 2)
            told = 0
            while hermes.server.streams == 2:
                told += 1
                hermes.say(NOW_S + told, SOL=told)
                assert price(await hermes.update(content)) == told
                assert told < 20_000
            hermes.say(NOW_S, SOL=7)
            assert price(await hermes.update(content)) == 7


async def test_there_is_an_end_to_how_many_streams_are_served(
    hermes: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_STREAMS", 1)
    async with hermes.stream(SOL):
        await opened(hermes, eventually)
        assert await hermes.get("/v2/updates/price/stream", SOL) == (503, "All 1 streams are taken")
    await left(hermes, eventually)
    async with hermes.stream(SOL):
        await opened(hermes, eventually)


async def test_closing_the_service_ends_its_streams(start: Any, eventually: Any) -> None:
    hermes = await start()
    async with hermes.stream(SOL) as content:
        await opened(hermes, eventually)
        await hermes.server.close()
        with pytest.raises(aiohttp.ClientError):
            await content.read()


async def test_a_taken_port_is_refused_by_the_name_of_its_flag(hermes: Any) -> None:
    port = urlsplit(hermes.server.url).port
    assert port is not None
    with pytest.raises(AddressInUse, match="--hermes-port"):
        await serve_hermes(hermes.publishers, port=port)


async def test_a_lying_service_moves_the_prices_it_is_told_to_and_no_others(
    hermes: Any, eventually: Any
) -> None:
    hermes.server.conditions = HermesConditions(bias_bps={"SOL/USD": -300}, confidence_factor=20)
    honest = hermes.publishers.quotes
    async with hermes.stream(SOL, BTC) as content:
        await opened(hermes, eventually)
        hermes.say(SOL=100 * 10**8, BTC=60_000 * 10**8)
        sol, btc = (await hermes.update(content))["parsed"]
        assert (sol["price"]["price"], btc["price"]["price"]) == (str(97 * 10**8), str(60_000 * 10**8))
        assert int(sol["price"]["conf"]) == 20 * honest["SOL/USD"].conf
        assert honest["SOL/USD"].price == 100 * 10**8
        hermes.server.conditions = HermesConditions()
        hermes.say(SOL=100 * 10**8)
        assert price(await hermes.update(content)) == 100 * 10**8


async def test_a_silent_service_keeps_the_stream_open_and_tells_nothing(
    hermes: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "KEEP_ALIVE_S", 0.02)
    hermes.server.conditions = HermesConditions(silent=True)
    async with hermes.stream(SOL) as content:
        await opened(hermes, eventually)
        hermes.say(SOL=1)
        assert await hermes.event(content) == ":\n"
        hermes.server.conditions = HermesConditions()
        hermes.say(SOL=2)
        events = [await hermes.event(content)]
        while events[-1] == ":\n":
            events.append(await hermes.event(content))
        assert '"price":"2"' in events[-1]


async def test_a_lagging_service_tells_what_was_true_then(hermes: Any, eventually: Any) -> None:
    for second in range(1, 30):
        hermes.say(NOW_S + second, SOL=second)
    hermes.server.conditions = HermesConditions(lag_s=10)
    assert price(await hermes.latest(SOL)) == 19
    async with hermes.stream(SOL) as content:
        await opened(hermes, eventually)
        hermes.say(NOW_S + 30, SOL=30)
        assert price(await hermes.update(content)) == 20


async def test_streams_are_cut_at_the_age_that_the_conditions_say(
    hermes: Any, eventually: Callable[..., Any]
) -> None:
    hermes.server.conditions = HermesConditions(stream_s=0.05)

    async def cut() -> bool:
        hermes.say(SOL=1)
        return bool(hermes.server.streams == 0)

    async with hermes.stream(SOL) as content:
        await opened(hermes, eventually)
        await eventually(cut)
        with pytest.raises(aiohttp.ClientError):
            await content.read()
