"""Requests that are broken, half said or never end change nothing of what the engine does and tells."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rig import Rig

from engine.journal.records import OutboxKind

ANSWER_S = 30
HELD, THROWN = 40, 40
BODY = b'{"outcome":"timeout"}'
COMMANDS = ("emergency-stop", "clear-queue", "retry-all?limit=1")
GUIDES = ("liquidations", "failed_liquidations", "positions_monitored", "insurance_fund_balance")


def whole(command: str) -> bytes:
    """A command as it would be given, but for its token, which is a wrong one."""
    return (
        f"POST /admin/{command} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer 00ff\r\nContent-Length: {len(BODY)}\r\nX-Terminal: tty\r\n\r\n"
    ).encode() + BODY


def broken(raw: bytes, chance: random.Random) -> bytes:
    """The same with bytes of its head or body changed, cut, doubled, put in."""
    mangled = bytearray(raw)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(mangled))
        kind = chance.randrange(4)
        if kind == 0:
            mangled[at] = chance.randrange(256)
        elif kind == 1:
            del mangled[at : at + chance.randint(1, 20)]
        elif kind == 2:
            mangled[at:at] = mangled[at : at + chance.randint(1, 40)]
        else:
            mangled[at:at] = chance.choice([b"\r\n", b"\0", b"\xff" * 9, b"A" * 9000, b"%00", b"\n\n"])
        if not mangled:
            break
    return bytes(mangled)


async def thrown(port: int, raw: bytes) -> bytes:
    """The head of what the engine says to these bytes; nothing where it only hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        async with asyncio.timeout(ANSWER_S):
            return await reader.readuntil(b"\r\n\r\n")
    except (ConnectionError, asyncio.IncompleteReadError):
        return b""
    finally:
        writer.close()


@asynccontextmanager
async def half_said(port: int, leaves: int = 0) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Connections whose requests end somewhere before their last byte, and never go on."""
    links = [await asyncio.open_connection("127.0.0.1", port) for _ in range(HELD)]
    try:
        for number, (_, writer) in enumerate(links):
            raw = whole(COMMANDS[number % len(COMMANDS)])[: -1 - leaves]
            writer.write(raw[: len(raw) * number // (HELD - 1)])
        yield [reader for reader, _ in links]
    finally:
        for _, writer in links:
            writer.close()


async def story(rig: Rig) -> dict[str, Any]:
    """What an engine tells of itself when two positions were liquidated, one failed, and one is well."""
    well = rig.open(collateral_e6=9_000 * 10**6)
    for dollars in (58_020, 58_010):
        position = rig.open()
        rig.price("BTC/USD", dollars)
        await rig.until(rig.ended(position))
    await rig.given_up()
    stats = rig.parts.snapshots.stats()
    assert stats.fund is not None
    metrics = text_string_to_metric_families(rig.parts.metrics.render().decode())
    return {
        "well": rig.entry(well),
        "totals": stats.totals,
        "waiting": (stats.queue_length, stats.in_flight, stats.failed_length),
        "gate": (stats.gate.state, stats.gate.version),
        "book": stats.book,
        "wallet": stats.wallet.balance_lamports,
        "fund": (stats.fund.balance_lamports, stats.fund.total_bad_debt_covered_lamports),
        "outcomes": Counter(outcome.outcome for outcome in rig.outcomes()),
        "metrics": sorted(str(sample) for each in metrics if each.name in GUIDES for sample in each.samples),
    }


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Rig]:
    """An engine that nobody can reach."""
    folder = tmp_path / "alone"
    folder.mkdir()
    rig = Rig(folder)
    rig.boot()
    await rig.start()
    yield rig
    await rig.kill()


@pytest.mark.parametrize("seed", range(3))
async def test_an_engine_under_broken_and_half_said_requests_comes_to_the_figures_of_one_left_alone(
    served, alone, monkeypatch, seed
):
    chance = random.Random(seed)
    port = served.server.port

    async def throw() -> list[bytes]:
        return [await thrown(port, broken(whole(chance.choice(COMMANDS)), chance)) for _ in range(THROWN)]

    async with half_said(port):
        # What is thrown and has no end is given up soon; what is held keeps its time.
        monkeypatch.setattr("engine.api.connections.REQUEST_DEADLINE_S", 0.2)
        answers, told = await asyncio.gather(throw(), story(served.rig))
        assert (await served.get("/health"))[0] == 200
    wanted = await story(alone)
    assert wanted["totals"].attempts >= 2
    assert wanted["waiting"][2] == 1
    assert len(wanted["metrics"]) > 4
    assert told == wanted
    kinds = Counter(answer.split(b" ", 2)[1][:1].decode() for answer in answers if answer)
    assert set(kinds) <= {"4"}, kinds
    assert kinds["4"] > THROWN // 2
    await served.rig.parts.commands.settle_audits()
    assert not [row for row in served.rig.recorded(OutboxKind.CONTROL) if row["accepted"]]


async def test_of_requests_that_never_end_nothing_is_left(served, monkeypatch, eventually):
    monkeypatch.setattr("engine.api.connections.REQUEST_DEADLINE_S", 0.3)
    # A body that is missing is waited for by the server itself: only heads end at this deadline.
    async with half_said(served.server.port, leaves=len(BODY) + 2) as readers:
        async with asyncio.timeout(ANSWER_S):
            answers = await asyncio.gather(*(each.read() for each in readers), return_exceptions=True)
        assert not any(isinstance(each, bytes) and b" 200 " in each[:20] for each in answers)
        await eventually(lambda: len(served.server.tcp_connections) == 0)
    assert (await served.get("/health"))[0] == 200
