"""The least that a price takes to bytes here: sockets that block, one file, no engine between them.

`python -m benchmarks.bare_sender HTTP WS FOLDER COUNTS` connects to a stand-in node. For each new price it
asks for accounts, signs as many transactions as COUNTS says (a JSON list with a number for each), makes them
durable with one fdatasync, waits for the accounts, and writes each transaction on a connection of its own.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey

from benchmarks.execution_node import ENTRY_E6
from engine.protocol.addresses import FEEDS, insurance_fund_address
from engine.protocol.instructions import liquidate
from engine.protocol.pyth import decode_price_update

MOST_AT_ONCE = 32
FEED = FEEDS["BTC/USD"]
BLOCKHASH = Hash(bytes(range(32)))


class Line:
    """A connection with one call at a time."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, method: str, params: list[Any]) -> None:
        """Write a call."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        head = b"POST / HTTP/1.1\r\nHost: node\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._socket.sendall(head + body)

    def hear(self) -> None:
        """Read its answer to the end."""
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more()
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        while len(body) < length:
            body += self._more()

    def _more(self) -> bytes:
        more = self._socket.recv(1 << 16)
        if not more:
            raise EOFError("the node closed the connection")
        return more


class Feed:
    """A WebSocket that is subscribed to one price account."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET / HTTP/1.1\r\nHost: node\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._received = b""
        while b"\r\n\r\n" not in self._received:
            self._received += self._socket.recv(1 << 16)
        self._received = self._received.partition(b"\r\n\r\n")[2]
        call = {"jsonrpc": "2.0", "id": 1, "method": "accountSubscribe", "params": [str(FEED.account), {}]}
        self._send(json.dumps(call).encode())
        self.next()  # the confirmation

    def _send(self, text: bytes) -> None:
        """One frame of up to 65,535 bytes, masked with zeros."""
        size = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
        self._socket.sendall(b"\x81" + size + bytes(4) + text)

    def next(self) -> bytes:
        """The next frame's payload."""
        while True:
            frame = self._received
            if len(frame) >= 4:
                is_long = frame[1] == 126
                start = 4 if is_long else 2
                length = int.from_bytes(frame[2:4], "big") if is_long else frame[1]
                if len(frame) >= start + length:
                    self._received = frame[start + length :]
                    return frame[start : start + length]
            more = self._socket.recv(1 << 16)
            if not more:
                raise EOFError("the node closed the feed")
            self._received += more


class BareSender:
    """What is left of an engine when nothing has to be decided, remembered or watched."""

    def __init__(self, http: int, ws: int, folder: Path) -> None:
        self._key = Keypair()
        self._address = self._key.pubkey()
        self._reader = Line(http)
        self._lines = [Line(http) for _ in range(MOST_AT_ONCE)]
        self._feed = Feed(ws)
        self._price = ENTRY_E6 * 100
        self._kept = os.open(folder / "kept", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def act(self, count: int) -> None:
        """Wait for a price, and send so many transactions for it."""
        positions = [Pubkey.new_unique() for _ in range(count)]
        names = [str(each) for each in positions]
        price = self._price
        while price == self._price:  # the node tells it again and again, to keep it young
            told = json.loads(self._feed.next())["params"]["result"]["value"]
            price = decode_price_update(base64.b64decode(told["data"][0])).price
        self._price = price
        self._reader.ask("getMultipleAccounts", [names, {"encoding": "base64"}])
        transactions = [self._signed(each) for each in positions]
        os.write(self._kept, b"".join(transactions))
        os.fdatasync(self._kept)
        self._reader.hear()
        for line, raw in zip(self._lines, transactions, strict=False):
            line.ask("sendTransaction", [base64.b64encode(raw).decode(), {"encoding": "base64"}])
        for line in self._lines[:count]:
            line.hear()

    def _signed(self, position: Pubkey) -> bytes:
        call = liquidate(
            position,
            self._address,
            fund=insurance_fund_address(),
            price_account=FEED.account,
            sol_price_account=FEEDS["SOL/USD"].account,
            amount_e6=1_000_000,
        )
        message = to_bytes_versioned(MessageV0.try_compile(self._address, [call], [], BLOCKHASH))
        return b"\x01" + bytes(self._key.sign_message(message)) + message


def main(http: str, ws: str, folder: str, counts: str) -> None:
    """Act on each price until they are through."""
    sender = BareSender(int(http), int(ws), Path(folder))
    print("ready", flush=True)
    for count in json.loads(counts):
        sender.act(count)


if __name__ == "__main__":
    main(*sys.argv[1:])
