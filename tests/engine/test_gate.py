"""The gate: closed in memory first, kept on disk, and closed whenever its kept state is in doubt."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path

import pytest
from simulated import VirtualClock

from engine import control
from engine.control import (
    RUNNING,
    STOPPED,
    Gate,
    GateNotPersisted,
    GateState,
    SendingStopped,
    StaleResume,
)

FIRST = GateState(1, RUNNING, "engine", 5, "first start")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "book" / "gate.json"


def load(path: Path, *, has_history: bool = False, standing_stop: Path | None = None) -> Gate:
    return Gate.load(
        path, VirtualClock(), first_start=FIRST, has_history=has_history, standing_stop=standing_stop
    )


@pytest.fixture(autouse=True)
def patient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with others makes no disk late, unless lateness is what a test is about."""
    if "deadline" not in request.fixturenames:
        monkeypatch.setattr(control, "PERSIST_DEADLINE_S", 10)


@pytest.fixture
def deadline() -> float:
    """How long a stop waits for the disk, as it is."""
    return control.PERSIST_DEADLINE_S


class SlowDisk:
    """Stands before the writer; each write waits until it is let through, or fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.write = control._write
        self.let_through = threading.Event()
        self.failures: list[OSError] = []
        self.begun = threading.Event()
        monkeypatch.setattr(control, "_write", self)

    def __call__(self, path: Path, state: GateState) -> None:
        self.begun.set()
        assert self.let_through.wait(10)
        if self.failures:
            raise self.failures.pop(0)
        self.write(path, state)

    async def reached(self) -> None:
        await asyncio.to_thread(self.begun.wait, 10)


@pytest.fixture
def slow_disk(monkeypatch):
    disk = SlowDisk(monkeypatch)
    disk.let_through.set()
    yield disk
    disk.let_through.set()


async def test_a_first_start_takes_the_state_it_is_given_and_keeps_it(path):
    gate = load(path)
    gate.check()
    assert gate.is_persisted
    assert load(path, has_history=True).state == FIRST


async def test_a_stop_holds_across_a_restart_with_who_when_and_why(path):
    stopped = await load(path).stop("ada", "prices look wrong")
    again = load(path, has_history=True)
    assert again.state == stopped == GateState(2, STOPPED, "ada", stopped.at_ns, "prices look wrong")
    with pytest.raises(SendingStopped, match=r"ada: prices look wrong"):
        again.check()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"running"',
        b"[" * 100_000,
        b"\xff\xfe\x00",
        b'{"version":1,"state":"running","by":"x","at_ns":1}',
        b'{"version":1,"state":"RUNNING","by":"x","at_ns":1,"reason":""}',
        b'{"version":"1","state":"running","by":"x","at_ns":1,"reason":""}',
        b'{"version":1,"state":"running","by":null,"at_ns":1,"reason":""}',
        b'{"version":1,"state":"running","by":"x","at_ns":1,"reason":"","more":1}',
    ],
)
@pytest.mark.parametrize("has_history", [True, False])
async def test_a_state_that_cannot_be_read_means_stopped(path, content, has_history):
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    gate = load(path, has_history=has_history)
    assert not gate.state.is_running
    assert gate.state.reason == "the kept stop state cannot be read"


async def test_a_directory_in_the_place_of_the_state_means_stopped(path):
    path.mkdir(parents=True)
    gate = load(path)
    assert not gate.state.is_running
    assert not gate.is_persisted


async def test_a_state_that_is_missing_beside_a_journal_means_stopped(path):
    assert load(path, has_history=True).state.reason == "the kept stop state is missing beside a journal"


async def test_a_second_stop_keeps_who_was_first_and_its_version(path):
    gate = load(path)
    first = await gate.stop("ada", "one")
    assert await gate.stop("bob", "two") == first
    assert gate.state == first


async def test_nothing_passes_once_stop_has_been_called_even_before_it_returns(path, slow_disk):
    gate = load(path)
    slow_disk.let_through.clear()
    stopping = asyncio.ensure_future(gate.stop("ada", "now"))
    await asyncio.sleep(0)
    with pytest.raises(SendingStopped):
        gate.check()
    slow_disk.let_through.set()
    await stopping


async def test_a_disk_that_hangs_delays_the_acknowledgement_by_less_than_100_ms_and_is_told(
    path, slow_disk, deadline
):
    assert deadline < 0.1
    took_s = []
    for attempt in range(3):  # the best of three, since this machine may be busy with others
        slow_disk.let_through.set()
        gate = load(path.with_name(f"gate{attempt}.json"))
        slow_disk.let_through.clear()
        begun = time.perf_counter()
        state = await gate.stop("ada", "slow")
        took_s.append(time.perf_counter() - begun)
        assert not state.is_running
        assert not gate.is_persisted
    assert min(took_s) < 0.1


async def test_a_write_that_comes_late_is_noticed(path, slow_disk, eventually, deadline):
    gate = load(path)
    slow_disk.let_through.clear()
    await gate.stop("ada", "slow")
    slow_disk.let_through.set()
    await eventually(lambda: gate.is_persisted)
    assert load(path, has_history=True).state == gate.state


async def test_a_stop_that_the_disk_refused_is_written_when_it_is_ordered_again(path, slow_disk):
    gate = load(path)
    slow_disk.failures = [OSError(28, "No space left on device")]
    first = await gate.stop("ada", "full disk")
    assert not gate.is_persisted
    assert await gate.stop("bob", "again") == first
    assert gate.is_persisted
    assert load(path, has_history=True).state == first


async def test_a_stop_that_the_disk_refused_is_written_when_the_engine_tries_again(path, slow_disk):
    gate = load(path)
    slow_disk.failures = [OSError(28, "No space left on device")]
    state = await gate.stop("ada", "full disk")
    await gate.persist()
    assert gate.is_persisted
    assert load(path, has_history=True).state == state


async def test_a_stop_stands_even_when_no_thread_can_be_had_to_write_it(path, monkeypatch):
    gate = load(path)

    def none_left(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(gate._disk, "submit", none_left)
    state = await gate.stop("ada", "threads are gone")
    assert not state.is_running
    assert not gate.is_persisted


async def test_a_listener_that_breaks_does_not_keep_a_stop_from_the_disk(path):
    gate = load(path)
    gate.listen(lambda _: 1 / 0)
    state = await gate.stop("ada", "broken listener")
    assert load(path, has_history=True).state == state


async def test_a_resume_opens_the_gate_and_is_kept(path):
    gate = load(path)
    stopped = await gate.stop("ada", "look")
    opened = await gate.resume("bob", "all well", stopped.version)
    gate.check()
    await asyncio.wait_for(gate.wait_open(), 1)
    assert opened == gate.state == load(path, has_history=True).state
    assert opened.version == stopped.version + 1


@pytest.mark.parametrize("offset", [-1, 1, 1000])
async def test_a_resume_of_another_version_changes_nothing(path, offset):
    gate = load(path)
    stopped = await gate.stop("ada", "look")
    with pytest.raises(StaleResume):
        await gate.resume("bob", "hasty", stopped.version + offset)
    assert gate.state == stopped
    assert load(path, has_history=True).state == stopped


async def test_a_stop_during_a_resume_wins_in_memory_and_on_disk(path, slow_disk):
    gate = load(path)
    stopped = await gate.stop("ada", "look")
    slow_disk.let_through.clear()
    slow_disk.begun.clear()
    resuming = asyncio.ensure_future(gate.resume("bob", "all well", stopped.version))
    await slow_disk.reached()
    stopping = asyncio.ensure_future(gate.stop("eve", "no!"))
    await asyncio.sleep(0)
    slow_disk.let_through.set()
    state = await stopping
    with pytest.raises(StaleResume):
        await resuming
    assert (state.state, state.by) == (STOPPED, "eve")
    assert gate.state == state
    assert load(path, has_history=True).state == state


async def test_a_stop_between_two_resumes_of_which_one_fails_wins(path, slow_disk):
    gate = load(path)
    stopped = await gate.stop("ada", "look")
    slow_disk.let_through.clear()
    slow_disk.failures = [OSError(5, "Input/output error")]
    resumes = [asyncio.ensure_future(gate.resume(who, "well", stopped.version)) for who in ("bob", "cy")]
    await slow_disk.reached()
    slow_disk.let_through.set()
    await asyncio.wait(resumes, return_when=asyncio.FIRST_COMPLETED)
    await gate.stop("eve", "no!")
    await asyncio.wait(resumes)
    assert not gate.state.is_running
    assert not load(path, has_history=True).state.is_running


async def test_a_resume_that_the_disk_refuses_leaves_the_gate_closed_here_and_after_a_restart(
    path, slow_disk
):
    gate = load(path)
    stopped = await gate.stop("ada", "look")
    slow_disk.failures = [OSError(28, "No space left on device")]
    with pytest.raises(GateNotPersisted):
        await gate.resume("bob", "well", stopped.version)
    assert gate.state == stopped
    assert load(path, has_history=True).state == stopped


async def test_a_resume_that_reached_the_disk_but_failed_after_it_is_taken_back_there(
    path, monkeypatch, eventually
):
    gate = load(path)
    stopped = await gate.stop("ada", "look")
    write = control._write

    def half(path: Path, state: GateState) -> None:
        write(path, state)
        if state.is_running:
            raise OSError(5, "the directory cannot be synced")

    monkeypatch.setattr(control, "_write", half)
    with pytest.raises(GateNotPersisted):
        await gate.resume("bob", "well", stopped.version)
    await eventually(lambda: gate.is_persisted)
    assert load(path, has_history=True).state == stopped


async def test_a_resume_that_is_given_up_half_way_does_not_come_true_at_the_next_start(
    path, slow_disk, eventually
):
    gate = load(path)
    stopped = await gate.stop("ada", "look")
    slow_disk.let_through.clear()
    slow_disk.begun.clear()
    resuming = asyncio.ensure_future(gate.resume("bob", "well", stopped.version))
    await slow_disk.reached()
    resuming.cancel()
    await asyncio.wait([resuming])
    slow_disk.let_through.set()
    await eventually(lambda: gate.is_persisted)
    assert gate.state == stopped
    assert load(path, has_history=True).state == stopped


async def test_a_resume_of_a_running_engine_changes_nothing(path):
    gate = load(path)
    assert await gate.resume("bob", "well", 1) == FIRST


async def test_a_standing_stop_closes_the_gate_at_the_start_whatever_was_kept(path, tmp_path):
    load(path)
    order = tmp_path / "STOP"
    order.write_text(json.dumps({"by": "ada", "at_ns": 1, "reason": "nobody answered"}))
    gate = load(path, has_history=True, standing_stop=order)
    assert (gate.state.state, gate.state.by, gate.state.reason) == (STOPPED, "ada", "nobody answered")
    order.unlink()
    assert load(path, has_history=True).state == gate.state


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"by":1}'])
async def test_a_standing_stop_is_obeyed_whatever_it_says(path, tmp_path, content):
    order = tmp_path / "STOP"
    order.write_bytes(content)
    assert not load(path, standing_stop=order).state.is_running


async def test_texts_of_strangers_are_one_printable_line_of_bounded_length(path):
    state = await load(path).stop("ada\x1b[2J\n", "x" * 10_000)
    assert state.by == "ada [2J "
    assert len(state.reason) == 200
