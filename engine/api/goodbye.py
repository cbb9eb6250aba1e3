"""Ends WebSockets from this side: all of them at once, since each may be gone already and answers nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiohttp import WSCloseCode, web

GOODBYE_S = 1.0


async def say_goodbye(sockets: Iterable[web.WebSocketResponse]) -> None:
    """Tell them that the engine ends; who does not answer in time is not waited for."""
    goodbyes = [
        asyncio.wait_for(each.close(code=WSCloseCode.GOING_AWAY, message=b"the engine ends"), GOODBYE_S)
        for each in sockets
    ]
    await asyncio.gather(*goodbyes, return_exceptions=True)
