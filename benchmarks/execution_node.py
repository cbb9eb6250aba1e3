"""A stand-in for a node whose market falls on command: it stamps price frames going out and what comes in.

Both stamps are taken in this process on CLOCK_MONOTONIC. `python -m benchmarks.execution_node ROUNDS` prints
its ports; ROUNDS says how many positions each fall shall reach. A line "round count" on its input is one;
a line of JSON answers it once so many transactions have arrived.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import msgspec
from aiohttp import WSMsgType, web
from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from engine.domain import Generation, Position, Side
from engine.protocol.accounts import FUND_DISCRIMINATOR, encode_position
from engine.protocol.addresses import FEEDS, PROGRAM_ID, PYTH_RECEIVER, SYSTEM_PROGRAM, insurance_fund_address
from engine.protocol.events import LIQUIDATION_DISCRIMINATOR
from engine.protocol.instructions import read_liquidation
from engine.protocol.pyth import PriceUpdate, encode_price_update

SLOT_S = 0.4
FIRST_SLOT = 1_000
SYMBOL = "BTC/USD"
ENTRY_E6 = 60_000 * 10**6
PRICES = {"SOL/USD": 150 * 10**6, "BTC/USD": ENTRY_E6, "ETH/USD": 3_000 * 10**6}
QUIET_POSITIONS = 5_000
STEP_PPM = 500  # each round's positions stand so much below those of the round before
CROSSED_PPM = 974_200  # of the entry: a hair below the line of a 20x long with 5 % of collateral
GENESIS = str(Hash(bytes(range(32))))
REFRESH_SLOTS = 10
DEADLINE_S = 20.0
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
_SEND = b'"sendTransaction"'


def round_entry_e6(number: int) -> int:
    """The entry price of the positions that the fall of this number reaches."""
    entry_e6 = ENTRY_E6
    for _ in range(number):
        entry_e6 = entry_e6 * (1_000_000 - STEP_PPM) // 1_000_000
    return entry_e6


def round_price_e6(number: int) -> int:
    """The price at which they are liquidatable, and nobody of the next round is."""
    return round_entry_e6(number) * CROSSED_PPM // 1_000_000


class MarketNode:
    """Positions in rounds, each of which one fall of the price reaches; what is sent lands at once."""

    def __init__(self, rounds: list[int]) -> None:
        self._began = time.monotonic()
        self._prices = dict(PRICES)
        self._positions: dict[str, bytes] = {}
        self._sent: dict[str, tuple[int, bytes]] = {}  # the slot in which it landed, and its bytes
        self._arrivals: list[int] = []
        self._due = 0
        self._all_here = asyncio.Event()
        self._unanswered: list[Callable[[], None]] = []
        self._sockets: dict[web.WebSocketResponse, dict[str, int]] = {}
        self._methods: dict[str, Callable[[list[Any]], Any]] = {
            "getGenesisHash": lambda _: GENESIS,
            "getSlot": lambda _: self.slot,
            "getBlockHeight": lambda _: self.slot - 100,
            "getEpochInfo": lambda _: self._epoch_info(),
            "getAccountInfo": lambda params: self._at_slot(self._account(params[0])),
            "getMultipleAccounts": lambda params: self._at_slot([self._account(each) for each in params[0]]),
            "getProgramAccounts": lambda _: self.program_accounts(),
            "getBalance": lambda _: self._at_slot(10**12),
            "getLatestBlockhash": lambda _: self._at_slot(
                {"blockhash": GENESIS, "lastValidBlockHeight": self.slot - 100 + 150}
            ),
            "getRecentPrioritizationFees": lambda _: [],
            "getSignaturesForAddress": lambda _: [],
            "getSignatureStatuses": lambda params: self._at_slot([self._status(each) for each in params[0]]),
            "getTransaction": lambda params: self._transaction(params[0]),
            "simulateTransaction": lambda _: self._at_slot(
                {"err": None, "logs": [], "unitsConsumed": 10_000, "accounts": None, "returnData": None}
            ),
            "sendTransaction": lambda params: self._note_sent(params[0]),
        }
        for number, count in enumerate(rounds):
            for _ in range(count):
                self._open(round_entry_e6(number))
        for _ in range(QUIET_POSITIONS):
            self._open(ENTRY_E6 // 4)

    @property
    def slot(self) -> int:
        """Slots go on with time."""
        return FIRST_SLOT + int((time.monotonic() - self._began) / SLOT_S)

    def _open(self, entry_price_e6: int) -> None:
        position = Position(
            address=Pubkey.new_unique(),
            owner=Pubkey.new_unique(),
            symbol=SYMBOL,
            side=Side.LONG,
            size_e6=1_000_000,
            collateral_e6=entry_price_e6 // 20,
            entry_price_e6=entry_price_e6,
            leverage=20,
            maintenance_margin_e6=entry_price_e6 // 40,
            is_liquidated=False,
            created_at_s=1_750_000_000,
            generation=Generation.DOCUMENTED,
            slot=0,
        )
        self._positions[str(position.address)] = encode_position(position)

    # --- HTTP ---

    def take(self, body: bytes, at_ns: int, answer: Callable[[bytes], None]) -> None:
        """A call whose last byte came at `at_ns`.

        Transactions are answered when all of a fall's are here: what is done with one must not keep the next
        from being stamped.
        """
        if _SEND not in body:
            answer(self._answer(body))
            return
        self._arrivals.append(at_ns)
        self._unanswered.append(lambda: answer(self._answer(body)))
        if len(self._arrivals) >= self._due:
            self._all_here.set()
            unanswered, self._unanswered = self._unanswered, []
            for each in unanswered:
                each()

    def _answer(self, body: bytes) -> bytes:
        """The answer to a call."""
        call = msgspec.json.decode(body)
        calls = call if isinstance(call, list) else [call]
        answers = [
            {"jsonrpc": "2.0", "id": each["id"], "result": self._methods[each["method"]](each["params"])}
            for each in calls
        ]
        return msgspec.json.encode(answers if isinstance(call, list) else answers[0])

    def _at_slot(self, value: Any) -> dict[str, Any]:
        return {"context": {"slot": self.slot, "apiVersion": "2.0.0"}, "value": value}

    def _epoch_info(self) -> dict[str, int]:
        return {
            "absoluteSlot": self.slot,
            "blockHeight": self.slot - 100,
            "epoch": 1,
            "slotIndex": 1,
            "slotsInEpoch": 432_000,
            "transactionCount": 1,
        }

    def program_accounts(self) -> Any:
        """Everything that the program holds, as getProgramAccounts answers it."""
        return [{"pubkey": each, "account": self._account(each)} for each in self._positions]

    def _account(self, address: str) -> dict[str, Any] | None:
        data, owner = self._content(address)
        return None if data is None else account_json(data, owner)

    def _content(self, address: str) -> tuple[bytes | None, Pubkey]:
        for symbol, feed in FEEDS.items():
            if address == str(feed.account):
                return self._price_data(symbol), PYTH_RECEIVER
        if address == str(insurance_fund_address()):
            numbers = (10**12, 10**12, 0, 0)
            plain = b"".join(number.to_bytes(8, "little") for number in numbers)
            return FUND_DISCRIMINATOR + bytes(32) + plain + b"\xff", PROGRAM_ID
        if address == str(PROGRAM_ID):
            return bytes(36), SYSTEM_PROGRAM
        return self._positions.get(address), PROGRAM_ID

    def _price_data(self, symbol: str) -> bytes:
        now_s = int(time.time())
        return encode_price_update(
            PriceUpdate(
                write_authority=PYTH_RECEIVER,
                feed_id=FEEDS[symbol].feed_id,
                price=self._prices[symbol] * 100,
                conf=0,
                exponent=-8,
                publish_time_s=now_s,
                prev_publish_time_s=now_s,
                ema_price=1,
                ema_conf=0,
                posted_slot=self.slot,
            )
        )

    def _note_sent(self, encoded: str) -> str:
        raw = base64.b64decode(encoded)
        transaction = VersionedTransaction.from_bytes(raw)
        signature = str(transaction.signatures[0])
        self._sent.setdefault(signature, (self.slot, raw))
        keys = transaction.message.account_keys
        for each in transaction.message.instructions:
            if keys[each.program_id_index] == PROGRAM_ID:
                call = read_liquidation(bytes(each.data), [keys[index] for index in each.accounts])
                assert call is not None
                self._positions.pop(str(call.position), None)
        return signature

    def _status(self, signature: str) -> dict[str, Any] | None:
        if signature not in self._sent:
            return None
        return {
            "slot": self._sent[signature][0],
            "confirmations": None,
            "err": None,
            "status": {"Ok": None},
            "confirmationStatus": "finalized",
        }

    def _transaction(self, signature: str) -> dict[str, Any] | None:
        if signature not in self._sent:
            return None
        slot, raw = self._sent[signature]
        count = len(VersionedTransaction.from_bytes(raw).message.account_keys)
        meta = {
            "err": None,
            "status": {"Ok": None},
            "fee": 5_000,
            "preBalances": [10**12] * count,
            "postBalances": [10**12 - 5_000, *[10**12] * (count - 1)],
            "innerInstructions": [],
            "logMessages": [self._event(signature)],
            "computeUnitsConsumed": 10_000,
        }
        return {
            "slot": slot,
            "blockTime": int(time.time()),
            "version": 0,
            "transaction": [base64.b64encode(raw).decode(), "base64"],
            "meta": meta,
        }

    def _event(self, signature: str) -> str:
        """The program's word for what the transaction did."""
        transaction = VersionedTransaction.from_bytes(self._sent[signature][1])
        keys = transaction.message.account_keys
        call = next(
            each for each in transaction.message.instructions if keys[each.program_id_index] == PROGRAM_ID
        )
        names = b"".join(bytes(key) for key in (keys[call.accounts[0]], PROGRAM_ID, keys[0]))
        symbol = len(SYMBOL).to_bytes(4, "little") + SYMBOL.encode()
        figures = (1_000, self._prices[SYMBOL], 1_000, 0)
        amounts = b"".join(figure.to_bytes(8, "little") for figure in figures)
        raw = LIQUIDATION_DISCRIMINATOR + names + symbol + amounts + b"\0" + bytes(8)
        return f"Program data: {base64.b64encode(raw).decode()}"

    # --- WebSocket ---

    async def subscribe(self, request: web.Request) -> web.WebSocketResponse:
        """Confirm every subscription; accounts are told to whom they concern."""
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        self._sockets[socket] = {}
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            call = message.json()
            number = call["id"]
            await socket.send_str(f'{{"jsonrpc":"2.0","result":{number},"id":{number}}}')
            if call["method"] in ("slotSubscribe", "accountSubscribe"):
                subject = call["params"][0] if call["params"] else "slot"
                self._sockets[socket][subject] = number
        del self._sockets[socket]
        return socket

    async def go_on(self) -> None:
        """Announce each slot; keep the prices young."""
        told = self.slot
        while True:
            await asyncio.sleep(0.02)
            if self.slot == told:
                continue
            told = self.slot
            for socket, subscribed in self._sockets.items():
                news = {"slot": told, "parent": told - 1, "root": told - 32}
                if "slot" in subscribed:
                    params = {"result": news, "subscription": subscribed["slot"]}
                    await socket.send_str(_notification("slotNotification", params))
            if told % REFRESH_SLOTS == 0:
                for symbol in FEEDS:
                    await self._publish(symbol)

    async def _publish(self, symbol: str) -> int:
        """Tell the price; the time at which its frame was written."""
        address = str(FEEDS[symbol].account)
        account = account_json(self._price_data(symbol), PYTH_RECEIVER)
        at_ns = 0
        for socket, subscribed in self._sockets.items():
            if address in subscribed:
                params = {"result": self._at_slot(account), "subscription": subscribed[address]}
                frame = _notification("accountNotification", params)
                at_ns = at_ns or time.monotonic_ns()
                await socket.send_str(frame)
        return at_ns

    async def fall(self, number: int, count: int) -> dict[str, Any]:
        """Let the price fall once; when the first and the last of `count` transactions were here."""
        self._arrivals, self._due = [], count
        self._all_here.clear()
        self._prices = {**self._prices, SYMBOL: round_price_e6(number)}
        at_ns = await self._publish(SYMBOL)
        async with asyncio.timeout(DEADLINE_S):
            await self._all_here.wait()
        return {"first_us": (self._arrivals[0] - at_ns) / 1e3, "last_us": (self._arrivals[-1] - at_ns) / 1e3}


