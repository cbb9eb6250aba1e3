"""A stand-in for the node of an idle engine: answers what a start asks, then tells one thing at a time.

In a process of its own, as a node is. `lamports` of what it tells is the system's monotonic clock at the
moment of telling, in nanoseconds: that clock is one for all processes. `python -m benchmarks.paced_node`
prints its port.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import time
from dataclasses import replace
from itertools import cycle
from typing import Any

from aiohttp import WSMsgType, web
from solders.pubkey import Pubkey

from benchmarks.idle_engine import CROSSING, FAR, MARK_E6, NEAR_E6, RESTING_E6, WATCHED, positions
from engine.domain import Position
from engine.protocol.accounts import encode_position
from engine.protocol.addresses import FEEDS, PROGRAM_ID, PYTH_RECEIVER
from engine.protocol.pyth import PriceUpdate, encode_price_update

PACE_S = 0.002
SETTLE_S = 1.0
SLOT_S = 0.4
FIRST_SLOT = 1_000
LAMPORTS = 123_456_789  # stands where the time goes
GENESIS = str(Pubkey.from_bytes(bytes([7]) * 32))


class PacedNode:
    """Until nobody listens: a position falls below its line and recovers, a price crosses one and returns."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers: dict[str, int] = {}

    @property
    def slot(self) -> int:
        """The slot by the clock."""
        return FIRST_SLOT + int((time.monotonic() - self._began_s) / SLOT_S)

    async def answer(self, request: web.Request) -> web.Response:
        """What an engine asks of a node while it starts."""
        call = await request.json()
        try:
            result = self._answers(call["method"], call["params"])
        except KeyError:
            error = {"code": -32601, "message": "Method not found"}
            return web.json_response({"jsonrpc": "2.0", "id": call["id"], "error": error})
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": result})

    def _answers(self, method: str, params: list[Any]) -> Any:
        slot = self.slot
        if method == "getAccountInfo":
            return {"context": {"slot": slot}, "value": self._account(params[0])}
        if method == "getProgramAccounts":
            return [
                {"pubkey": str(each.address), "account": _account(encode_position(each), PROGRAM_ID)}
                for each in positions()
            ]
        return {
            "getGenesisHash": GENESIS,
            "getSlot": slot,
            "getEpochInfo": {"absoluteSlot": slot, "blockHeight": slot - 10},
            "getBlockHeight": slot - 10,
            "getBalance": {"context": {"slot": slot}, "value": LAMPORTS},
        }[method]

    def _account(self, address: str) -> dict[str, Any] | None:
        symbol = WATCHED.get(address)
        if symbol is None:
            return None
        return _account(_price(symbol, RESTING_E6), PYTH_RECEIVER)

    async def subscribe(self, request: web.Request) -> web.WebSocketResponse:
        """Confirm every subscription; after the last one, tell."""
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            call = message.json()
            name = call["method"] if call["method"] != "accountSubscribe" else call["params"][0]
            self._numbers[name] = call["id"]
            await socket.send_json({"jsonrpc": "2.0", "result": call["id"], "id": call["id"]})
            if name == "slotSubscribe":
                self._tasks.add(asyncio.create_task(self._tell_slots(socket)))
                self._tasks.add(asyncio.create_task(self._tell(request.transport)))
        return socket

    async def _tell_slots(self, socket: web.WebSocketResponse) -> None:
        while not socket.closed:
            slot = self.slot
            result = {"slot": slot, "parent": slot - 1, "root": slot - 32}
            await socket.send_str(_notification("slot", result, self._numbers["slotSubscribe"]))
            await asyncio.sleep(SLOT_S)

    async def _tell(self, transport: asyncio.WriteTransport | None) -> None:
        assert transport is not None
        await asyncio.sleep(SETTLE_S)
        for far in cycle(FAR):
            if transport.is_closing():
                return
            fallen = replace(far, collateral_e6=1)
            await self._tell_position(transport, fallen)
            await self._tell_position(transport, far)
            await self._tell_price(transport, NEAR_E6)
            await self._tell_price(transport, RESTING_E6)

    async def _tell_position(self, transport: asyncio.WriteTransport, position: Position) -> None:
        account = _account(encode_position(position), PROGRAM_ID)
        value = {"pubkey": str(position.address), "account": account}
        number = self._numbers["programSubscribe"]
        await _notify_stamped(transport, _notification("program", self._at_slot(value), number))

    async def _tell_price(self, transport: asyncio.WriteTransport, price_e6: int) -> None:
        account = _account(_price(CROSSING.symbol, price_e6), PYTH_RECEIVER)
        number = self._numbers[str(FEEDS[CROSSING.symbol].account)]
        await _notify_stamped(transport, _notification("account", self._at_slot(account), number))

    def _at_slot(self, value: Any) -> dict[str, Any]:
        return {"context": {"slot": self.slot}, "value": value}


def _price(symbol: str, price_e6: int) -> bytes:
    now_s = int(time.time())
    return encode_price_update(
        PriceUpdate(
            write_authority=PYTH_RECEIVER,
            feed_id=FEEDS[symbol].feed_id,
            price=price_e6,
            conf=0,
            exponent=-6,
            publish_time_s=now_s,
            prev_publish_time_s=now_s,
            ema_price=MARK_E6,
            ema_conf=0,
            posted_slot=FIRST_SLOT,
        )
    )


def _account(data: bytes, owner: Pubkey) -> dict[str, Any]:
    return {
        "lamports": LAMPORTS,
        "data": [base64.b64encode(data).decode(), "base64"],
        "owner": str(owner),
        "executable": False,
        "rentEpoch": 2**64 - 1,
        "space": len(data),
    }


def _notification(kind: str, result: Any, number: int) -> str:
    params = {"result": result, "subscription": number}
    return json.dumps({"jsonrpc": "2.0", "method": f"{kind}Notification", "params": params})


async def _notify_stamped(transport: asyncio.WriteTransport, text: str) -> None:
    """Everything is written by then but the time, and nothing lies between it and the socket."""
    before, _, after = (part.encode() for part in text.partition(f"{LAMPORTS}"))
    size = len(before) + len(b"%d" % time.monotonic_ns()) + len(after)
    before = b"\x81\x7e" + size.to_bytes(2, "big") + before
    file = transport.get_extra_info("socket").fileno()
    await asyncio.sleep(PACE_S)
    if transport.is_closing():
        return
    assert transport.get_write_buffer_size() == 0, "nothing may be overtaken"
    written = os.write(file, b"%b%d%b" % (before, time.monotonic_ns(), after))
    assert written == size + 4, "the engine reads at once"


async def _serve() -> None:
    node = PacedNode()
    app = web.Application()
    app.router.add_post("/", node.answer)
    app.router.add_get("/", node.subscribe)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    # Python's own loop: it writes to the socket at once, not at the end of the turn.
    asyncio.run(_serve())
