"""A running engine with its listeners and one client."""

from __future__ import annotations

import asyncio
import os
import pwd
from pathlib import Path

import aiohttp

from engine.api.client import EngineClient
from engine.api.server import ApiServer

ME = pwd.getpwuid(os.getuid()).pw_name


class Served:
    """A running engine with its listeners and one client."""

    def __init__(self, rig, server: ApiServer, path: Path, client: EngineClient) -> None:
        self.rig = rig
        self.server = server
        self.path = path
        self.client = client

    async def raw(self, request: bytes, *, end: bool = True) -> bytes:
        """Send bytes as they are and read the answer's."""
        reader, writer = await asyncio.open_unix_connection(self.path)
        writer.write(request)
        if end:
            writer.write_eof()
        try:
            async with asyncio.timeout(20):
                return await reader.read(65_536)
        finally:
            writer.close()

    async def post(self, path: str, body: bytes = b"{}", **headers: str) -> tuple[int, dict]:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self.path))) as session,
            session.post(f"http://engine{path}", data=body, headers=headers) as response,
        ):
            return response.status, await response.json()
