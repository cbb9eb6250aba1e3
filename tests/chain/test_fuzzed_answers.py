"""Whatever a node answers over a real socket is an RpcFailure that may be shown, or what can be true."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from liar import ADDRESS, SIGNATURE, Cluster, Node, cluster
from mutation import anything, mutated
from solders.signature import Signature

from engine.chain.answers import BASE_FEE_LIMIT_LAMPORTS
from engine.chain.port import Level, RpcFailure
from engine.chain.rpc import RpcReader
from engine.chain.shapes import LARGEST_ACCOUNT, MOST_COMPUTE_UNITS, MOST_LAMPORTS

CASES = 250  # of each method and kind
LONGEST_WORDS = 300


def reaches(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def is_transaction(of: Node) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        return value is None or (
            0 <= value.fee_lamports <= BASE_FEE_LIMIT_LAMPORTS + 2_000
            and 0 <= value.compute_units <= MOST_COMPUTE_UNITS
            and sum(value.lamports_change.values()) <= -value.fee_lamports
            and value.slot <= of.slot + 1000
        )

    return check


def is_account(value: Any) -> bool:
    if value.data is None:
        return value.owner is None and value.lamports == 0
    return len(value.data) <= LARGEST_ACCOUNT and 0 <= value.lamports <= MOST_LAMPORTS


def is_status(value: Any) -> bool:
    return value is None or (value.slot >= 0 and value.fault is None) or value.fault.name.isalnum()


Ask = Callable[[RpcReader], Awaitable[Any]]


def methods(of: Node) -> Iterator[tuple[str, Ask, Callable[[Any], bool]]]:
    """Each method, how it is asked, and what an answer must be to be taken."""
    far = of.slot + 10_000
    yield "getGenesisHash", lambda r: r.genesis_hash(), lambda v: 32 <= len(v) <= 44 and v.isalnum()
    yield "getEpochInfo", lambda r: r.progress(5.0), reaches(0, far)
    yield "getSlot", lambda r: r.slot(), reaches(0, far)
    yield "getBlockHeight", lambda r: r.block_height(Level.FINALIZED), reaches(0, far)
    yield "getAccountInfo", lambda r: r.account(ADDRESS), is_account
    yield (
        "getMultipleAccounts",
        lambda r: r.accounts([ADDRESS, ADDRESS]),
        lambda v: len(v) == 2 and all(map(is_account, v)),
    )
    yield (
        "getLatestBlockhash",
        lambda r: r.latest_blockhash(),
        lambda v: 0 <= v.last_valid_block_height - of.slot + 30 <= 600,
    )
    yield (
        "getSignatureStatuses",
        lambda r: r.statuses([SIGNATURE], search_history=True),
        lambda v: len(v) == 1 and is_status(v[0]),
    )
    yield "getTransaction", lambda r: r.transaction(SIGNATURE, Level.FINALIZED), is_transaction(of)
    yield (
        "getSignaturesForAddress",
        lambda r: r.signatures_of(ADDRESS, before=None, limit=10),
        lambda v: len(set(v)) == len(v) <= 10 and all(isinstance(each, Signature) for each in v),
    )
    yield "getBalance", lambda r: r.balance(ADDRESS), reaches(0, MOST_LAMPORTS)
    yield (
        "getRecentPrioritizationFees",
        lambda r: r.recent_priority_fees([ADDRESS]),
        lambda v: all(0 <= each < 2**64 for each in v),
    )


def broken(draw: random.Random, answer: Any) -> bytes:
    """An answer's bytes, cut off, overwritten or none at all."""
    text = bytearray(json.dumps({"jsonrpc": "2.0", "id": 1, "result": answer}).encode())
    if draw.random() < 0.5:
        del text[draw.randrange(len(text)) :]
    for _ in range(draw.randrange(4)):
        if text:
            text[draw.randrange(len(text))] = draw.randrange(256)
    return bytes(text)


async def _ask_all(of: Cluster, draw: random.Random, make: Callable[[random.Random, Any], bytes]) -> int:
    """Ask every method of the first node so many times; how many answers were taken."""
    node, reader = of.nodes[0], of.pool.nodes[0].reader
    params = [[str(ADDRESS)] * 2, {}]
    taken = 0
    for method, ask, can_be_true in methods(node):
        about = [str(SIGNATURE), {}] if method == "getTransaction" else params
        about = [[str(SIGNATURE)], {}] if method == "getSignatureStatuses" else about
        for _ in range(CASES):
            node.raw = make(draw, node.truth(method, about))
            try:
                value = await ask(reader)
            except RpcFailure as failure:
                words = str(failure)
                assert words.isprintable() and len(words) <= LONGEST_WORDS, (node.raw[:300], words)
            else:
                assert can_be_true(value), (method, node.raw[:300], value)
                taken += 1
    assert all(report.why.isprintable() for report in of.pool.endpoints())
    return taken


def _as_result(answer: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": answer}).encode()


def _as_error(answer: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "error": answer}).encode()


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("any JSON", lambda draw, _: _as_result(anything(draw))),
        ("an altered truth", lambda draw, truth: _as_result(mutated(draw, truth))),
        ("broken bytes", broken),
        ("any error", lambda draw, _: _as_error({"code": anything(draw), "message": anything(draw)})),
    ],
)
async def test_no_answer_of_any_method_brings_an_absurdity_or_anything_but_a_failure(kind, make):
    async with cluster(1) as of:
        taken = await _ask_all(of, random.Random(kind), make)
        if kind == "an altered truth":
            # Most of what was altered is refused, and the slower the machine the more: the look at the node
            # once a slot falls for some of it, and then true answers seem late. Not all of it is absurd.
            assert taken > CASES // 10
