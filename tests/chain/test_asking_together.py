"""Many final transactions by one request; a node that takes no such request is asked one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from liar import LEDGER, Cluster, cluster, landed, signed
from solders.signature import Signature

from engine.chain.jsonrpc import JsonRpc, OtherAnswer, Session
from engine.chain.port import Level

SIGNATURES = [Signature.from_string(each) for each in LEDGER]


@pytest.fixture
async def of() -> AsyncIterator[Cluster]:
    async with cluster(2) as of:
        for part in SIGNATURES:
            assert await of.pool.transaction(part, Level.FINALIZED) is not None
        for node in of.nodes:
            node.asked.clear()
        yield of


def asked_together(of: Cluster) -> int:
    return sum(each.endswith(" getTransaction") for node in of.nodes for each in node.asked)


async def test_one_request_brings_every_transaction_each_to_its_own_signature(of):
    told = await of.pool.final_transactions(SIGNATURES)

    assert list(told) == SIGNATURES
    for signature, transaction in told.items():
        assert transaction == await of.pool.transaction(signature, Level.FINALIZED)
    assert asked_together(of) == 1


async def test_one_that_the_node_does_not_have_is_missing_and_the_others_are_there(of):
    for node in of.nodes:
        node.lies["getTransaction"] = lambda told: (
            None if told == landed(900, LEDGER[str(SIGNATURES[1])]) else told
        )
    assert list(await of.pool.final_transactions(SIGNATURES)) == [SIGNATURES[0], *SIGNATURES[2:]]


@pytest.mark.parametrize(
    "refusal",
    [
        web.Response(status=403),
        web.Response(status=413),
        web.json_response({"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no batches"}}),
        web.json_response({"jsonrpc": "2.0", "id": 1, "error": {"code": -32600, "message": "no batches"}}),
        web.json_response({"jsonrpc": "2.0", "id": 1, "result": 5}),
    ],
)
async def test_a_node_that_takes_no_calls_together_keeps_its_standing_and_is_asked_singly(of, refusal):
    for node in of.nodes:
        node.refusal_of_many = refusal
    with pytest.raises(Exception, match="node"):
        await of.pool.final_transactions(SIGNATURES)

    assert of.states == ["ok", "ok"]
    assert all(report.error_permille == 0 for report in of.pool.endpoints())
    assert await of.pool.final_transactions(SIGNATURES) == {}, "and it is not tried again at once"
    assert asked_together(of) == len(of.nodes)
    assert await of.pool.transaction(SIGNATURES[0], Level.FINALIZED) is not None


async def test_answers_under_each_others_numbers_are_a_lie_and_another_node_is_asked(of):
    of.nodes[0].numbers = lambda numbers: numbers[1:] + numbers[:1]
    told = await of.pool.final_transactions(SIGNATURES)

    assert list(told) == SIGNATURES
    assert of.states == ["distrusted", "ok"]
    assert "the transaction of another signature" in of.why(0)


@pytest.mark.parametrize(
    "numbers",
    [
        lambda numbers: [each + 1000 for each in numbers],
        lambda numbers: [numbers[0]] * len(numbers),
        lambda numbers: [str(each) for each in numbers],
    ],
)
async def test_answers_under_numbers_that_nobody_gave_are_not_taken(of, numbers):
    for node in of.nodes:
        node.numbers = numbers
    with pytest.raises(OtherAnswer):
        await of.pool.final_transactions(SIGNATURES)


async def test_a_made_up_transaction_among_true_ones_is_a_lie(of):
    foreign = landed(900, signed(77))
    of.nodes[0].lies["getTransaction"] = lambda told: (
        foreign if told == landed(900, LEDGER[str(SIGNATURES[2])]) else told
    )
    assert list(await of.pool.final_transactions(SIGNATURES)) == SIGNATURES
    assert of.states == ["distrusted", "ok"]


async def test_nothing_is_asked_for_that_no_node_called_final(of):
    unknown = [Signature.new_unique(), Signature.new_unique()]
    assert await of.pool.final_transactions(unknown) == {}
    assert asked_together(of) == 0


async def test_a_request_for_many_is_paid_for_as_many():
    async with cluster(1, per_s=[50]) as of:
        for each in SIGNATURES:
            await of.pool.statuses([each], search_history=True)
        before = of.pool.endpoints()[0].requests_left
        told = await of.pool.final_transactions(SIGNATURES)
        spent = before - of.pool.endpoints()[0].requests_left

    assert len(told) == len(SIGNATURES)
    assert spent >= len(SIGNATURES) - 1, "the bucket fills meanwhile, by one in twenty milliseconds"


async def test_an_answer_that_comes_twice_is_not_taken_for_the_answer_to_the_next_call():
    """The second copy waits in the connection when the next call is written to it."""
    lines = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal lines
        lines += 1
        stale = b""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                number = (await reader.readexactly(length)).partition(b'"id":')[2].partition(b",")[0]
                body = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (number, number)
                answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
                writer.write(stale or answer)
                stale = answer
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    session = Session()
    try:
        line = JsonRpc(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", session)
        assert b'"result":1' in await line.call("getSlot", [], 20.0)
        with pytest.raises(OtherAnswer):
            await line.call("getSlot", [], 20.0)
        assert b'"result":3' in await line.call("getSlot", [], 20.0)
        assert lines == 2, "what was out of step is closed"
    finally:
        session.close()
        server.close()
