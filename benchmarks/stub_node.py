"""A stand-in for a node, in a process of its own: it answers from memory, faster than any client can read.

The sandbox's node makes each answer anew; what these benchmarks measure is the client's side alone. Its bytes
have the shape of a node's. `python -m benchmarks.stub_node` prints its port.
"""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import Iterator

from aiohttp import WSMsgType, web

from benchmarks.population import address_of, make_accounts
from engine.chain.websocket import server_frame
from engine.protocol.addresses import PROGRAM_ID

PIECE_BYTES = 1 << 20
SETTLE_S = 0.3
FRAMES_AT_ONCE = 1000
_BUFFER_BYTES = 8 << 20
_COLLATERAL = slice(59, 67)  # of an account with a symbol of seven bytes
_SLOT = (
    '{"jsonrpc":"2.0","method":"slotNotification",'
    '"params":{"result":{"slot":%d,"parent":%d,"root":0},"subscription":0}}'
)


class StubNode:
    """`accounts` in the program; over WebSocket it tells `told` changes of them, all at once."""

    def __init__(self, accounts: int, told: int) -> None:
        self._addresses, self._data = make_accounts(accounts)
        self._told = told
        self._pieces: list[bytes] = []
        self._frames: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def _encoded(self) -> Iterator[str]:
        return (base64.b64encode(each).decode() for each in self._data)

    def prepare(self) -> None:
        """Write everything that is to be told once, so that telling costs nothing."""
        if self._told:
            self._frames = [
                server_frame(self._notification(index, 9, 1).encode()) for index in range(self._told)
            ]
            return
        parts = ['{"jsonrpc":"2.0","result":[']
        entries = (
            f'{{"pubkey":"{address_of(address)}","account":{_account(data, 1)}}}'
            for address, data in zip(self._addresses, self._encoded(), strict=True)
        )
        parts.append(",".join(entries))
        parts.append('],"id":1}')
        whole = "".join(parts).encode()
        self._pieces = [whole[at : at + PIECE_BYTES] for at in range(0, len(whole), PIECE_BYTES)]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """getProgramAccounts, whatever was asked."""
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = sum(map(len, self._pieces))
        await response.prepare(request)
        for piece in self._pieces:
            await response.write(piece)
        return response

    async def subscribe(self, request: web.Request) -> web.WebSocketResponse:
        """Confirm every subscription; after the program's, tell."""
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            call = message.json()
            for each in call if isinstance(call, list) else [call]:
                number = each["id"]
                await socket.send_str(f'{{"jsonrpc":"2.0","result":{number},"id":{number}}}')
                if each["method"] == "programSubscribe":
                    self._tasks.add(asyncio.create_task(self._tell(socket, request, number)))
        return socket

    async def _tell(self, socket: web.WebSocketResponse, request: web.Request, number: int) -> None:
        await asyncio.sleep(SETTLE_S)
        assert request.transport is not None
        request.transport.set_write_buffer_limits(high=_BUFFER_BYTES)
        for at in range(0, len(self._frames), FRAMES_AT_ONCE):
            # The clients number their subscriptions differently; no digit more.
            frames = b"".join(self._frames[at : at + FRAMES_AT_ONCE])
            request.transport.write(frames.replace(b'"subscription":9}', b'"subscription":%d}' % number))
            await socket.send_str(_SLOT % (2 + at, 1 + at))

    def _notification(self, index: int, number: int, lamports: int) -> str:
        at = index % len(self._addresses)
        # A little collateral is added each time, as traders do it.
        before = self._data[at]
        amount = int.from_bytes(before[_COLLATERAL], "little") + 1_000 * (1 + index // len(self._addresses))
        changed = before[: _COLLATERAL.start] + amount.to_bytes(8, "little") + before[_COLLATERAL.stop :]
        data = base64.b64encode(changed).decode()
        return (
            '{"jsonrpc":"2.0","method":"programNotification","params":{"result":{"context":{"slot":'
            f'{2 + index}}},"value":{{"pubkey":"{address_of(self._addresses[at])}","account":'
            f'{_account(data, lamports)}}}}},"subscription":{number}}}}}'
        )


def _account(data: str, lamports: int) -> str:
    return (
        f'{{"lamports":{lamports},"data":["{data}","base64"],"owner":"{PROGRAM_ID}","executable":false,'
        '"rentEpoch":18446744073709551615,"space":120}'
    )


async def _serve(accounts: int, told: int) -> None:
    node = StubNode(accounts, told)
    node.prepare()
    app = web.Application()
    app.router.add_post("/", node.answer)
    app.router.add_get("/", node.subscribe)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
