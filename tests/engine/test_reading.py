"""Reading a node: every way in which it can fail is one kind of failure, and readers share requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.chain.account_reader import BATCH, AccountReader
from engine.chain.blockhash import MAX_AGE_S, BlockhashCache, NoFreshBlockhash
from engine.chain.fees import FeeBudgetSpent, FeeLimits, PriorityFees, priority_fee_lamports
from engine.chain.port import AccountRead, Level, RpcFailure
from engine.chain.rpc import RpcReader

ADDRESS = Pubkey.new_unique()
SIGNATURE = Signature.new_unique()


async def every_slice(reader: RpcReader) -> list[Any]:
    return [part async for part in reader.position_slices(ADDRESS, 0)]


CALLS: dict[str, Callable[[RpcReader], Any]] = {
    "genesis_hash": lambda reader: reader.genesis_hash(),
    "slot": lambda reader: reader.slot(),
    "block_height": lambda reader: reader.block_height(Level.FINALIZED),
    "account": lambda reader: reader.account(ADDRESS),
    "accounts": lambda reader: reader.accounts([ADDRESS, ADDRESS]),
    "positions": every_slice,
    "latest_blockhash": lambda reader: reader.latest_blockhash(),
    "statuses": lambda reader: reader.statuses([SIGNATURE], search_history=True),
    "transaction": lambda reader: reader.transaction(SIGNATURE, Level.FINALIZED),
    "signatures_of": lambda reader: reader.signatures_of(ADDRESS, before=None, limit=10),
    "balance": lambda reader: reader.balance(ADDRESS),
    "recent_priority_fees": lambda reader: reader.recent_priority_fees([ADDRESS]),
}
HOSTILE = [
    b"",
    b"<html>bad gateway</html>",
    b"[" * 20_000,
    b"\xff\xfe",
    b"null",
    b'{"jsonrpc":"2.0","id":0}',
    b'{"jsonrpc":"2.0","id":0,"error":"rate limited"}',
    b'{"jsonrpc":"2.0","id":0,"error":{"code":-32011,"message":"Transaction history is not available"}}',
    b'{"jsonrpc":"2.0","id":0,"result":{"context":{"slot":-1},"value":[[[]]]}}',
    b'{"jsonrpc":"2.0","id":0,"result":{"context":{"slot":1},"value":[1e400]}}',
    b'{"jsonrpc":"2.0","id":0,"result":-5}',
]


class Node:
    """An HTTP server that answers everything with the same bytes; the number of the call is put for 0."""

    def __init__(self) -> None:
        self.answer = b""
        self.never = False
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        number = json.loads(await request.read())["id"]
        if self.never:
            await asyncio.sleep(60)
        answer = self.answer.replace(b'"id":0', b'"id":%d' % number)
        return web.Response(body=answer, content_type="application/json")


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


@pytest.mark.parametrize("answer", HOSTILE)
async def test_an_answer_that_makes_no_sense_is_a_failure_of_the_node_in_every_method(node, answer):
    node.answer = answer
    async with RpcReader(node.url, 5.0) as reader:
        for name, call in CALLS.items():
            with pytest.raises(RpcFailure) as failure:
                print(name, await call(reader))
            assert "\n" not in str(failure.value), name
            assert len(str(failure.value)) < 300, name


async def test_silence_is_a_timeout_in_every_method(node, monkeypatch):
    monkeypatch.setattr("engine.chain.rpc._SNAPSHOT_DEADLINE_S", 0.1)
    node.never = True
    async with RpcReader(node.url, 0.1) as reader:
        failures = await asyncio.gather(*(call(reader) for call in CALLS.values()), return_exceptions=True)
    assert [type(failure) for failure in failures] == [RpcFailure] * len(CALLS)
    assert all(failure.is_timeout for failure in failures)


async def test_a_node_that_is_not_there_is_a_failure_and_no_timeout():
    async with RpcReader("http://127.0.0.1:1", 5.0) as reader:
        for call in CALLS.values():
            with pytest.raises(RpcFailure) as failure:
                await call(reader)
            assert not failure.value.is_timeout


async def test_a_list_that_is_shorter_than_what_was_asked_for_is_a_failure(node):
    node.answer = b'{"jsonrpc":"2.0","id":0,"result":{"context":{"slot":1},"value":[null]}}'
    async with RpcReader(node.url, 5.0) as reader:
        with pytest.raises(RpcFailure):
            await reader.accounts([ADDRESS, ADDRESS])
        with pytest.raises(RpcFailure):
            await reader.statuses([SIGNATURE, SIGNATURE], search_history=False)


def status_answer(rest: str) -> bytes:
    return (
        b'{"jsonrpc":"2.0","id":0,"result":{"context":{"slot":9},"value":[{"slot":7,"err":null,'
        b'"status":{"Ok":null},' + rest.encode() + b"}]}}"
    )


@pytest.mark.parametrize(
    ("rest", "level"),
    [
        ('"confirmations":0,"confirmationStatus":"processed"', Level.PROCESSED),
        ('"confirmations":1,"confirmationStatus":"confirmed"', Level.CONFIRMED),
        ('"confirmations":null,"confirmationStatus":"finalized"', Level.FINALIZED),
        # A node that leaves the word out has rooted the slot only if it counts confirmations no more.
        ('"confirmations":null,"confirmationStatus":null', Level.FINALIZED),
        ('"confirmations":3,"confirmationStatus":null', Level.PROCESSED),
    ],
)
async def test_only_a_rooted_status_is_final(node, rest, level):
    node.answer = status_answer(rest)
    async with RpcReader(node.url, 5.0) as reader:
        (status,) = await reader.statuses([SIGNATURE], search_history=False)
    assert (status.slot, status.level, status.fault) == (7, level, None)


class CountingChain:
    """Answers getMultipleAccounts, and counts the requests."""

    def __init__(self) -> None:
        self.requests: list[list[Pubkey]] = []
        self.failure: Exception | None = None

    async def accounts(self, addresses: list[Pubkey]) -> list[AccountRead]:
        self.requests.append(addresses)
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return [AccountRead(bytes(address), None, 0, 5) for address in addresses]


async def test_readers_of_one_moment_share_requests_and_each_gets_its_own_account():
    chain = CountingChain()
    reader = AccountReader(chain)
    addresses = [Pubkey.new_unique() for _ in range(250)]
    answers = await asyncio.gather(*map(reader.read, [*addresses, *addresses]))
    assert [answer.data for answer in answers] == [bytes(address) for address in [*addresses, *addresses]]
    assert sum(len(request) for request in chain.requests) <= 2 * 250
    assert max(len(request) for request in chain.requests) <= BATCH
    assert len(chain.requests) <= 6


async def test_a_reader_that_is_cancelled_takes_no_other_with_it():
    chain = CountingChain()
    reader = AccountReader(chain)
    first, second = (asyncio.ensure_future(reader.read(ADDRESS)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).data == bytes(ADDRESS)


@pytest.mark.parametrize("failure", [RpcFailure("timeout", is_timeout=True), LookupError("unforeseen")])
async def test_a_failure_reaches_every_reader_as_the_nodes_whatever_it_was(failure):
    chain = CountingChain()
    chain.failure = failure
    reader = AccountReader(chain)
    async with asyncio.timeout(2):
        answers = await asyncio.gather(*(reader.read(ADDRESS) for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [RpcFailure] * 3
    chain.failure = None
    assert (await reader.read(ADDRESS)).slot == 5


async def test_a_blockhash_is_signed_with_only_while_most_of_its_life_is_left(bare):
    cache = BlockhashCache(bare.chain, bare.clock)
    with pytest.raises(NoFreshBlockhash):
        cache.current()
    await cache.refresh()
    assert cache.current().value == (await bare.chain.latest_blockhash()).value
    bare.chain.faults.failing["latest_blockhash"] = RpcFailure("node error")
    task = asyncio.ensure_future(cache.run())
    await bare.clock.advance(MAX_AGE_S)
    cache.current()
    await bare.clock.advance(1)
    with pytest.raises(NoFreshBlockhash):
        cache.current()
    bare.chain.faults.failing.clear()
    await bare.clock.advance(2.5)
    cache.current()
    task.cancel()


async def test_the_priority_fee_follows_value_and_attempt_and_stays_under_the_cap(bare):
    limits = FeeLimits(floor_microlamports=100, cap_lamports=1_000, daily_budget_lamports=50_000)
    fees = PriorityFees(bare.chain, [ADDRESS], limits, bare.clock, 200_000)

    def chosen(dollars: int, attempt: int = 1) -> int:
        return fees.choose_microlamports(value_e6=dollars * 10**6, attempt=attempt, compute_unit_limit=10**5)

    assert chosen(10**9) == 100
    bare.chain.fees = list(range(100, 200))
    task = asyncio.ensure_future(fees.run())
    await bare.clock.advance(1)
    assert [chosen(dollars) for dollars in (0, 9_999, 10_000, 99_999, 100_000)] == [150, 150, 175, 175, 190]
    assert chosen(0, attempt=3) == 450
    bare.chain.fees = [2**64 - 1]
    await bare.clock.advance(6)
    assert priority_fee_lamports(chosen(10**6, attempt=20), 10**5) == 1_000
    task.cancel()


def test_the_budget_of_a_day_is_not_exceeded_by_a_lamport(bare):
    fees = PriorityFees(bare.chain, [], FeeLimits(0, 0, 50_000), bare.clock, 200_000)
    fees.check_budget(paid_lamports=40_000, in_flight_lamports=5_000, next_lamports=5_000)
    with pytest.raises(FeeBudgetSpent):
        fees.check_budget(paid_lamports=40_000, in_flight_lamports=5_001, next_lamports=5_000)
