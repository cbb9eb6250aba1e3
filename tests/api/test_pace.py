"""Readers are served evenly, and behind what is being liquidated."""

from __future__ import annotations

import asyncio

import pytest

from engine.api import pace as pace_module
from engine.api.connections import _Guarded
from engine.api.pace import TICK_S, Courtesy, Pace, _ticked

FREE = Courtesy(lambda: False)


async def test_turns_come_as_often_as_there_is_room_however_many_wait() -> None:
    pace = Pace(1_000, 10, FREE)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    async with asyncio.timeout(30):
        await asyncio.gather(*(pace.turn() for _ in range(210)))
    # Never sooner, whatever the machine does: ten came at once, and 200 a thousandth apart.
    assert loop.time() - began_s > 0.15


async def test_a_few_may_come_at_once_after_a_pause() -> None:
    pace = Pace(0.01, 5, FREE)
    async with asyncio.timeout(30):
        await asyncio.gather(*(pace.turn() for _ in range(5)))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await pace.turn()


async def test_who_asks_first_is_first() -> None:
    pace, served = Pace(500, 1, FREE), []

    async def ask(number: int) -> None:
        await pace.turn()
        served.append(number)

    async with asyncio.timeout(30):
        await asyncio.gather(*(ask(number) for number in range(20)))
    assert served == list(range(20))


def test_who_waits_is_served_together_with_all_of_the_same_tick_and_in_the_order_of_asking() -> None:
    due_s = [7 + number / 2_000 for number in range(100)]  # twenty a tick
    served_s = [_ticked(each) for each in due_s]
    assert served_s == sorted(set(served_s))
    assert all(0 <= served - due <= 1.01 * TICK_S for served, due in zip(served_s, due_s, strict=True))
    assert len({round(each / TICK_S) for each in served_s}) <= 6, "not a wake-up for each"


async def test_readers_wait_while_something_is_on_its_way_and_no_longer(monkeypatch) -> None:
    monkeypatch.setattr(pace_module, "LONGEST_WAIT_S", 3_600)
    busy = True
    courtesy = Courtesy(lambda: busy)
    waiting = [asyncio.ensure_future(courtesy.give_way()) for _ in range(3)]
    waiting.append(asyncio.ensure_future(Pace(1_000, 10, courtesy).turn()))
    done, _ = await asyncio.wait(waiting, timeout=0.05)
    assert not done
    busy = False
    async with asyncio.timeout(30):
        await asyncio.gather(*waiting)


async def test_while_the_engine_is_always_busy_readers_are_served_all_the_same() -> None:
    courtesy = Courtesy(lambda: True)
    async with asyncio.timeout(30):
        await courtesy.give_way()
        await Pace(1_000, 10, courtesy).turn()


async def test_a_stop_waits_for_no_turn_and_a_read_does(served, monkeypatch) -> None:
    pace = Pace(0.001, 0, FREE)
    monkeypatch.setattr(served.server.tcp_connections, "_pace", pace)
    secret = served.token.path.read_text().strip()
    async with asyncio.timeout(30):
        headers = {"Authorization": f"Bearer {secret}"}
        assert (await served.ask("POST", "/admin/emergency-stop", headers=headers))[0] == 200
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await served.get("/health")


async def test_a_turn_is_never_further_away_than_the_longest_wait() -> None:
    pace = Pace(1, 0)
    waits = [pace.next_in_s(0.05) for _ in range(100)]
    assert max(waits) <= 0.05
    assert waits[-1] > 0


async def test_who_is_put_off_comes_behind_what_is_on_its_way_and_not_later_than_the_longest_wait() -> None:
    busy, heard = True, asyncio.Event()
    pace = Pace(1_000, 0, Courtesy(lambda: busy))
    assert not Pace(1_000, 10).put_off(heard.set)
    assert not heard.is_set()
    assert pace.put_off(heard.set)
    assert pace.put_off(lambda: None)
    async with asyncio.timeout(30):
        await heard.wait()
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    second = asyncio.Event()
    assert pace.put_off(second.set)
    async with asyncio.timeout(30):
        await second.wait()
    assert loop.time() - began_s >= pace_module.LONGEST_WAIT_S, "the engine was busy all the time"


async def test_new_connections_beyond_their_pace_are_heard_later_and_all_of_them(served, monkeypatch) -> None:
    arrivals = Pace(0.001, 1)
    monkeypatch.setattr(served.server.tcp_connections, "_arrivals", arrivals)
    paused: list[int] = []
    hear = _Guarded._hear
    monkeypatch.setattr(_Guarded, "_hear", lambda guard: (paused.append(1), hear(guard))[1])
    async with asyncio.timeout(30):
        for _ in range(4):
            assert (await served.get("/health"))[0] == 200
    assert len(paused) == 3
