"""What nodes say is judged: slots that stand still, lag or are made up, heights that cannot be."""

from __future__ import annotations

import pytest
from scripted import ScriptedPool, scripted_pool, status
from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.chain.endpoint import DISTRUST_S, STILL_S
from engine.chain.lookout import LOOK_S, UNREACHED_S
from engine.chain.port import Level, RpcFailure

ADDRESS = Pubkey.new_unique()
ACCOUNTS = "getMultipleAccounts"
STATUSES = "getSignatureStatuses"
A_LOOK_S = LOOK_S + 0.1


async def read(pool: ScriptedPool) -> int:
    """A hot read; the slot that it is of."""
    ((account,), _) = await pool.finish(pool.pool.accounts([ADDRESS]))
    return int(account.slot)


@pytest.mark.parametrize(("lag_slots", "state"), [(5, "ok"), (7, "behind")])
async def test_a_node_is_used_up_to_five_slots_behind_and_not_at_seven(three, lag_slots, state):
    three.nodes[0].lag_slots = lag_slots
    await three.pass_time(3.2)
    assert three.states == [state, "ok", "ok"]


async def test_a_node_that_lags_is_not_asked_and_says_how_far_it_is_behind(three):
    three.nodes[0].lag_slots = 20
    await three.pass_time(9)
    asked = three.nodes[0].asked_for(ACCOUNTS)
    assert await read(three) >= three.nodes[1].slot - 1
    assert three.nodes[0].asked_for(ACCOUNTS) == asked
    assert three.whys[0].endswith("slots behind")
    three.nodes[0].lag_slots = 0
    await three.pass_time(A_LOOK_S)
    assert three.states == ["ok", "ok", "ok"]


@pytest.mark.parametrize("ignores_min_context", [False, True])
async def test_an_old_answer_is_not_taken_even_before_its_node_is_known_to_lag(three, ignores_min_context):
    await three.pass_time(A_LOOK_S)
    first, second, _ = three.nodes
    first.ignores_min_context = ignores_min_context
    newest = second.slot
    first.lag_slots = 50
    assert await read(three) >= newest - 1
    assert (first.asked_for(ACCOUNTS), second.asked_for(ACCOUNTS)) == (1, 1)


async def test_a_node_that_stands_still_is_left_before_it_is_six_slots_behind(three):
    three.nodes[0].frozen_at = three.nodes[0].slot
    await three.pass_time(6 * 0.4 + A_LOOK_S)
    assert three.states == ["behind", "ok", "ok"]
    three.nodes[0].frozen_at = None
    await three.pass_time(A_LOOK_S)
    assert three.states == ["ok", "ok", "ok"]


async def test_nothing_is_current_while_the_whole_cluster_stands_still_and_it_comes_back_by_itself(three):
    await three.pass_time(A_LOOK_S)
    for node in three.nodes:
        node.frozen_at = node.slot
    await three.pass_time(STILL_S - 0.3)
    assert three.pool.is_current()
    await three.pass_time(0.8)
    assert three.states == ["still"] * 3
    assert not three.pool.is_current()
    assert three.pool.why_not_current().count("no new slot for") == 3
    assert three.pool.healthy() == []
    with pytest.raises(RpcFailure, match=r"no node can be asked: node0\.example still: no new slot for"):
        await read(three)
    for node in three.nodes:
        node.frozen_at = None
    await three.pass_time(A_LOOK_S)
    assert three.pool.is_current()
    assert three.pool.why_not_current() == ""


async def test_a_slot_that_no_cluster_can_have_come_to_is_not_believed_and_its_node_is_named(three):
    await three.pass_time(A_LOOK_S)
    first, second, _ = three.nodes
    first.lag_slots = -10_000
    assert await read(three) <= second.slot
    assert three.pool.tip() <= second.slot
    assert three.states[0] == "distrusted"
    assert "ahead of all" in three.whys[0]
    first.lag_slots = 0
    await three.pass_time(DISTRUST_S + A_LOOK_S)
    assert three.states[0] == "ok"


async def test_one_that_was_far_ahead_from_the_beginning_does_not_make_the_others_look_late():
    async with scripted_pool() as pool:
        pool.nodes[0].lag_slots = -50_000
        await pool.meet()
        await pool.pass_time(A_LOOK_S)
        assert pool.states == ["distrusted", "ok", "ok"]
        assert pool.pool.tip() <= pool.nodes[1].slot


@pytest.mark.parametrize("count", [1, 2])
async def test_a_first_slot_that_was_made_up_is_given_up_when_nobody_gets_there(count):
    async with scripted_pool(count) as pool:
        pool.nodes[0].lag_slots = -50_000
        await pool.meet()
        await pool.pass_time(A_LOOK_S)
        pool.nodes[0].lag_slots = 0
        await pool.pass_time(UNREACHED_S + 2 * A_LOOK_S)
        assert pool.states == ["ok"] * count
        assert pool.pool.tip() <= pool.nodes[0].slot


