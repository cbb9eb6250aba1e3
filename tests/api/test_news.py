"""The WebSocket of news: numbered, resumed by number, bounded for readers and for the engine."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable

import aiohttp
import pytest

from engine.api import news as news_module
from engine.api.news_types import Queue


class Reader:
    """One connection to /ws, with what it was told."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.told: list[dict] = []

    async def until(self, found: Callable[[dict], bool]) -> dict:
        """The next message that is wanted."""
        async with asyncio.timeout(20):
            async for message in self.socket:
                told = json.loads(message.data)
                self.told.append(told)
                if found(told):
                    return told
        raise AssertionError(f"closed: {self.socket.close_code}")


@pytest.fixture
async def connect(served):
    """Opens /ws over TCP, as any program would."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def opened(query: str = "") -> Reader:
            url = f"ws://127.0.0.1:{served.server.port}/ws{query}"
            return Reader(await session.ws_connect(url, autoping=True))

        yield opened


def is_(kind: str, **fields: object) -> Callable[[dict], bool]:
    return lambda told: told["type"] == kind and all(told[name] == fields[name] for name in fields)


async def test_prices_the_fund_the_queue_and_the_state_are_told_when_they_change(served, connect):
    reader = await connect()
    await reader.until(is_("state", state="running"))
    served.rig.price("SOL/USD", 151)
    await reader.until(is_("price_update", symbol="SOL/USD", price_e6=151_000_000))
    await served.client.stop("drill")
    stopped = await reader.until(is_("state", state="stopped"))
    assert stopped["reason"] == "drill"
    served.rig.open()
    served.rig.price("BTC/USD", 58_000)
    await reader.until(is_("queue", length=1))
    numbers = [told["seq"] for told in reader.told]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] < 2**53
    assert {told["type"] for told in reader.told} >= {"insurance_fund", "price_update", "queue", "state"}


async def test_a_liquidation_is_told_once_and_its_attempt_from_signing_to_finality(served, connect):
    reader = await connect()
    await reader.until(is_("state"))
    position = await served.liquidated()
    final = await reader.until(is_("attempt", is_final=True))
    assert final["address"] == str(position.address)
    attempts = [told["outcome"] for told in reader.told if told["type"] == "attempt"]
    assert attempts[0] is None
    assert set(attempts[1:]) == {"confirmed"}
    told = [each for each in reader.told if each["type"] == "liquidation"]
    if not told:
        told = [await reader.until(is_("liquidation"))]
    (liquidation,) = told
    assert liquidation["liquidated_size_e6"] == served.rig.outcomes()[0].liquidated_size_e6


async def test_who_comes_back_with_the_last_number_misses_nothing(served, connect):
    reader = await connect()
    first = await reader.until(is_("state", state="running"))
    await reader.socket.close()
    await served.client.stop("meanwhile")
    again = await connect(f"?after={first['seq']}")
    await again.until(is_("state", state="stopped"))
    numbers = [told["seq"] for told in again.told]
    assert numbers == list(range(first["seq"] + 1, first["seq"] + 1 + len(numbers)))


@pytest.mark.parametrize("after", [0, 5, 2**53 - 1])
async def test_what_is_not_kept_is_told_as_a_gap(served, connect, after):
    reader = await connect()
    await reader.until(is_("state"))
    other = await connect(f"?after={after}")
    gap = await other.until(is_("gap"))
    assert gap["after"] == after
    following = await other.until(lambda _: True)
    assert following["seq"] == gap["oldest"]


async def test_one_that_falls_behind_the_ring_is_dropped_with_a_reason(served, connect):
    reader = await connect()
    first = await reader.until(is_("state"))
    desk = served.server._news
    kept = list(desk._ring)
    for number in range(news_module.RING + 10):
        desk._tell(0, Queue(length=number, in_flight=0, failed=0))
    assert len(desk._ring) == news_module.RING
    assert kept[0][0] <= first["seq"] < desk._ring[0][0]
    await desk.look()
    served.rig.price("SOL/USD", 152)
    async with asyncio.timeout(20):
        async for _ in reader.socket:
            pass
    assert reader.socket.close_code == 1013
    assert (await served.get("/health"))[0] == 200


async def test_readers_beyond_the_bound_are_refused_and_others_go_on(served, connect, monkeypatch):
    monkeypatch.setattr(news_module, "MOST_READERS", 2)
    readers = [await connect() for _ in range(2)]
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await connect()
    assert refusal.value.status == 503
    await readers[0].until(is_("state"))


async def test_two_hundred_readers_get_the_same(served, connect):
    readers = [await connect() for _ in range(200)]
    await asyncio.gather(*(reader.until(is_("state")) for reader in readers[:1]))
    served.rig.price("ETH/USD", 3_001)
    wanted = is_("price_update", symbol="ETH/USD", price_e6=3_001_000_000)
    found = await asyncio.gather(*(reader.until(wanted) for reader in readers))
    assert len({told["seq"] for told in found}) == 1


@pytest.mark.parametrize("at_once_bytes", [64 * 1024, 500, 0])
async def test_many_news_at_once_come_in_order_and_once_to_every_reader(
    served, connect, monkeypatch, at_once_bytes
):
    monkeypatch.setattr(news_module, "AT_ONCE_BYTES", at_once_bytes)
    readers = [await connect() for _ in range(3)]
    await asyncio.gather(*(reader.until(is_("state")) for reader in readers[:1]))
    desk = served.server._news
    for number in range(300):
        desk._tell(0, Queue(length=number, in_flight=7, failed=0))
    await desk.look()
    await asyncio.gather(*(reader.until(is_("queue", length=299, in_flight=7)) for reader in readers))
    for reader in readers:
        told = [each["length"] for each in reader.told if each.get("in_flight") == 7]
        assert told == list(range(300))
        numbers = [each["seq"] for each in reader.told]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_whether_a_reader_has_taken_what_was_written_or_not_it_gets_each_message_once_and_in_order(
    served, connect, monkeypatch, eventually
):
    chance = random.Random(5)
    has_taken = news_module._has_read_all
    monkeypatch.setattr(
        news_module, "_has_read_all", lambda *reader: chance.random() < 0.5 and has_taken(*reader)
    )
    readers = [await connect() for _ in range(20)]
    await readers[0].until(is_("state"))
    desk = served.server._news
    for number in range(60):
        desk._tell(0, Queue(length=number, in_flight=7, failed=0))
        await desk.look()
        await readers[number % len(readers)].until(is_("queue", length=number, in_flight=7))
    last = is_("queue", length=59, in_flight=7)
    await asyncio.gather(*(reader.until(last) for reader in readers if not last(reader.told[-1])))
    for reader in readers:
        numbers = [each["seq"] for each in reader.told]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    monkeypatch.setattr(news_module, "_has_read_all", has_taken)
    served.rig.price("ETH/USD", 3_001)
    await asyncio.gather(*(reader.until(is_("price_update", symbol="ETH/USD")) for reader in readers))
    await eventually(lambda: len(desk._abreast) == len(readers))


@pytest.mark.parametrize(
    "query", ["?after=-1", "?after=x", "?after=1e3", "?since=1", "?after=9007199254740992"]
)
async def test_a_bad_number_is_refused(served, query):
    status, answer = await served.get(f"/ws{query}")
    assert (status, answer["error"]["code"]) == (400, "bad_parameter")


async def test_a_plain_request_is_told_that_this_is_a_websocket(served):
    status, answer = await served.get("/ws")
    assert (status, answer["error"]["code"]) == (426, "no_websocket")


async def test_without_readers_the_engine_is_left_alone(served, connect, monkeypatch, eventually):
    monkeypatch.setattr(news_module, "LINGER_S", 0.0)
    desk = served.server._news
    reader = await connect()
    await reader.until(is_("state"))
    await reader.socket.close()
    await eventually(lambda: not desk._wanted.is_set() and not len(desk))
    looks = []
    monkeypatch.setattr(served.rig.parts.snapshots, "pulse", lambda: looks.append(1))
    await served.rig.tick(3)
    assert looks == []
