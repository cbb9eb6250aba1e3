"""The client of the second source on real sockets: the sandbox's Hermes, its trouble, hostile servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from engine.clock import SystemClock
from engine.oracle.hermes import HermesClient, HermesTimes, SourceState
from engine.protocol.addresses import FEEDS, Feed
from engine.protocol.pyth import PriceUpdate
from engine.sandbox.hermes import HermesConditions, HermesServer, serve_hermes
from engine.sandbox.market.feeds import FeedPublisher

KEY = "sesame-open-1234"
HASTE = HermesTimes(silence_s=0.3, reconnect_s=(0.01, 0.02, 0.05), refused_s=0.05, steady_s=0.05)


class Listener:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, int, int, int]] = []
        self.states: list[tuple[SourceState, str]] = []

    def on_opinion(self, symbol: str, price_e6: int, conf_e6: int, publish_time_s: int) -> None:
        self.said.append((symbol, price_e6, conf_e6, publish_time_s))

    def on_second_source(self, state: SourceState, message: str) -> None:
        self.states.append((state, message))

    def of(self, symbol: str) -> int:
        return next((price for name, price, _, _ in reversed(self.said) if name == symbol), 0)


class Market:
    """The publishers of a Hermes, and the service that tells of them every 10 ms."""

    def __init__(self) -> None:
        self.quotes: dict[str, PriceUpdate] = {}
        self._feeds = {symbol: FeedPublisher(FEEDS[symbol], Random(symbol)) for symbol in FEEDS}
        self.server: HermesServer

    async def go_on(self) -> None:
        slot = 0
        while True:
            slot += 1
            for symbol, dollars in (("SOL/USD", 150), ("BTC/USD", 60_000), ("ETH/USD", 3_000)):
                raw = dollars * 10**8
                self.quotes[symbol] = self._feeds[symbol].update(raw, int(time.time()), slot)
            if hasattr(self, "server"):
                self.server.publish()
            await asyncio.sleep(0.01)


@asynccontextmanager
async def sandbox_hermes(**options: Any) -> AsyncIterator[HermesServer]:
    market = Market()
    telling = asyncio.ensure_future(market.go_on())
    await asyncio.sleep(0)
    market.server = await serve_hermes(market, port=0, **options)
    try:
        yield market.server
    finally:
        telling.cancel()
        await market.server.close()


@asynccontextmanager
async def listening(
    url: str,
    key: str | None = None,
    feeds: list[Feed] | None = None,
    times: HermesTimes = HASTE,
    clock: SystemClock | None = None,
) -> AsyncIterator[tuple[HermesClient, Listener]]:
    listener = Listener()
    client = HermesClient(
        url=url,
        key=None if key is None else SecretStr(key),
        feeds=feeds or list(FEEDS.values()),
        listener=listener,
        clock=clock or SystemClock(),
        times=times,
    )
    running = asyncio.ensure_future(client.run())
    try:
        yield client, listener
        assert not running.done() or running.exception() is None
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


# --- the sandbox's Hermes ---


async def test_prices_of_every_feed_come_with_their_exact_numbers():
    async with sandbox_hermes() as server, listening(server.url + "/") as (client, listener):
        await until(lambda: {name for name, *_ in listener.said} == set(FEEDS))
        assert (listener.of("SOL/USD"), listener.of("BTC/USD")) == (150 * 10**6, 60_000 * 10**6)
        _, price_e6, conf_e6, publish_time_s = listener.said[0]
        assert 0 < conf_e6 * 100 < price_e6
        assert abs(publish_time_s - time.time()) <= 2
        assert listener.states == [(SourceState.OK, "")]
        assert client.refused == {}


async def test_without_a_url_there_is_no_second_source():
    listener = Listener()
    client = HermesClient(url=None, key=None, feeds=[], listener=listener, clock=SystemClock())
    await client.run()
    assert (client.state, listener.states) == (SourceState.OFF, [])


async def test_a_feed_that_it_does_not_know_costs_no_other_its_price():
    unknown = Feed("DOGE/USD", bytes(32), FEEDS["SOL/USD"].account)
    async with (
        sandbox_hermes() as server,
        listening(server.url, feeds=[unknown, FEEDS["SOL/USD"]]) as (_, listener),
    ):
        await until(lambda: listener.said)
        assert {name for name, *_ in listener.said} == {"SOL/USD"}


async def test_the_key_opens_it_and_without_it_the_operator_is_told_what_to_set():
    async with sandbox_hermes(key=KEY) as server:
        async with listening(server.url, KEY) as (_, listener):
            await until(lambda: listener.said)
        async with listening(server.url) as (client, listener):
            await until(lambda: client.connections > 2)
            wanted = "Hermes answers 401 and wants a key: set HERMES_API_KEY"
            assert listener.states == [(SourceState.REFUSED, wanted)]  # once, however often it tries


async def test_a_refused_key_is_never_shown_in_any_word(capsys: pytest.CaptureFixture[str]):
    with structlog.testing.capture_logs() as logs:
        async with (
            sandbox_hermes(key=KEY) as server,
            listening(server.url, "wrong-" + KEY) as (client, listener),
        ):
            await until(lambda: listener.states)
            await until(lambda: client.connections > 2)
            assert listener.states == [(SourceState.REFUSED, "Hermes answers 401 and refuses HERMES_API_KEY")]
            shown = f"{logs} {listener.states} {client.message} {vars(client)} {client!r}"
    out = capsys.readouterr()
    assert KEY not in shown + out.out + out.err


async def test_a_stream_that_is_cut_is_opened_again():
    async with sandbox_hermes() as server, listening(server.url) as (client, listener):
        for cut in range(1, 4):
            heard = len(listener.said)
            await until(lambda heard=heard: len(listener.said) > heard)
            assert server.cut_streams() == 1
            await until(lambda cut=cut: client.connections > cut)
        heard = len(listener.said)
        await until(lambda: len(listener.said) > heard + 3)


async def test_the_end_of_the_longest_stream_is_no_fault_of_anybodys():
    # What the service does after 24 hours: it says so in an error event, and ends the stream.
    async with sandbox_hermes(longest_stream_s=0.2) as server, listening(server.url) as (client, listener):
        await until(lambda: client.connections >= 3)
        heard = len(listener.said)
        await until(lambda: len(listener.said) > heard)
        assert client.refused["error event"] >= 1
        assert {state for state, _ in listener.states} <= {SourceState.OK, SourceState.AWAY}


async def test_a_service_that_keeps_the_stream_open_and_says_nothing_is_left_for_a_new_stream():
    async with sandbox_hermes() as server, listening(server.url) as (client, listener):
        await until(lambda: listener.said)
        server.conditions = HermesConditions(silent=True)
        await until(lambda: (SourceState.AWAY, "silent for 0.3 s") in listener.states)
        opened = client.connections
        await until(lambda: client.connections > opened)
        server.conditions = HermesConditions()
        await until(lambda: client.state is SourceState.OK)


async def test_its_lies_and_its_lag_come_through_as_it_says_them():
    # Whether they count is the board's to judge.
    async with sandbox_hermes() as server, listening(server.url) as (_, listener):
        server.conditions = HermesConditions(bias_bps={"SOL/USD": -300})
        await until(lambda: listener.of("SOL/USD") == 145_500_000)
        assert listener.of("BTC/USD") in (0, 60_000 * 10**6)
        server.conditions = HermesConditions(lag_s=1)
        await until(lambda: listener.of("SOL/USD") == 150 * 10**6)
        await until(lambda: time.time() - listener.said[-1][3] >= 1)  # without it the age is below 1


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_service_in_trouble_is_away_and_is_asked_again(status):
    answers = Answers(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
    async with answers.serving() as url, listening(url) as (client, listener):
        await until(lambda: client.connections > 3)
        assert listener.states == [(SourceState.AWAY, f"it answers {status}")]


# --- servers that are no friends ---


class Answers:
    """A server that answers every connection with the same bytes, and keeps what it was asked."""

    def __init__(self, *pieces: bytes, hold: bool = False) -> None:
        self._pieces = pieces
        self._hold = hold
        self.asked: list[bytes] = []

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.asked.append(await reader.readuntil(b"\r\n\r\n"))
            for piece in self._pieces:
                writer.write(piece)
                await writer.drain()
            if self._hold:
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def update(price: str = "15000000000") -> bytes:
    figures = f'{{"price":"{price}","conf":"1","expo":-8,"publish_time":1760000000}}'
    return f'data:{{"parsed":[{{"id":"{FEEDS["SOL/USD"].feed_id.hex()}","price":{figures}}}]}}\n\n'.encode()


async def test_hostile_events_are_counted_and_the_honest_ones_between_them_are_heard():
    answers = Answers(
        STREAM, update(), b"data:{\n\n", update("NaN"), b"data:\xff\n\n", b"event:x\n\n", b"\x00\x1b[2J\n\n",
        update("-1"), update("16000000000"), hold=True,
    )  # fmt: skip
    async with answers.serving() as url, listening(url) as (client, listener):
        await until(lambda: len(listener.said) >= 2)
        assert [price for _, price, _, _ in listener.said[:2]] == [150 * 10**6, 160 * 10**6]
        assert client.refused == {"not JSON": 2, "number out of range": 1, "price is not positive": 1}


async def test_a_line_that_never_ends_is_left_with_our_memory_unharmed():
    answers = Answers(STREAM, *[b"data:" + b"x" * 2**18] * 12, hold=True)
    async with answers.serving() as url, listening(url) as (client, listener):
        await until(lambda: client.refused.get("event too long"))
        assert listener.states[0] == (SourceState.AWAY, "it sends what is no stream of prices")


async def test_nobody_is_followed_elsewhere_with_the_key():
    elsewhere = Answers(STREAM, update(), hold=True)
    async with elsewhere.serving() as there:
        answers = Answers(f"HTTP/1.1 307 X\r\nLocation: {there}/\r\nContent-Length: 0\r\n\r\n".encode())
        async with answers.serving() as url, listening(url, KEY) as (client, listener):
            await until(lambda: client.connections > 2)
            assert listener.states == [(SourceState.AWAY, "it answers 307")]
    assert f"Authorization: Bearer {KEY}".encode() in answers.asked[0]
    assert elsewhere.asked == []


@pytest.mark.parametrize(
    ("answer", "state", "message"),
    [
        (b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n", SourceState.REFUSED, "Hermes answers 404: check"),
        (b"HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n", SourceState.REFUSED, "Hermes answers 403 and wants"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi",
            SourceState.REFUSED,
            "what answers is no Hermes: check HERMES_URL",
        ),
        (b"\x1b]0;hello\x07 SSH-2.0\r\n\r\n", SourceState.AWAY, "connection lost ("),
        (b"", SourceState.AWAY, "connection lost ("),
        (STREAM, SourceState.AWAY, "it ended the stream"),
    ],
)
async def test_what_is_no_stream_is_said_in_our_own_words(answer, state, message):
    answers = Answers(answer)
    async with answers.serving() as url, listening(url) as (client, listener):
        await until(lambda: client.connections > 2)
        found, words = listener.states[0]
        assert found is state
        assert words.startswith(message)
        assert words.isprintable()


async def test_nobody_there_is_away_and_found_when_somebody_comes():
    async with Answers().serving() as url:
        pass
    async with listening(url) as (client, listener):
        await until(lambda: client.connections > 2)
        assert listener.states[0][0] is SourceState.AWAY


class Sleeps(SystemClock):
    """Remembers how long it was asked to wait."""

    def __init__(self) -> None:
        self.slept_s: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        await super().sleep(seconds)


async def test_each_failure_on_end_waits_longer_and_a_steady_stream_begins_anew():
    clock = Sleeps()
    answers = Answers(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")
    async with answers.serving() as url, listening(url, clock=clock) as (client, _):
        await until(lambda: client.connections > 4)
    assert clock.slept_s[:4] == [0.01, 0.02, 0.05, 0.05]
    clock.slept_s.clear()
    async with (
        sandbox_hermes(longest_stream_s=0.15) as server,
        listening(server.url, clock=clock) as (client, _),
    ):
        await until(lambda: client.connections > 3)
    assert set(clock.slept_s) == {0.01}


async def test_retry_after_is_honoured_within_reason():
    patient = HermesTimes(silence_s=5, reconnect_s=(0.0,))
    answers = Answers(b"HTTP/1.1 429 X\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
    async with answers.serving() as url, listening(url, times=patient) as (client, listener):
        await until(lambda: client.connections == 1 and listener.states)
        begun = time.monotonic()
        await until(lambda: client.connections == 2)
        assert time.monotonic() - begun > 0.8
        assert listener.states == [(SourceState.AWAY, "it answers 429")]


async def test_a_flood_of_events_leaves_the_others_their_turn():
    answers = Answers(STREAM, *[update() * 2_000] * 20, hold=True)
    async with answers.serving() as url, listening(url) as (_, listener):
        await until(lambda: listener.said)
        longest_s = 0.0
        while len(listener.said) < 30_000:
            begun = time.monotonic()
            await asyncio.sleep(0)
            longest_s = max(longest_s, time.monotonic() - begun)
        assert longest_s < 0.5
