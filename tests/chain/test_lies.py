"""A node that lies over a real socket is named and left out, and the others answer; when all lie, nobody."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from liar import ADDRESS, SIGNATURE, Cluster, Lie, cluster, signed
from scripted import status

from engine.chain.port import Level, LyingNode, RpcFailure
from engine.chain.shapes import LARGEST_ACCOUNT

Question = Callable[[Cluster], Awaitable[Any]]

QUESTIONS: dict[str, Question] = {
    "getSlot": lambda of: of.pool.slot(),
    "getBlockHeight": lambda of: of.pool.block_height(Level.FINALIZED),
    "getAccountInfo": lambda of: of.pool.account(ADDRESS),
    "getMultipleAccounts": lambda of: of.pool.accounts([ADDRESS, ADDRESS]),
    "getLatestBlockhash": lambda of: of.pool.latest_blockhash(),
    "getSignatureStatuses": lambda of: of.pool.statuses([SIGNATURE], search_history=True),
    "getTransaction": lambda of: of.pool.transaction(SIGNATURE, Level.FINALIZED),
    "getSignaturesForAddress": lambda of: of.pool.signatures_of(ADDRESS, before=None, limit=10),
    "getBalance": lambda of: of.pool.balance(ADDRESS),
    "getRecentPrioritizationFees": lambda of: of.pool.recent_priority_fees([ADDRESS]),
}


def put(value: Any, *path: str | int) -> Lie:
    """A lie in one place of the answer."""

    def lie(answer: Any) -> Any:
        inside = answer
        for step in path[:-1]:
            inside = inside[step]
        inside[path[-1]] = value
        return answer

    return lie


def always(value: Any) -> Lie:
    return lambda _: value


def added(amount: int, *path: str) -> Lie:
    """A lie that moves a number."""

    def lie(answer: Any) -> Any:
        if not path:
            return answer + amount
        inside = answer
        for step in path[:-1]:
            inside = inside[step]
        inside[path[-1]] += amount
        return answer

    return lie


def of_another(transaction: Any) -> str:
    return base64.b64encode(bytes(transaction)).decode()


def unsigned() -> str:
    """Our signature over another message."""
    raw = bytes(signed(lamports=2))
    return base64.b64encode(raw[:1] + bytes(SIGNATURE) + raw[65:]).decode()


def over_long(answer: Any) -> Any:
    data = base64.b64encode(bytes(LARGEST_ACCOUNT + 1)).decode()
    answer["value"] |= {"data": [data, "base64"], "space": None}
    return answer


META = "meta"
LIES: list[tuple[str, str, Lie, str]] = [
    ("a slot of the future", "getSlot", added(10_000), "ahead of all"),
    ("a slot that is text", "getSlot", always("1000"), "none that there can be"),
    ("a slot below zero", "getSlot", always(-1), "none that there can be"),
    ("a slot that is a fraction", "getSlot", always(1.5), "none that there can be"),
    ("a height beyond all slots", "getBlockHeight", added(10**12), "told block height"),
    ("a height that jumps", "getBlockHeight", added(10_000), "told block height"),
    ("a height that is null", "getBlockHeight", always(None), "none that there can be"),
    (
        "an account of more than ten megabytes",
        "getAccountInfo",
        over_long,
        "an account of 10485761 bytes",
    ),
    (
        "an account longer than it says",
        "getAccountInfo",
        put(2, "value", "space"),
        "an account of 2 bytes with 3",
    ),
    (
        "more lamports than there are",
        "getAccountInfo",
        put(2**62, "value", "lamports"),
        "none that there can be",
    ),
    (
        "an owner that is no address",
        "getAccountInfo",
        put("l" * 40, "value", "owner"),
        "not 32 bytes of base58",
    ),
    ("data that is not base64", "getAccountInfo", put(["?!", "base64"], "value", "data"), "not base64"),
    (
        "data in another encoding",
        "getAccountInfo",
        put(["AQID", "base58"], "value", "data"),
        "none that there can be",
    ),
    ("an account from the future", "getAccountInfo", added(10_000, "context", "slot"), "ahead of all"),
    ("an account too few", "getMultipleAccounts", put([None], "value"), "1 accounts where 2"),
    ("an account too many", "getMultipleAccounts", put([None] * 3, "value"), "3 accounts where 2"),
    ("a blockhash of 31 bytes", "getLatestBlockhash", put("2" * 42, "value", "blockhash"), "not 32 bytes"),
    ("a blockhash of zeros", "getLatestBlockhash", put("1" * 32, "value", "blockhash"), "nothing but zeros"),
    (
        "a blockhash that is over",
        "getLatestBlockhash",
        added(-400, "value", "lastValidBlockHeight"),
        "valid to",
    ),
    (
        "a blockhash for hours",
        "getLatestBlockhash",
        added(9_000, "value", "lastValidBlockHeight"),
        "valid to",
    ),
    (
        "a status that nobody asked for",
        "getSignatureStatuses",
        put([None, None], "value"),
        "2 statuses where 1",
    ),
    ("no status at all", "getSignatureStatuses", put([], "value"), "0 statuses where 1"),
    (
        "a status of the future",
        "getSignatureStatuses",
        put(2**40, "value", 0, "slot"),
        "the status of a transaction in",
    ),
    (
        "a status of both kinds",
        "getSignatureStatuses",
        put("AccountInUse", "value", 0, "err"),
        "both a success",
    ),
    (
        "an unheard-of commitment",
        "getSignatureStatuses",
        put("\x1b[2Jlanded", "value", 0, "confirmationStatus"),
        "none that",
    ),
    (
        "an error that is no error",
        "getSignatureStatuses",
        put({"a": 1, "b": 2}, "value", 0, "err"),
        "error that is none",
    ),
    (
        "an error in hostile words",
        "getSignatureStatuses",
        put("\x1b[2Jlanded", "value", 0, "err"),
        "error that is none",
    ),
    (
        "another end than most",
        "getSignatureStatuses",
        put(status(901, "finalized"), "value", 0),
        "the others contradict",
    ),
    (
        "the transaction of another",
        "getTransaction",
        put(of_another(signed(2)), "transaction", 0),
        "another signature",
    ),
    ("what we did not sign", "getTransaction", put(unsigned(), "transaction", 0), "did not sign"),
    ("no transaction at all", "getTransaction", put("AAAA", "transaction", 0), "a transaction that is none"),
    ("a fee above what it offers", "getTransaction", put(10**8, META, "fee"), "a fee of 100000000 lamports"),
    ("a balance too few", "getTransaction", put([1], META, "preBalances"), "1 and 4 balances of 4"),
    (
        "lamports out of nothing",
        "getTransaction",
        put([10**9, 5 * 10**9, 1, 1], META, "postBalances"),
        "out of nothing",
    ),
    (
        "two million compute units",
        "getTransaction",
        put(2 * 10**6, META, "computeUnitsConsumed"),
        "none that",
    ),
    ("no effects", "getTransaction", put(None, META), "without its effects"),
    ("another slot than its status", "getTransaction", put(901, "slot"), "contradicts its status"),
    (
        "a failure where its status is none",
        "getTransaction",
        put({"InstructionError": [0, {"Custom": 6004}]}, META, "err"),
        "contradicts its status",
    ),
    ("signatures out of order", "getSignaturesForAddress", lambda rows: rows[::-1], "not ordered by slot"),
    ("a signature twice", "getSignaturesForAddress", lambda rows: [rows[0], *rows], "a signature twice"),
    (
        "more signatures than asked for",
        "getSignaturesForAddress",
        lambda rows: rows * 9,
        "27 signatures where 10",
    ),
    ("a balance above all that there is", "getBalance", put(2**62, "value"), "none that there can be"),
    ("a balance below zero", "getBalance", put(-1, "value"), "none that there can be"),
    (
        "a fee that no field holds",
        "getRecentPrioritizationFees",
        put(2**64, 0, "prioritizationFee"),
        "does not fit",
    ),
]


def _lasting(answer: Any) -> str:
    """An answer without the slots and heights of its moment."""
    if isinstance(answer, int) and answer > 500:
        return "a slot"
    if isinstance(answer, list):
        return str([_lasting(each) for each in answer])
    moment = {"slot", "last_valid_block_height"} if not hasattr(answer, "level") else set()
    fields = getattr(answer, "__dataclass_fields__", None)
    if fields is None:
        return str(answer)
    return str([(name, _lasting(getattr(answer, name))) for name in fields if name not in moment])


@pytest.mark.parametrize(("method", "lie", "what"), [lie[1:] for lie in LIES], ids=[lie[0] for lie in LIES])
async def test_a_lie_is_not_taken_its_node_is_named_and_another_answers(method, lie, what, monkeypatch):
    # However busy the machine is, the liar is heard before another one is asked beside it.
    monkeypatch.setattr("engine.chain.endpoint.FIRST_PATIENCE_S", 5.0)
    monkeypatch.setattr("engine.chain.endpoint.LONGEST_PATIENCE_S", 5.0)
    async with cluster(1) as honest:
        truth = _lasting(await QUESTIONS[method](honest))
    async with cluster() as of:
        of.nodes[0].lies[method] = lie
        answer = await QUESTIONS[method](of)
        assert _lasting(answer) == truth
        assert of.states == ["distrusted", "ok", "ok"], of.why(0)
        assert what in of.why(0)
        assert of.why(0).isprintable()
        assert of.pool.is_current()


async def test_when_all_lie_nothing_is_answered_nobody_is_current_and_each_is_named():
    async with cluster() as of:
        for node in of.nodes:
            node.lies["getMultipleAccounts"] = put([None], "value")
        with pytest.raises(
            LyingNode, match=r"127\.0\.0\.1:\d+ is not believed: .* 1 accounts where 2"
        ) as lie:
            await of.pool.accounts([ADDRESS, ADDRESS])
        assert lie.value.endpoint.startswith("127.0.0.1:")
        assert of.states == ["distrusted"] * 3
        assert not of.pool.is_current()
        assert of.pool.why_not_current().count("distrusted: not believed: ") == 3
        with pytest.raises(RpcFailure, match="no node can be asked"):
            await of.pool.accounts([ADDRESS, ADDRESS])


async def test_a_transaction_that_one_node_alone_calls_final_is_not_final():
    async with cluster() as of:
        for honest in of.nodes[1:]:
            honest.lies["getSignatureStatuses"] = put(status(900, "confirmed"), "value", 0)
        (told,) = await of.pool.statuses([SIGNATURE], search_history=False)
        assert told is not None and told.level is Level.CONFIRMED
        assert await of.pool.transaction(SIGNATURE, Level.FINALIZED) is None
        assert of.states == ["ok"] * 3
        for honest in of.nodes[1:]:
            honest.lies.clear()
        (told,) = await of.pool.statuses([SIGNATURE], search_history=False)
        assert told is not None and told.level is Level.FINALIZED


async def test_a_node_that_makes_up_the_end_of_a_transaction_is_outvoted():
    async with cluster() as of:
        for honest in of.nodes[1:]:
            honest.lies["getSignatureStatuses"] = put([None], "value")
        assert await of.pool.statuses([SIGNATURE], search_history=False) == [None]
        assert of.states == ["distrusted", "ok", "ok"]
        assert "the others contradict" in of.why(0)


async def test_two_nodes_that_contradict_each_other_hold_the_transaction_and_are_both_named():
    async with cluster(2) as of:
        of.nodes[1].lies["getSignatureStatuses"] = put([None], "value")
        for _ in range(3):
            (told,) = await of.pool.statuses([SIGNATURE], search_history=False)
            assert told is not None and told.level is Level.CONFIRMED
        (dispute,) = of.pool.disputes()
        assert all(report.name in dispute for report in of.pool.endpoints())
        of.nodes[1].lies.clear()
        (told,) = await of.pool.statuses([SIGNATURE], search_history=False)
        assert told is not None and told.level is Level.FINALIZED
        assert of.pool.disputes() == []


@pytest.mark.parametrize("taken_back", [None, status(900, "confirmed"), status(900, "processed")])
async def test_what_was_final_is_not_taken_back(taken_back):
    async with cluster() as of:
        assert (await of.pool.statuses([SIGNATURE], search_history=True))[0].level is Level.FINALIZED
        for node in of.nodes:
            node.lies["getSignatureStatuses"] = put([taken_back], "value")
        with pytest.raises(RpcFailure, match="has not come to what was final"):
            await of.pool.statuses([SIGNATURE], search_history=True)
        for node in of.nodes:
            node.lag_slots = -60  # now it cannot be that they are merely late
        with pytest.raises(LyingNode, match="took back a transaction of ours that was final"):
            await of.pool.statuses([SIGNATURE], search_history=True)
        assert of.states == ["distrusted"] * 3


async def test_a_node_that_is_not_believed_has_a_say_in_what_is_expired_while_no_more_are_believed():
    async with cluster(2) as of:
        of.nodes[0].lies["getSlot"] = always(-1)
        await of.pool.slot()
        assert of.states == ["distrusted", "ok"]
        last_valid = of.nodes[1].slot - 500
        of.nodes[1].lies["getSignatureStatuses"] = put([None], "value")
        (told,) = await of.pool.statuses([SIGNATURE], search_history=True, above_height=last_valid)
        assert told is not None
        of.nodes[0].lies["getSignatureStatuses"] = put([None], "value")
        assert await of.pool.statuses([SIGNATURE], search_history=True, above_height=last_valid) == [None]


async def test_heights_that_one_node_made_up_first_do_not_make_liars_of_the_others():
    async with cluster() as of:
        liar, *others = of.nodes
        liar.extra_height = -700
        async with asyncio.timeout(20):
            while of.states != ["distrusted", "ok", "ok"]:
                await of.pool.balance(ADDRESS)
        assert "slots without a block where the others tell of" in of.why(0)
        blockhash = await of.pool.latest_blockhash()
        assert abs(blockhash.last_valid_block_height - others[0].slot - 120) < 10


async def test_the_others_are_asked_at_once_and_the_liar_not_again_before_its_time():
    async with cluster() as of:
        of.nodes[0].lies["getBalance"] = put(-1, "value")
        for _ in range(20):
            assert await of.pool.balance(ADDRESS) == 5
        assert [node.asked.count("getBalance") for node in of.nodes] == [1, 20, 0]
