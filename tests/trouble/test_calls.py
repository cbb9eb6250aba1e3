"""Trouble with HTTP calls as a client sees it, by method and by setting, and that it ends when told."""

from __future__ import annotations

import asyncio
import time
from statistics import quantiles
from typing import Any

import aiohttp
import pytest
from solders.keypair import Keypair

from engine.sandbox.settings_arguments import parse_settings
from engine.sandbox.trouble import Trouble, calls


async def test_without_orders_there_is_no_trouble(rig: Any) -> None:
    for _ in range(20):
        await rig.result("getSlot")
    answer = await rig.result("sandboxTrouble")
    assert answer["counters"] == {}
    assert answer["node"] == 0


async def test_too_many_requests_come_as_429_with_retry_after(rig: Any) -> None:
    await rig.trouble({"http": {"rate_limit_share": 1, "retry_after_s": 7}})
    status, headers, body = await rig.response("getSlot")
    assert (status, headers["Retry-After"], body["error"]["code"]) == (429, "7", 429)
    await rig.trouble(None)
    assert await rig.slot() > 0


async def test_the_same_trouble_comes_from_settings(rig: Any) -> None:
    rig.desk.begin(parse_settings("--trouble", ["http.rate_limit_share=1", "http.retry_after_s=3"], Trouble))
    status, headers, _ = await rig.response("getSlot")
    assert (status, headers["Retry-After"]) == (429, "3")
    assert (await rig.result("sandboxTrouble"))["settings"]["http"]["rate_limit_share"] == 1


async def test_calls_above_a_rate_are_429_and_those_below_it_are_answered(rig: Any, eventually: Any) -> None:
    await rig.trouble({"http": {"calls_per_s": 5}})
    statuses = [(await rig.response("getSlot"))[0] for _ in range(20)]
    assert statuses[:5] == [200] * 5
    assert 10 <= statuses.count(429) <= 15

    async def answered() -> bool:
        return (await rig.response("getSlot"))[0] == 200

    await eventually(answered)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_server_errors_have_the_asked_status_and_do_not_carry_the_call_out(
    rig: Any, status: int
) -> None:
    await rig.trouble({"http": {"error_share": 1, "error_status": status}})
    to = Keypair().pubkey()
    with pytest.raises(AssertionError, match=str(status)):
        await rig.send(rig.payment(to, 10**9))
    await rig.trouble(None)
    rig.advance()
    assert await rig.balance(to) == 0


async def test_a_black_hole_never_answers_and_another_method_still_does(rig: Any) -> None:
    await rig.trouble({"http": {"methods": {"getSlot": {"black_hole_share": 1}}}})
    with pytest.raises(TimeoutError):
        await rig.response("getSlot", timeout_s=0.5)
    assert await rig.result("getHealth") == "ok"
    assert await rig.counter("http_unanswered") == 1
    await rig.trouble(None)
    assert await rig.slot() > 0


async def test_a_black_hole_holds_so_many_connections_and_lets_go_of_clients_that_went_away(
    rig: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "MOST_UNANSWERED", 1)
    await rig.trouble({"http": {"methods": {"getSlot": {"black_hole_share": 1}}}})
    held = asyncio.create_task(rig.response("getSlot", timeout_s=10))

    async def ends() -> str:
        try:
            await rig.response("getSlot", timeout_s=1)
        except aiohttp.ClientConnectionError:
            return "cut"
        except TimeoutError:
            return "held"
        return "answered"

    async def is_cut() -> bool:
        return await ends() == "cut"

    async def is_held() -> bool:
        return await ends() == "held"

    await eventually(is_cut)
    held.cancel()
    await eventually(is_held)


async def test_a_dropped_answer_is_a_closed_connection_though_the_call_was_carried_out(
    rig: Any, eventually: Any
) -> None:
    await rig.trouble({"http": {"methods": {"sendTransaction": {"drop_share": 1}}}})
    to = Keypair().pubkey()
    with pytest.raises(aiohttp.ClientConnectionError):
        await rig.send(rig.payment(to, 10**9))

    async def arrived() -> bool:
        return bool(await rig.balance(to) == 10**9)

    await eventually(arrived)


async def test_a_repeated_call_is_carried_out_twice_and_the_second_answer_is_sent(
    rig: Any, eventually: Any
) -> None:
    await rig.trouble({"http": {"methods": {"requestAirdrop": {"repeat_share": 1}}}})
    to = Keypair().pubkey()
    await rig.result("requestAirdrop", str(to), 10**9)

    async def arrived_twice() -> bool:
        return bool(await rig.balance(to) == 2 * 10**9)

    await eventually(arrived_twice)
    assert await rig.counter("http_repeated") == 1


