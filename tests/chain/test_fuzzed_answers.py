"""Whatever a node answers over a real socket is an RpcFailure that may be shown, or what can be true."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from liar import ADDRESS, SIGNATURE, Cluster, Node, cluster
from solders.signature import Signature

from engine.chain.answers import BASE_FEE_LIMIT_LAMPORTS
from engine.chain.port import Level, RpcFailure
from engine.chain.rpc import RpcReader
from engine.chain.shapes import LARGEST_ACCOUNT, MOST_COMPUTE_UNITS, MOST_LAMPORTS

CASES = 250  # of each method and kind
LONGEST_WORDS = 300
HOSTILE = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**53,
    2**63,
    2**64,
    -(2**63),
    10**30,
    1.5,
    -0.0,
    1e300,
    "",
    "0",
    "null",
    "\x1b[2J\x1b]0;owned\x07",
    "\u202egnp.exe",
    "a" * 5000,
    "1" * 44,
    "\ud800",
    [],
    {},
    [[]],
    [None],
    {"Ok": None},
    {"value": None},
    {"context": {"slot": 1}, "value": None},
    {"InstructionError": [0, {"Custom": 2**40}]},
)


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


def anything(draw: random.Random, depth: int = 3) -> Any:
    """Some JSON."""
    kind = draw.randrange(6)
    if kind == 0 and depth:
        return [anything(draw, depth - 1) for _ in range(draw.randrange(4))]
    if kind == 1 and depth:
        names = ("context", "value", "slot", "err", "data", "result", "lamports", "a")
        return {draw.choice(names): anything(draw, depth - 1) for _ in range(draw.randrange(4))}
    if kind == 2:
        return draw.randint(-(2**70), 2**70)
    return draw.choice(HOSTILE)


def mutated(draw: random.Random, truth: Any) -> Any:
    """The true answer with one to three places changed: replaced, removed, doubled, or off."""
    answer = {"root": copy.deepcopy(truth)}
    for _ in range(draw.randint(1, 3)):
        places = list(_places(answer))
        inside, key = draw.choice(places)
        value = inside[key]
        how = draw.randrange(4)
        if how == 0 and inside is not answer:
            del inside[key]
        elif how == 1 and isinstance(value, list) and value:
            value.append(copy.deepcopy(draw.choice(value)))
        elif how == 2 and type(value) is int:
            inside[key] = value + draw.choice((-1, 1)) * draw.choice((1, 200, 10**4, 2**40, 2**63))
        elif how == 3 and isinstance(value, str) and value:
            at = draw.randrange(len(value))
            inside[key] = value[:at] + draw.choice(("A", "0", "=", "\x07", "")) + value[at + 1 :]
        else:
            inside[key] = anything(draw)
    return answer["root"]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


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
            assert (
                taken > CASES // 2
            )  # most of what was altered is still refused, but not all of it is absurd
