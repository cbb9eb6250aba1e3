"""The snapshot as it is read: whatever the node sends, in whatever pieces, it is all of it or a failure."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any, Literal

import msgspec
import pytest
from aiohttp import web
from solders.pubkey import Pubkey

from engine.chain import json_array
from engine.chain.json_array import ArrayReader, UnreadableAnswer
from engine.chain.port import RpcFailure
from engine.chain.snapshot import read_positions
from engine.protocol.accounts import POSITION_DISCRIMINATOR_BASE58
from engine.protocol.addresses import PROGRAM_ID


class Account(msgspec.Struct):
    data: tuple[str, Literal["base64"]]


class Entry(msgspec.Struct):
    pubkey: str
    account: Account


class Plain(msgspec.Struct):
    result: list[Entry]
    error: msgspec.Raw | None = None


class WithContext(msgspec.Struct):
    value: list[Entry]


class InContext(msgspec.Struct):
    result: WithContext
    error: msgspec.Raw | None = None


DECODER = msgspec.json.Decoder(list[Entry])


def read(raw: bytes, size: Callable[[], int]) -> list[str] | None:
    """The names of the entries as they come in pieces, None when the answer is refused."""
    reader, found, at = ArrayReader(DECODER), [], 0
    try:
        while at < len(raw):
            length = size()
            for entries in reader.feed(raw[at : at + length]):
                found += entries
            at += length
        for entries in reader.end():
            found += entries
    except UnreadableAnswer:
        return None
    return [entry.pubkey for entry in found]


def read_whole(raw: bytes) -> list[str] | None:
    """The same, by decoding all of it at once."""
    for shape in (Plain, InContext):
        try:
            answer: Any = msgspec.json.decode(raw, type=shape)
        except msgspec.MsgspecError:
            continue
        entries = answer.result if shape is Plain else answer.result.value
        return None if answer.error not in (None, b"null") else [entry.pubkey for entry in entries]
    return None


def some_answer(rng: Random) -> tuple[bytes, list[str]]:
    """An answer in one of the many ways in which JSON can be written, with its names."""
    names = [
        "".join(rng.choice('ab"\\{}[],: é\n') for _ in range(rng.randrange(6)))
        for _ in range(rng.randrange(9))
    ]
    entries = []
    for name in names:
        account = {
            "data": ["x}},{" * rng.randrange(3), "base64"],
            "more": rng.choice([1, None, {"a": [{}, {}]}]),
        }
        entry = [("pubkey", name), ("account", account)]
        entries.append(dict(rng.sample(entry, 2)))
    result = entries if rng.random() < 0.5 else {"context": {"slot": 4, "x": [1]}, "value": entries}
    top = rng.sample([("jsonrpc", "2.0"), ("id", 1), ("result", result)], 3)
    separators = rng.choice([None, (",", ":")])
    text = json.dumps(
        dict(top), indent=rng.choice([None, None, 1]), separators=separators, ensure_ascii=rng.random() < 0.5
    )
    return text.encode(), names


def test_every_way_to_write_an_answer_and_to_cut_it_into_packets_gives_the_same_accounts(monkeypatch):
    monkeypatch.setattr(json_array, "SLICE_BYTES", 150)
    rng = Random(3)
    for _ in range(1_500):
        raw, names = some_answer(rng)
        most = rng.choice((1, 3, 50, 500, 10**6))
        assert read(raw, lambda most=most: rng.randint(1, most)) == names


def test_an_answer_that_ends_early_is_never_taken_for_a_whole_one(monkeypatch):
    monkeypatch.setattr(json_array, "SLICE_BYTES", 150)
    rng = Random(4)
    for _ in range(1_500):
        raw, _ = some_answer(rng)
        assert read(raw[: rng.randrange(len(raw))], lambda: rng.randint(1, 300)) is None


def test_a_spoiled_answer_is_read_as_decoding_all_of_it_at_once_would_read_it(monkeypatch):
    monkeypatch.setattr(json_array, "SLICE_BYTES", 150)
    rng, refused = Random(5), 0
    for _ in range(4_000):
        raw, _ = some_answer(rng)
        spoiled = bytearray(raw)
        for _ in range(rng.randint(1, 3)):
            spoiled[rng.randrange(len(spoiled))] = rng.choice(b'{}[]",:\\ 0azu\x00')
        try:
            spoiled.decode()
        except UnicodeDecodeError:
            continue
        expected = read_whole(bytes(spoiled))
        refused += expected is None
        assert read(bytes(spoiled), lambda: rng.randint(1, 400)) == expected, bytes(spoiled)
    assert refused > 500


def test_random_bytes_are_refused_and_break_nothing():
    rng = Random(6)
    for _ in range(3_000):
        raw = rng.choice((b"", b'{"result":[', b'{"result":[{"pubkey":')) + rng.randbytes(rng.randrange(300))
        assert read(raw, lambda: rng.randint(1, 100)) is None


def entry_of(address: Pubkey, data: bytes) -> dict[str, Any]:
    return {
        "pubkey": str(address),
        "account": {
            "lamports": 1,
            "data": [base64.b64encode(data).decode(), "base64"],
            "owner": str(PROGRAM_ID),
            "executable": False,
            "rentEpoch": 2**64 - 1,
            "space": len(data),
        },
    }


class Node:
    """An HTTP server whose answer, and how it comes, is the test's."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.status = 200
        self.breaks_off = False
        self.stalls = False
        self.asked: Any = None
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked = await request.json()
        response = web.StreamResponse(status=self.status)
        await response.prepare(request)
        for part in self.parts:
            await response.write(part)
        if self.stalls:
            await asyncio.sleep(30)
        if self.breaks_off:
            assert request.transport is not None
            request.transport.abort()
        return response


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    node = Node()
    app = web.Application()
    app.router.add_post("/", node.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    node.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield node
    await runner.cleanup()


async def positions(node: Node, deadline_s: float = 5.0) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    async for addresses, accounts in read_positions(node.url, PROGRAM_ID, 77, deadline_s):
        found += zip(addresses, accounts, strict=True)
    return found


async def test_a_program_is_read_in_slices_and_asked_for_by_its_discriminator(node, monkeypatch):
    monkeypatch.setattr(json_array, "SLICE_BYTES", 40_000)
    rng = Random(1)
    accounts = [(Pubkey.from_bytes(rng.randbytes(32)), rng.randbytes(120)) for _ in range(3_000)]
    answer = json.dumps(
        {"jsonrpc": "2.0", "result": [entry_of(*each) for each in accounts], "id": 1}, separators=(",", ":")
    ).encode()
    node.parts = [answer[start : start + 30_000] for start in range(0, len(answer), 30_000)]
    assert await positions(node) == [(bytes(address), data) for address, data in accounts]
    program_id, config = node.asked["params"]
    assert (node.asked["method"], program_id) == ("getProgramAccounts", str(PROGRAM_ID))
    assert config["filters"] == [{"memcmp": {"offset": 0, "bytes": POSITION_DISCRIMINATOR_BASE58}}]
    assert (config["minContextSlot"], config["commitment"]) == (77, "processed")


async def test_an_empty_program_is_a_whole_answer(node):
    node.parts = [b'{"jsonrpc":"2.0","result":[],"id":1}']
    assert await positions(node) == []


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        (
            [b'{"jsonrpc":"2.0","error":{"code":-32010,"message":"excluded from\\nindexes"},"id":1}'],
            "excluded",
        ),
        ([b'{"jsonrpc":"2.0","result":null,"id":1}'], "cannot be read"),
        ([b"<html>bad gateway</html>"], "cannot be read"),
        ([b'{"jsonrpc":"2.0","result":[{"pubkey":"not one","account":{"data":["","base64"]}}]}'], "base58"),
        (
            [b'{"jsonrpc":"2.0","result":[{"pubkey":"1","account":{"data":["%%%","base64"]}}]}'],
            "cannot be read",
        ),
        ([b'{"jsonrpc":"2.0","result":[{"pubkey":"1","account":{"data":["","base58"]}}]}'], "cannot be read"),
        ([b'{"jsonrpc":"2.0","result":[]', b" " * 20_000, b"}"], "too much"),
        ([b"[" * 30_000], "cannot be read"),
    ],
)
async def test_an_answer_that_is_none_is_a_failure_of_one_line_that_says_why(node, parts, says):
    node.parts = parts
    with pytest.raises(RpcFailure, match=says) as failure:
        await positions(node)
    assert "\n" not in str(failure.value)
    assert len(str(failure.value)) < 300


