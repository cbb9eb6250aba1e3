"""SIGHUP: what can change in a running engine changes, the rest is named, and a mistake changes nothing."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import structlog

from engine.cli import reload
from engine.cli.reload import RELOADED, Reloader
from engine.settings import Settings, load_settings
from engine.telemetry.logs import configure_logging

BASE = {"SOLANA_RPC_URL": "http://localhost:8899"}


@dataclass
class Told:
    """Stands for the notices of a running engine."""

    changes: list[tuple[list[str], Any]] = field(default_factory=list)

    def change(self, channels: Any, limits: Any) -> None:
        self.changes.append(([channel.name for channel in channels], limits))


class World:
    """Settings that an operator edits under an engine."""

    def __init__(self) -> None:
        self.given = dict(BASE)
        self.notices = Told()
        self.reloader = Reloader(self.read(), self.read, lambda: self.notices)  # type: ignore[arg-type]

    def read(self) -> Settings:
        return load_settings(self.given)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What is written to a stderr of the test's own: pytest changes its own between setup and call."""
    stream = io.StringIO()
    monkeypatch.setattr(reload, "configure_logging", partial(configure_logging, stream=stream))
    kept = logging.getLogger().handlers[:], logging.getLogger().level
    configure_logging("info", stream)
    yield stream
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = kept[0]
    logging.getLogger().setLevel(kept[1])


async def test_level_channels_and_limits_are_taken_over_and_the_rest_is_named(world, log):
    world.given |= {"LOG_LEVEL": "debug", "ALERT_URLS": "http://localhost:1/hook", "WORKERS": "8"}
    world.given |= {"ALERT_MESSAGES_PER_HOUR": "3", "SERVER_PORT": "9"}
    await world.reloader.reload()
    ((names, limits),) = world.notices.changes
    assert len(names) == 1
    assert limits.per_hour == 3
    told = log.getvalue().splitlines()[-1]
    assert 'changed="LOG_LEVEL ALERT_URLS ALERT_MESSAGES_PER_HOUR"' in told
    assert 'needs_restart="SERVER_PORT WORKERS"' in told
    structlog.get_logger().debug("fine detail")
    assert "fine detail" in log.getvalue()
    await world.reloader.reload()
    told = log.getvalue().splitlines()[-1]
    assert "changed=nothing" in told
    assert 'needs_restart="SERVER_PORT WORKERS"' in told, "it still does"
    assert len(world.notices.changes) == 1


async def test_settings_that_cannot_be_used_change_nothing_and_are_said(world, log):
    for mistake in ({"LOG_LEVEL": "loud"}, {"ALERT_URLS": "nonsense://x"}):
        world.given = BASE | {"ALERT_GROUP_S": "9"} | mistake
        await world.reloader.reload()
        told = log.getvalue().splitlines()[-1]
        assert 'level=error severity=ERROR event="settings not reloaded"' in told
        assert next(iter(mistake)) in told
    assert world.notices.changes == []


async def test_what_nobody_thought_of_ends_one_reload_and_not_those_after_it(world, log, monkeypatch):
    told: asyncio.Queue[str] = asyncio.Queue()
    monkeypatch.setattr(reload, "notify", told.put_nowait)
    whole, world.given = world.given, None
    running = asyncio.create_task(world.reloader.run())
    world.reloader.ask()
    assert await asyncio.wait_for(told.get(), 30) == "READY=1", "the manager waits for it"
    assert 'event="settings not reloaded"' in log.getvalue()
    world.given = whole | {"LOG_LEVEL": "debug"}
    world.reloader.ask()
    await asyncio.wait_for(told.get(), 30)
    assert "changed=LOG_LEVEL" in log.getvalue()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_lines_become_json_while_the_engine_runs(world, log):
    world.given["LOG_FORMAT"] = "json"
    await world.reloader.reload()
    assert log.getvalue().splitlines()[-1].startswith('{"time": "')


def test_every_setting_that_is_reloaded_is_one():
    assert set(Settings.model_fields) > RELOADED
