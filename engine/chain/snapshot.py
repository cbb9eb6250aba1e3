"""Reads every position of the program from a node, in slices that the event loop hardly notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import msgspec
from solders.pubkey import Pubkey

from engine.api.clean import clean
from engine.chain.alike_entries import AlikeEntries
from engine.chain.json_array import ArrayReader, UnreadableAnswer
from engine.chain.jsonrpc import check_status
from engine.chain.port import PositionSlice, RpcFailure
from engine.protocol.accounts import POSITION_DISCRIMINATOR_BASE58

DEADLINE_S = 300.0  # a million accounts are 350 MB
SILENCE_S = 15.0
MOST_ACCOUNTS = 20_000_000
_READ_BYTES = 64 * 1024
_FED_BYTES = 256 * 1024


def request_for(program_id: Pubkey, min_slot: int) -> bytes:
    """getProgramAccounts at processed, of nothing but positions, by a node that has come to `min_slot`."""
    config = {
        "encoding": "base64",
        "commitment": "processed",
        "minContextSlot": min_slot,
        "filters": [{"memcmp": {"offset": 0, "bytes": POSITION_DISCRIMINATOR_BASE58}}],
    }
    params = [str(program_id), config]
    return msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "getProgramAccounts", "params": params})


async def read_positions(
    url: str, program_id: Pubkey, min_slot: int, deadline_s: float = DEADLINE_S
) -> AsyncIterator[PositionSlice]:
    """Every account of the program that starts with the position discriminator, no older than `min_slot`.

    Raises RpcFailure, also after some slices: only when it ends by itself was that all. A connection of its
    own takes its buffers with it.
    """
    timeout = aiohttp.ClientTimeout(total=deadline_s, sock_read=min(SILENCE_S, deadline_s))
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, read_bufsize=_READ_BYTES) as session,
            session.post(
                url,
                data=request_for(program_id, min_slot),
                headers={"Content-Type": "application/json", "Accept-Encoding": "identity"},
                allow_redirects=False,
            ) as response,
        ):
            check_status(response.status, response.headers.get("Retry-After"))
            async for part in _slices(response.content.iter_any()):
                yield part
    except TimeoutError as error:
        raise RpcFailure("timeout while reading the positions", is_timeout=True) from error
    except aiohttp.ClientError as error:
        raise RpcFailure(f"node unreachable ({type(error).__name__})") from error


async def _slices(chunks: AsyncIterator[bytes]) -> AsyncIterator[PositionSlice]:
    """The answer's accounts, in slices of about the same size; raises RpcFailure."""
    reader = ArrayReader(AlikeEntries())
    count = 0
    try:
        async for chunk in _in_pieces(chunks):
            for parts in reader.feed(chunk):
                for part in parts:
                    count += len(part[0])
                    if count > MOST_ACCOUNTS:
                        raise RpcFailure(f"the node has more than {MOST_ACCOUNTS:,} positions")
                    yield part
                # Also between cuts, however much has come at once.
                await asyncio.sleep(0)
        for parts in reader.end():
            for part in parts:
                yield part
    except UnreadableAnswer as error:
        text = clean(str(error), 200)
        is_fault = text.startswith("node error: ")
        raise RpcFailure(text if is_fault else f"the node's answer cannot be read: {text}") from error


async def _in_pieces(chunks: AsyncIterator[bytes]) -> AsyncIterator[memoryview]:
    """The same bytes in pieces of a bounded size."""
    async for chunk in chunks:
        for start in range(0, len(chunk), _FED_BYTES):
            yield memoryview(chunk)[start : start + _FED_BYTES]
