"""A second engine started by mistake: it refuses in one line, and the first does not notice."""

from __future__ import annotations

import pytest
from arena import Arena
from witness import nothing_is_missing_or_twice

REFUSED = "liquidation-engine: Another engine works with this wallet on this program and cluster ("


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_a_second_engine_refuses_in_one_line_whatever_its_profile_and_the_first_works_on(
    arena: Arena,
) -> None:
    engine = await arena.begin()
    before = await arena.ready()
    for profile in ("default", "other"):
        code, out, err = await arena.run("--no-ui", "--profile", profile)
        last = err.splitlines()[-1]
        assert (code, out) == (2, ""), err
        assert last.startswith(REFUSED), err
        assert last.endswith("): stop it first")
        assert [line for line in err.splitlines() if not line.startswith("time=")] == [last]
    after = await arena.liquidates(3)
    assert engine.is_alive
    assert (after.engine.pid, after.engine.started_at_ns) == (before.engine.pid, before.engine.started_at_ns)
    await arena.comes_to_rest()
    await nothing_is_missing_or_twice(arena, at_least=5)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_when_the_first_is_killed_another_takes_its_place_at_once_and_twenty_tries_leave_one(
    arena: Arena,
) -> None:
    first = await arena.begin()
    for _ in range(10):
        assert (await arena.run("--no-ui"))[0] == 2
    await arena.liquidates(1)
    await first.kill()
    second = await arena.start_engine()
    seen = await arena.ready()
    assert seen.engine.pid == second.process.pid
    for _ in range(10):
        assert (await arena.run("--no-ui"))[0] == 2
    assert second.is_alive
    await arena.liquidates(3)
    await arena.comes_to_rest()
    await nothing_is_missing_or_twice(arena)