def account_json(data: bytes, owner: Pubkey) -> dict[str, Any]:
    """An account as nodes tell it."""
    return {
        "lamports": 10**9,
        "data": [base64.b64encode(data).decode(), "base64"],
        "owner": str(owner),
        "executable": False,
        "rentEpoch": 2**64 - 1,
        "space": len(data),
    }


def _notification(method: str, params: Any) -> str:
    return msgspec.json.encode({"jsonrpc": "2.0", "method": method, "params": params}).decode()


class HttpConnection(asyncio.Protocol):
    """One keep-alive connection: as little as there can be between a client and the stamp."""

    def __init__(self, node: MarketNode) -> None:
        self._node = node
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are of no common class

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        at_ns = time.monotonic_ns()
        self._received += data
        while (body := self._next_body()) is not None:
            self._node.take(body, at_ns, self._answer)

    def _answer(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        assert self._transport is not None
        self._transport.write(head % len(body) + body)

    def _next_body(self) -> bytes | None:
        head, end, rest = self._received.partition(_HEAD_END)
        if not end:
            return None
        lines = head.lower().split(b"\r\n")
        length = next(int(line[len(_LENGTH) :]) for line in lines if line.startswith(_LENGTH))
        if len(rest) < length:
            return None
        self._received = rest[length:]
        return rest[:length]


async def serve(node: MarketNode) -> None:
    """Until its input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: HttpConnection(node), "127.0.0.1", 0)
    app = web.Application()
    app.router.add_get("/", node.subscribe)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(json.dumps([server.sockets[0].getsockname()[1], runner.addresses[0][1]]), flush=True)
    announcing = asyncio.create_task(node.go_on())
    while line := await asyncio.to_thread(sys.stdin.readline):
        number, count = map(int, line.split())
        print(json.dumps(await node.fall(number, count)), flush=True)
    announcing.cancel()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(MarketNode(json.loads(sys.argv[1]))))