async def test_an_account_of_ten_megabytes_is_read_and_an_endless_one_is_a_failure(node, monkeypatch):
    monkeypatch.setattr(json_array, "SLICE_BYTES", 10_000)
    address = Pubkey.new_unique()
    huge = json.dumps({"result": [entry_of(address, bytes(4_000_000)), entry_of(address, b"x")]}).encode()
    node.parts = [huge]
    assert [len(data) for _, data in await positions(node)] == [4_000_000, 1]
    monkeypatch.setattr(json_array, "ENTRY_BYTES", 1_000_000)
    with pytest.raises(RpcFailure, match="no end"):
        await positions(node)


async def test_a_connection_that_breaks_or_falls_silent_is_a_failure_and_only_silence_is_a_timeout(node):
    node.parts = [b'{"jsonrpc":"2.0","result":[']
    node.breaks_off = True
    with pytest.raises(RpcFailure) as failure:
        await positions(node)
    assert not failure.value.is_timeout
    node.breaks_off, node.stalls = False, True
    with pytest.raises(RpcFailure) as failure:
        await positions(node, 0.2)
    assert failure.value.is_timeout


async def test_a_status_other_than_ok_is_a_failure(node):
    node.status, node.parts = 429, [b'{"jsonrpc":"2.0","result":[],"id":1}']
    with pytest.raises(RpcFailure, match="429"):
        await positions(node)
