"""A peer on a real unix socket that speaks the engine's side of the wire: serves snapshots, records commands.

Run as a program (`python peer.py SOCKET`) it is a process that a console attaches to, and that can die.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Self

import msgspec
import records
import snapshots
from aiohttp import WSCloseCode, web

from engine.api import wire


class Peer:
    """Use as an async context manager. `push` gives every reader a snapshot at once."""

    def __init__(self, socket: Path, snapshot: wire.Snapshot | None = None) -> None:
        self.socket = socket
        self.snapshot = snapshot or snapshots.snapshot()
        self.commands: list[tuple[str, dict[str, object]]] = []
        self.arrived = asyncio.Condition()
        self.refusal: wire.ErrorBody | None = None
        self.pages: dict[str, wire.Message | wire.ErrorBody] = {
            "/liquidations/recent": records.history(),
            "/insurance/history": records.movements(),
            "/admin/audit": records.audit(),
            "/settings": records.settings(),
            "/alerts": records.alerts(),
        }
        self.consoles: list[str] = []  # the name of the console that opened a stream or gave a command
        self.asked: list[tuple[str, dict[str, str]]] = []  # path and query of each page that was asked for
        self.checks = [
            wire.ResumeCheck(name="reconciled", ok=True, detail="no open intents"),
            wire.ResumeCheck(name="prices", ok=True, detail="3 of 3 usable"),
            wire.ResumeCheck(name="node", ok=True, detail="slot lag 1"),
            wire.ResumeCheck(name="wallet", ok=True, detail="0.840 SOL"),
            wire.ResumeCheck(name="fund", ok=False, detail="8.2 SOL, below the minimum of 10"),
        ]
        self.answering = asyncio.Event()
        self.answering.set()
        self.talking = asyncio.Event()
        self.talking.set()
        self._readers: set[web.WebSocketResponse] = set()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/stream", self._stream)
        app.router.add_get("/snapshot", self._snapshot)
        app.router.add_get("/positions/{address}", self._position)
        app.router.add_get("/admin/resume", self._checks)
        for path in self.pages:
            app.router.add_get(path, self._page)
        app.router.add_post("/admin/{command}", self._command)
        app.router.add_post("/admin/{command}/{id}", self._command)
        app.router.add_post("/admin/{command}/{id}/{what}", self._command)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self.socket)).start()
        return self

    async def __aexit__(self, *error: object) -> None:
        for reader in list(self._readers):
            await reader.close(code=WSCloseCode.GOING_AWAY)
        assert self._runner is not None
        await self._runner.cleanup()
        self.socket.unlink(missing_ok=True)

    async def push(self, snapshot: wire.Snapshot) -> None:
        """Serve this snapshot from now on."""
        self.snapshot = snapshot
        for reader in list(self._readers):
            await reader.send_str(msgspec.json.encode(snapshot).decode())

    async def command(self, name: str, deadline_s: float = 5.0) -> dict[str, object]:
        """The body of the first command of that name, waiting for it if it did not come yet."""
        async with asyncio.timeout(deadline_s), self.arrived:
            await self.arrived.wait_for(lambda: any(each == name for each, _ in self.commands))
        return next(body for each, body in self.commands if each == name)

    async def question(
        self, path: str, wanted: dict[str, str | None], deadline_s: float = 20.0
    ) -> dict[str, str]:
        """The query of the first question for that page that says what is wanted, waiting for it."""

        def fitting() -> list[dict[str, str]]:
            asked = [query for each, query in self.asked if each == path]
            return [query for query in asked if all(query.get(name) == wanted[name] for name in wanted)]

        async with asyncio.timeout(deadline_s), self.arrived:
            await self.arrived.wait_for(fitting)
        return fitting()[0]

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        self.consoles.append(request.headers.get("X-Console", ""))
        reader = web.WebSocketResponse()
        await reader.prepare(request)
        self._readers.add(reader)
        interval_s = int(request.query["interval_ms"]) / 1000
        gone = asyncio.ensure_future(_until_closed(reader))
        try:
            while not gone.done():
                await self.talking.wait()
                await reader.send_str(msgspec.json.encode(self.snapshot).decode())
                await asyncio.wait({gone}, timeout=interval_s)
        finally:
            gone.cancel()
            self._readers.discard(reader)
        return reader

    async def _snapshot(self, request: web.Request) -> web.Response:
        return _json(self.snapshot)

    async def _position(self, request: web.Request) -> web.Response:
        address = request.match_info["address"]
        for row in self.snapshot.at_risk:
            if row.address == address:
                return _json(snapshots.detail(row))
        body = wire.ErrorBody(code="unknown_position", message=f"No position {address} is known")
        return _json(wire.ErrorReply(error=body), 404)

    async def _page(self, request: web.Request) -> web.Response:
        async with self.arrived:
            self.asked.append((request.path, dict(request.query)))
            self.arrived.notify_all()
        await self.answering.wait()
        page = self.pages[request.path]
        if isinstance(page, wire.ErrorBody):
            return _json(wire.ErrorReply(error=page), 503)
        return _json(page)

    async def _checks(self, request: web.Request) -> web.Response:
        return _json(self.checks)

    async def _command(self, request: web.Request) -> web.Response:
        name = "/".join(request.match_info.values())
        self.consoles.append(request.headers.get("X-Console", ""))
        async with self.arrived:
            self.commands.append((name, await request.json()))
            self.arrived.notify_all()
        await self.answering.wait()
        if self.refusal is not None:
            return _json(wire.ErrorReply(error=self.refusal), 409)
        gate = self.snapshot.gate
        if name == "emergency-stop":
            gate = snapshots.gate(
                "stopped", gate.version + 1, in_flight=2, last_valid_block_height=298_114_402
            )
        elif name == "resume":
            gate = snapshots.gate("running", gate.version + 1)
        self.snapshot = msgspec.structs.replace(self.snapshot, gate=gate)
        return _json(wire.Acknowledged(message=f"{name}: done", gate=gate))


async def _until_closed(reader: web.WebSocketResponse) -> None:
    async for _ in reader:
        pass


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json", status=status)


async def serve(socket: Path) -> None:
    """Serve one busy engine until the process ends."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with Peer(socket):
        print("ready", flush=True)
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
