"""An engine on a simulated cluster with its listeners and a real database, and ways to ask it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

# The rig and its simulation are modules of the engine's folder; test folders are no packages.
sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
from rig import Rig

from engine.api.access import Access
from engine.api.client import EngineClient
from engine.api.history_view import HistoryViews
from engine.api.news import NewsDesk
from engine.api.server import ApiServer
from engine.api.settings_view import settings_page
from engine.api.stop_token import StopToken
from engine.api.tokens import TokenFile
from engine.clock import SystemClock
from engine.own_loop import SameLoop
from engine.settings import load_settings
from engine.store.outbox import OutboxShipper
from engine.store.pool import Database, open_pool
from engine.store.record_reader import RecordReader


class Served:
    """A running engine, its listeners on a unix socket and a TCP port, a client, and the database."""

    def __init__(self, rig: Rig, server: ApiServer, folder: Path, database: Database) -> None:
        self.rig = rig
        self.server = server
        self.path = folder / "engine.sock"
        self.token = StopToken(folder / "stop.token")
        self.tokens = TokenFile(folder / "tokens.json")
        self.database = database
        self.client = EngineClient(self.path)

    async def ship(self) -> None:
        """Bring everything that the journal has into the database."""
        await self.rig.parts.commands.settle_audits()
        shipper = OutboxShipper(self.rig.journal, self.database, SystemClock())
        assert await shipper.drain(20)

    async def get(self, path: str, *, tcp: bool = True, **headers: str) -> tuple[int, Any]:
        """Status and JSON of a GET."""
        status, answer, _ = await self.ask("GET", path, tcp=tcp, headers=headers)
        return status, answer

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        tcp: bool = True,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any, Any]:
        """Status, JSON (or bytes) and headers of any request."""
        connector = None if tcp else aiohttp.UnixConnector(str(self.path))
        base = f"http://127.0.0.1:{self.server.port}" if tcp else "http://engine"
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.request(method, base + path, data=body, headers=headers) as response,
        ):
            raw = await response.read()
            is_json = response.content_type == "application/json"
            return response.status, (await response.json() if is_json else raw), response.headers

    async def liquidated(self) -> Any:
        """A position that was liquidated and is final in the journal."""
        position = self.rig.open()
        self.rig.price("BTC/USD", 58_000)
        await self.rig.until(self.rig.ended(position))
        return position


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A running engine with four workers, on an empty book."""
    rig = Rig(tmp_path)
    rig.boot()
    await rig.start()
    yield rig
    await rig.kill()


@pytest.fixture
async def served(rig: Rig, tmp_path: Path, database_url: str) -> AsyncIterator[Served]:
    """The engine with everything that its listeners can have."""
    parts = rig.parts
    history = HistoryViews(RecordReader(database_url, rig.journal.identity), rig.journal.path)
    settings = load_settings({"SOLANA_RPC_URL": "http://127.0.0.1:1/key-in-a-path", "HERMES_API_KEY": "hush"})
    database = await open_pool(database_url)
    token = StopToken(tmp_path / "stop.token")
    server = ApiServer(
        parts.snapshots,
        parts.commands,
        access=Access(stop_token=token, tokens=TokenFile(tmp_path / "tokens.json")),
        history=history,
        settings=settings_page(settings),
        pages=parts.pages,
        readiness=parts.readiness,
        metrics=parts.metrics.render,
        news=NewsDesk(SameLoop(), parts.snapshots, rig.journal.path),
    )
    served = Served(rig, server, tmp_path, database)
    served.token = token
    token.publish()
    await server.start(served.path, 0)
    async with served.client:
        yield served
    await server.close()
    await database.close()


@pytest.fixture
def served_paths(served: Served) -> set[str]:
    """The paths that are served over TCP."""
    return {route.path for route in served.server._routes if not route.unix_only}
