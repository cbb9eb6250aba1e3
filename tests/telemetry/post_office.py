"""A server that takes alerts as a webhook does, and answers what a test wants it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

PATIENCE_S = 30.0


class PostOffice:
    """What arrived, in order. `answers` are the statuses of the next posts; afterwards 200."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.answers: list[int] = []
        self.headers: dict[str, str] = {}  # of the answers
        self.silent = False
        self.url = ""
        self._arrived = asyncio.Condition()

    async def until(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many posts."""
        async with asyncio.timeout(PATIENCE_S), self._arrived:
            await self._arrived.wait_for(lambda: len(self.posts) >= count)
        return self.posts

    async def take(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.paths.append(request.path)
        async with self._arrived:
            self.posts.append(body)
            self._arrived.notify_all()
        if self.silent:
            await asyncio.Event().wait()
        status = self.answers.pop(0) if self.answers else 200
        return web.Response(status=status, headers=self.headers)


@asynccontextmanager
async def post_office() -> AsyncIterator[PostOffice]:
    """One on a free port of this machine."""
    office = PostOffice()
    app = web.Application()
    app.router.add_post("/{path:.*}", office.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        office.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield office
    finally:
        await runner.cleanup()
