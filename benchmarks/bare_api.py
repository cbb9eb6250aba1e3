"""The plainest server of the same answers: aiohttp, and bytes that never change.

`python -m benchmarks.bare_api PORT PATH…` asks the engine on that port once for each path, prints its own
port, and answers with what it was told: no engine, no access to check, nothing to keep fresh.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence

import aiohttp
import uvloop
from aiohttp import web


def _saying(body: bytes, content_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, headers={"Content-Type": content_type})

    return answer


async def _serve(port: int, paths: Sequence[str]) -> None:
    app = web.Application()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        for path in paths:
            async with session.get(path) as response:
                body, kind = await response.read(), response.headers["Content-Type"]
            app.router.add_get(path.partition("?")[0], _saying(body, kind))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), sys.argv[2:]))
