"""A loop in a thread of its own ends with its context, and holds nobody up when it hangs."""

from __future__ import annotations

import asyncio
import threading

from engine import own_loop
from engine.own_loop import OwnLoop


async def test_its_thread_is_gone_at_the_end():
    async with asyncio.timeout(20), OwnLoop("tried") as own:

        async def name() -> str:
            return threading.current_thread().name

        assert await own.run(name()) == "tried"
    assert "tried" not in {each.name for each in threading.enumerate()}


async def test_one_that_hangs_is_left_behind(monkeypatch):
    monkeypatch.setattr(own_loop, "END_S", 0.05)
    hangs, may_go_on = threading.Event(), threading.Event()

    async def hang() -> None:
        hangs.set()
        may_go_on.wait(60)

    try:
        async with asyncio.timeout(20):
            async with OwnLoop("tried") as own:
                hanging = asyncio.ensure_future(own.run(hang()))
                await asyncio.to_thread(hangs.wait, 20)
            assert not may_go_on.is_set()
    finally:
        may_go_on.set()
    async with asyncio.timeout(20):
        await hanging
