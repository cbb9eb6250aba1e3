"""Somebody between an engine and its node: counts what is asked, and may change what is answered."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

Change = Callable[[str, Any], Any]
"""From a method and its true result to what is answered instead."""


@asynccontextmanager
async def between(target: str, change: Change | None = None) -> AsyncIterator[tuple[str, Counter[str]]]:
    """Another URL of the same node, and the methods that were called at it."""
    called: Counter[str] = Counter()

    async def pass_on(request: web.Request) -> web.Response:
        body = await request.read()
        method = json.loads(body)["method"]
        called[method] += 1
        headers = {"Content-Type": "application/json"}
        async with http.post(target, data=body, headers=headers) as answer:
            text = await answer.read()
        if change is not None:
            reply = json.loads(text)
            if "result" in reply:
                text = json.dumps({**reply, "result": change(method, reply["result"])}).encode()
        return web.Response(body=text, content_type="application/json")

    async with aiohttp.ClientSession() as http:
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/", pass_on)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}", called
        finally:
            await runner.cleanup()