@pytest.mark.parametrize("extra", [10_000, 10**12])
async def test_a_block_height_that_cannot_be_is_another_nodes_to_tell(three, extra):
    await three.pass_time(A_LOOK_S)
    first, second, _ = three.nodes
    first.extra_height = extra
    height, _ = await three.finish(three.pool.block_height(Level.FINALIZED))
    assert height < second.slot
    assert three.states[0] == "distrusted"
    assert "told block height" in three.whys[0]


@pytest.mark.parametrize("extra", [-1_000, 1_000, 10**15])
async def test_a_blockhash_that_would_live_too_long_or_is_over_is_not_signed_with(three, extra):
    await three.pass_time(A_LOOK_S)
    three.nodes[0].extra_validity = extra
    blockhash, _ = await three.finish(three.pool.latest_blockhash())
    assert abs(blockhash.last_valid_block_height - three.nodes[1].slot) < 200
    assert three.states[0] == "distrusted"


async def test_not_knowing_a_signature_counts_only_at_a_slot_not_older_than_what_was_told_before(three):
    await three.pass_time(A_LOOK_S)
    first, second, _ = three.nodes
    signature = Signature.new_unique()
    ask = lambda: three.pool.statuses([signature], search_history=False)  # noqa: E731  # it is asked three times
    for node in three.nodes:
        node.known[str(signature)] = status(node.slot, "confirmed")
    ((told,), _) = await three.finish(ask())
    assert told is not None
    first.lag_slots = 2
    first.known.clear()
    ((told,), _) = await three.finish(ask())
    assert told is not None
    assert second.asked_for(STATUSES) == 1
    for node in three.nodes:
        node.lag_slots = 2
        node.known.clear()
    with pytest.raises(RpcFailure, match="the node tells statuses of slot"):
        await three.finish(ask())
    await three.pass_time(1)
    assert (await three.finish(ask()))[0] == [None]


async def test_a_transaction_is_expired_only_when_every_current_node_has_finalized_beyond_its_last_block(
    three,
):
    await three.pass_time(A_LOOK_S)
    first, second, third = three.nodes
    last_valid = first._height("finalized") - 1
    ask = lambda: three.pool.statuses(  # noqa: E731  # it is asked several times
        [Signature.default()], search_history=True, above_height=last_valid
    )
    assert (await three.finish(ask()))[0] == [None]
    third.lag_slots = 3
    with pytest.raises(RpcFailure, match="do not go beyond"):
        await three.finish(ask())
    second.known[str(Signature.default())] = status(second.slot - 40, "finalized")
    ((told,), _) = await three.finish(ask())
    assert told is not None and told.level is Level.CONFIRMED  # what one alone calls final is not final yet
    second.known.clear()
    await three.pass_time(1.2)
    assert (await three.finish(ask()))[0] == [None]


async def test_a_node_that_is_silent_has_no_say_in_what_is_expired(three):
    await three.pass_time(A_LOOK_S)
    last_valid = three.nodes[0]._height("finalized") - 1
    three.nodes[2].failure = RpcFailure("node unreachable (ClientConnectorError)")
    work = three.pool.statuses([Signature.default()], search_history=True, above_height=last_valid)
    assert (await three.finish(work))[0] == [None]


async def test_one_node_that_makes_up_a_height_cannot_have_anything_taken_for_expired(three):
    await three.pass_time(A_LOOK_S)
    last_valid = three.nodes[0]._height("finalized") + 50
    three.nodes[0].extra_height = 100  # within what a cluster could have done
    work = three.pool.statuses([Signature.default()], search_history=True, above_height=last_valid)
    with pytest.raises(RpcFailure, match="do not go beyond"):
        await three.finish(work)


async def test_heights_that_a_node_makes_up_from_the_beginning_do_not_make_liars_of_the_others():
    async with scripted_pool() as pool:
        pool.nodes[0].extra_height = -700
        for node in pool.nodes[1:]:
            node.delay_s = 0.02  # so that the made-up one is the first that is heard
        await pool.meet()
        await pool.pass_time(A_LOOK_S)
        assert pool.states == ["distrusted", "ok", "ok"]
        blockhash, _ = await pool.finish(pool.pool.latest_blockhash())
        assert abs(blockhash.last_valid_block_height - pool.nodes[1].slot - 120) < 10


@pytest.mark.parametrize(("back", "state"), [(-100, "ok"), (-400, "distrusted")])
async def test_a_height_may_go_back_by_a_few_blocks_and_not_by_more_than_a_blockhash_lives(
    three, back, state
):
    first = three.nodes[0]
    await three.finish(three.pool.block_height(Level.FINALIZED))
    first.extra_height = back
    first.failing_methods = frozenset({"getEpochInfo"})  # only the height itself is told
    first.failure = RpcFailure("node error: Method not found", code=-32601)
    height, _ = await three.finish(three.pool.block_height(Level.FINALIZED))
    assert three.states == [state, "ok", "ok"]
    assert (height == first._height("finalized")) is (state == "ok")
    assert state == "ok" or "after" in three.whys[0]