async def test_latencies_follow_their_distribution(rig: Any) -> None:
    await rig.trouble({"http": {"latency": {"kind": "lognormal", "p50_ms": 100, "p99_ms": 1000}}})
    loop = asyncio.get_running_loop()

    async def took_ms() -> float:
        begun = loop.time()
        await rig.result("getHealth")
        return (loop.time() - begun) * 1000

    async def client() -> list[float]:
        return [await took_ms() for _ in range(20)]

    drawn = [each for of_one in await asyncio.gather(*(client() for _ in range(25))) for each in of_one]
    cuts = quantiles(drawn, n=100)
    # 500 draws: the sample's own scatter, and on top of it a busy machine, which only adds.
    assert 85 < cuts[49] < 250
    assert 600 < cuts[98] < 2_200
    assert 20 < cuts[9] < 120  # a tenth is below 28 ms
    assert min(drawn) > 0.5


async def test_fixed_and_uniform_latencies_hold_for_single_methods(rig: Any) -> None:
    await rig.trouble(
        {
            "http": {
                "methods": {
                    "getSlot": {"latency": {"kind": "fixed", "ms": 150}},
                    "getVersion": {"latency": {"kind": "uniform", "low_ms": 50, "high_ms": 100}},
                }
            }
        }
    )

    async def took_s(method: str) -> float:
        begun = time.monotonic()
        await rig.result(method)
        return time.monotonic() - begun

    assert 0.15 <= await took_s("getSlot") < 1
    assert 0.05 <= await took_s("getVersion") < 0.9
    assert min([await took_s("getHealth") for _ in range(5)]) < 0.05


async def test_shares_are_met_in_their_measure_and_the_same_ones_again_with_the_same_seed(rig: Any) -> None:
    async def statuses() -> list[int]:
        await rig.trouble({"seed": 5, "http": {"error_share": 0.3, "rate_limit_share": 0.2}})
        return [(await rig.response("getHealth"))[0] for _ in range(200)]

    first = await statuses()
    assert 40 <= first.count(503) <= 80
    assert 20 <= first.count(429) <= 60
    assert await statuses() == first
    await rig.trouble({"seed": 6})
    assert [(await rig.response("getHealth"))[0] for _ in range(200)] != first


async def test_a_batch_is_met_as_its_first_call(rig: Any) -> None:
    await rig.trouble({"http": {"methods": {"getSlot": {"error_share": 1}}}})
    slot, health = rig.body("getSlot"), rig.body("getHealth")
    for batch, expected in (([slot, health], 503), ([health, slot], 200)):
        async with rig.http.post(rig.server.rpc_url, json=batch) as response:
            assert response.status == expected


async def test_the_method_that_ends_trouble_is_never_met(rig: Any) -> None:
    await rig.trouble({"http": {"black_hole_share": 1}})
    for _ in range(20):
        await rig.result("sandboxTrouble")
    await rig.trouble(None)
    assert await rig.slot() > 0


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ([{"http": {"drop_share": 2}}], "http.drop_share"),
        ([{"http": {"error_share": 1}, "landing": {"lost": 1}}], "landing.lost"),
        ([{"websocket": {"close_after_s": 0}}], "websocket.close_after_s"),
        ([{"http": {"methods": {"sendTransction": {"drop_share": 1}}}}], "http.methods.sendTransction"),
        ([{"landing": {"fail_error": "Foo"}}], "landing.fail_error"),
        ([{"landing": {"fail_error": {"InstructionError": [0, "Foo"]}}}], "landing.fail_error"),
        ([{"landing": {"fail_error": {"Foo": {"account_index": 1}}}}], "landing.fail_error"),
        ([5], "an object of settings, or null"),
        ([None, None], "takes one parameter"),
        ([[]], "an object of settings, or null"),
    ],
)
async def test_nonsense_is_an_invalid_parameter_by_its_name_and_changes_nothing(
    rig: Any, parameters: list[Any], field: str
) -> None:
    before = await rig.trouble({"http": {"retry_after_s": 9}})
    status, _, body = await rig.response("sandboxTrouble", *parameters)
    assert status == 200
    assert body["error"]["code"] == -32602
    assert field in body["error"]["message"]
    after = await rig.result("sandboxTrouble")
    assert after == before
    assert await rig.slot() > 0
