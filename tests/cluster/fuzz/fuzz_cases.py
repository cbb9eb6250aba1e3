"""What a hostile or broken client sends: each case follows from a seed and its number alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: node\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
OPCODES = (0x0, 0x1, 0x2, 0x8, 0x9, 0xA)


@dataclass(frozen=True)
class Town:
    """What exists on the cluster under test, so that some parameters hit."""

    addresses: list[str]
    signatures: list[str]
    blockhashes: list[str]
    payer: Keypair
    methods: list[str]
    subscriptions: list[str]


@dataclass(frozen=True)
class Case:
    """One thing to send. `over` is json (a body for POST), http or websocket (bytes for a new connection)."""

    number: int
    kind: str
    over: str
    data: bytes
    # Whether what is sent over the WebSocket follows a handshake that succeeded.
    greeted: bool = True


class Cases:
    """Case `number` of a seed is always the same for the same town."""

    def __init__(self, seed: int, town: Town) -> None:
        self._seed = seed
        self._town = town

    def case(self, number: int) -> Case:
        """One case."""
        rng = Random(f"{self._seed} {number}")
        kind = rng.choices(list(_KINDS), [share for _, share in _KINDS.values()])[0]
        make = _KINDS[kind][0]
        return make(_Maker(rng, self._town), number, kind)


class _Maker:
    """Draws values, calls, frames."""

    def __init__(self, rng: Random, town: Town) -> None:
        self.rng = rng
        self.town = town

    # --- values ---

    def json(self, depth: int = 0) -> Any:
        """Any JSON value."""
        rng = self.rng
        kind = rng.randrange(9 if depth < 4 else 6)
        if kind == 0:
            return None
        if kind == 1:
            return rng.random() < 0.5
        if kind == 2:
            return self.integer()
        if kind == 3:
            return rng.choice([0.0, -0.0, 0.5, 1e308, -1e-308, rng.random() * 1e20])
        if kind in (4, 5):
            return self.text()
        if kind in (6, 7):
            return [self.json(depth + 1) for _ in range(rng.randrange(5))]
        return {self.text(): self.json(depth + 1) for _ in range(rng.randrange(4))}

    def integer(self) -> int:
        """Mostly at an edge."""
        rng = self.rng
        edge = rng.choice([0, 1, 2, 31, 32, 64, 100, 128, 400, 1_000, 5_000, 500_000, 2**31, 2**32, 2**53])
        wide = rng.choice([2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30, 10**400])
        return rng.choice([edge, edge, edge, wide, rng.randrange(1_000)]) * rng.choice([1, 1, 1, -1])

    def text(self) -> str:
        """Words of this field, and of none."""
        rng = self.rng
        words = [
            "",
            "finalized",
            "base64",
            "11111111111111111111111111111111",
            "1" * rng.randrange(100),
            "\0",
            "é\u2028\U0001f4a5",
            "A" * rng.randrange(2_000),
            "=" * rng.randrange(10),
            "".join(chr(rng.randrange(32, 0x2FFF)) for _ in range(rng.randrange(12))),
        ]
        return rng.choice([*words, self.address(), self.signature()])

    def address(self) -> str:
        """Known, unknown, or nearly one."""
        rng = self.rng
        known = rng.choice(self.town.addresses)
        unknown = str(Pubkey.from_bytes(rng.randbytes(32)))
        return rng.choice([known, known, known, unknown, known[:-1], known + "1", known.replace("1", "0", 1)])

    def signature(self) -> str:
        """Known, unknown, or nearly one."""
        known = self.rng.choice(self.town.signatures)
        return self.rng.choice([known, known, "1" * 64, known[:-2], known.swapcase()])

    def transaction(self) -> str:
        """A transaction in base64: proper, mutated, or no transaction."""
        rng = self.rng
        payer = self.town.payer
        payment = transfer(
            TransferParams(
                from_pubkey=payer.pubkey(),
                to_pubkey=Pubkey.from_bytes(rng.randbytes(32)),
                lamports=rng.choice([1, 10**6, 10**18]),
            )
        )
        blockhash = Hash.from_string(rng.choice(self.town.blockhashes))
        raw = bytes(
            VersionedTransaction(MessageV0.try_compile(payer.pubkey(), [payment], [], blockhash), [payer])
        )
        raw = rng.choice([raw, raw, self.mutated(raw), raw[: rng.randrange(len(raw))], rng.randbytes(300)])
        return base64.b64encode(raw).decode()

    def message(self) -> str:
        """The message of such a transaction."""
        raw = base64.b64decode(self.transaction())
        return base64.b64encode(raw[65:]).decode()

    def mutated(self, data: bytes) -> bytes:
        """A few bytes changed, inserted, removed or repeated."""
        rng, changed = self.rng, bytearray(data)
        for _ in range(rng.randrange(1, 5)):
            place = rng.randrange(len(changed) + 1)
            how = rng.randrange(4)
            if how == 0 and place < len(changed):
                changed[place] ^= 1 << rng.randrange(8)
            elif how == 1:
                changed[place:place] = rng.randbytes(rng.randrange(1, 4))
            elif how == 2:
                del changed[place : place + rng.randrange(1, 9)]
            else:
                changed[place:place] = changed[place : place + rng.randrange(1, 40)]
        return bytes(changed)

    def config(self) -> dict[str, Any]:
        """Options that methods have, most with a usable value."""
        rng = self.rng
        options: dict[str, Callable[[], Any]] = {
            "commitment": lambda: rng.choice(["processed", "confirmed", "finalized", "recent"]),
            "encoding": lambda: rng.choice(
                ["base58", "base64", "base64", "base64+zstd", "json", "jsonParsed", "binary"]
            ),
            "minContextSlot": lambda: rng.choice([0, 400, 10**6]),
            "dataSlice": lambda: {"offset": rng.choice([0, 8, 2**64 - 1]), "length": rng.choice([0, 2**63])},
            "filters": lambda: [self.filter() for _ in range(rng.randrange(6))],
            "withContext": lambda: True,
            "limit": lambda: rng.choice([0, 1, 20, 1_000, 1_001]),
            "before": self.signature,
            "until": self.signature,
            "maxSupportedTransactionVersion": lambda: rng.choice([0, 1, 255, 256]),
            "transactionDetails": lambda: rng.choice(["full", "accounts", "signatures", "none", "some"]),
            "rewards": lambda: True,
            "skipPreflight": lambda: True,
            "preflightCommitment": lambda: rng.choice(["processed", "confirmed"]),
            "sigVerify": lambda: True,
            "replaceRecentBlockhash": lambda: True,
            "innerInstructions": lambda: True,
            "accounts": lambda: {"encoding": "base64", "addresses": [self.address()]},
            "searchTransactionHistory": lambda: True,
            "enableReceivedNotification": lambda: True,
            "identity": self.address,
            "votePubkey": self.address,
            "range": lambda: {"firstSlot": self.integer(), "lastSlot": self.integer()},
            "epoch": self.integer,
            "mint": self.address,
            "programId": self.address,
            "filter": lambda: "circulating",
            "excludeNonCirculatingAccountsList": lambda: True,
        }
        names = rng.sample(list(options), rng.randrange(6))
        return {name: options[name]() if rng.random() < 0.85 else self.json() for name in names}

    def filter(self) -> Any:
        """A filter of accounts."""
        rng = self.rng
        return rng.choice(
            [
                {"dataSize": rng.choice([0, 82, 120, 165, self.integer()])},
                {"memcmp": {"offset": rng.choice([0, 8, 2**63]), "bytes": self.text()}},
                {"memcmp": {"offset": 0, "bytes": "AQ==", "encoding": "base64"}},
                {"memcmp": {"offset": 0, "bytes": [rng.randrange(300)] * rng.randrange(140)}},
                "tokenAccountState",
                self.json(),
            ]
        )

    def parameter(self) -> Any:
        """Something that some method takes."""
        rng = self.rng
        return rng.choice(
            [
                self.address,
                self.address,
                self.signature,
                self.config,
                self.config,
                self.config,
                self.integer,
                self.transaction,
                self.message,
                self.json,
                lambda: rng.choice(self.town.blockhashes),
                lambda: [self.address() for _ in range(rng.choice([0, 1, 3, 130]))],
                lambda: [self.signature() for _ in range(rng.choice([0, 1, 3, 260]))],
                lambda: {"mentions": [self.address() for _ in range(rng.randrange(3))]},
                lambda: rng.choice(["all", "allWithVotes", "json", "base64"]),
                lambda: rng.choice([{"mint": self.address()}, {"programId": self.address()}]),
                lambda: rng.randrange(300, 600),
            ]
        )()

    # --- calls ---

    def call(self, names: list[str]) -> Any:
        """A request object, now and then not quite."""
        rng = self.rng
        method = rng.choice(names) if rng.random() < 0.95 else self.text()
        params = [self.parameter() for _ in range(rng.choice([0, 1, 1, 2, 2, 2, 3, 4]))]
        shown: dict[str, Any] = {"jsonrpc": "2.0", "id": rng.randrange(99)}
        shown |= {"method": method, "params": params}
        if rng.random() < 0.15:
            member = rng.choice([*shown, "extra"])
            if rng.random() < 0.3:
                shown.pop(member, None)
            else:
                shown[member] = self.json()
        return shown

    def body(self, names: list[str]) -> bytes:
        """A body, mostly JSON."""
        rng = self.rng
        value = self.call(names)
        if rng.random() < 0.1:
            value = [value, *(self.call(names) for _ in range(rng.randrange(8)))]
        return json.dumps(value, ensure_ascii=rng.random() < 0.5).encode(errors="surrogatepass")

    def frame(self, payload: bytes, opcode: int | None = None) -> bytes:
        """A client's WebSocket frame, proper unless drawn otherwise."""
        rng = self.rng
        first = 0x80 | (0x1 if opcode is None else opcode)
        masked, length = 0x80, len(payload)
        if rng.random() < 0.1:
            first = rng.randrange(256)
        if rng.random() < 0.05:
            masked = 0
        if rng.random() < 0.05:
            length = rng.choice([0, 125, 126, 4_097, 2**16, 2**32, 2**63, 2**64 - 1])
        if length < 126:
            size = bytes((masked | length,))
        elif length < 1 << 16:
            size = bytes((masked | 126,)) + length.to_bytes(2, "big")
        else:
            size = bytes((masked | 127,)) + length.to_bytes(8, "big")
        key = rng.randbytes(4) if masked else b""
        body = bytes(byte ^ key[i % 4] for i, byte in enumerate(payload)) if key else payload
        return bytes((first,)) + size + key + body


# --- the kinds of cases ---


def _random_json(maker: _Maker, number: int, kind: str) -> Case:
    return Case(number, kind, "json", json.dumps(maker.json()).encode())


def _random_bytes(maker: _Maker, number: int, kind: str) -> Case:
    return Case(number, kind, "json", maker.rng.randbytes(maker.rng.randrange(400)))


def _near_valid_call(maker: _Maker, number: int, kind: str) -> Case:
    return Case(number, kind, "json", maker.body(maker.town.methods))


def _mutated_call(maker: _Maker, number: int, kind: str) -> Case:
    return Case(number, kind, "json", maker.mutated(maker.body(maker.town.methods)))


def _nested(maker: _Maker, number: int, kind: str) -> Case:
    depth = maker.rng.choice([100, 126, 127, 128, 129, 1_000, 20_000])
    opening, closing = maker.rng.choice([("[", "]"), ('{"a":', "}")])
    inner = opening * depth + "1" + closing * maker.rng.choice([depth, depth - 1])
    call = '{"jsonrpc":"2.0","id":1,"method":"getBalance","params":[' + inner + "]}"
    return Case(number, kind, "json", call.encode())


def _broken_http(maker: _Maker, number: int, kind: str) -> Case:
    rng = maker.rng
    body = maker.body(maker.town.methods)
    length = rng.choice([len(body), 0, -1, 10**9, "x"])
    method = rng.choice(["GET", "PUT", "get", "HEAD", "OPTIONS", "X" * 9_000])
    post, typed = "POST / HTTP/1.1\r\nHost: x\r\n", "Content-Type: application/json\r\n"
    heads = [
        f"{post}{typed}Content-Length: {length}",
        f"{post}{typed}Transfer-Encoding: chunked\r\n\r\nffff",
        f"{method} /{'a' * rng.randrange(9_000)} HTTP/1.1\r\nHost: x",
        f"POST / HTTP/{rng.choice(['1.0', '2.0', '9.9', 'x'])}\r\n{typed}",
        f"{post}X: {'y' * rng.choice([10, 9_000, 70_000])}\r\nContent-Type: text/plain",
        f"{post}{typed}Content-Encoding: gzip\r\nContent-Length: {len(body)}",
    ]
    whole = rng.choice(heads).encode() + b"\r\n\r\n" + body
    return Case(number, kind, "http", rng.choice([whole, maker.mutated(whole), whole[: rng.randrange(200)]]))


def _subscribing(maker: _Maker, number: int, kind: str) -> Case:
    rng = maker.rng
    frames = [
        maker.frame(maker.body(maker.town.subscriptions), rng.choice([0x1, 0x1, 0x2]))
        for _ in range(rng.randrange(1, 4))
    ]
    return Case(number, kind, "websocket", b"".join(frames))


def _broken_frames(maker: _Maker, number: int, kind: str) -> Case:
    rng = maker.rng
    frames = b"".join(
        maker.frame(rng.randbytes(rng.randrange(200)), rng.choice(OPCODES))
        for _ in range(rng.randrange(1, 5))
    )
    sent = rng.choice(
        [frames, frames[: rng.randrange(len(frames) + 1)], maker.mutated(frames), rng.randbytes(64)]
    )
    return Case(number, kind, "websocket", sent)


def _big_message(maker: _Maker, number: int, kind: str) -> Case:
    size = maker.rng.choice([4_000, 4_096, 4_097, 60_000, 200_000])
    return Case(number, kind, "websocket", maker.frame(b" " * size))


def _broken_handshake(maker: _Maker, number: int, kind: str) -> Case:
    rng = maker.rng
    sent = rng.choice(
        [
            maker.mutated(HANDSHAKE),
            HANDSHAKE[: rng.randrange(len(HANDSHAKE))],
            HANDSHAKE.replace(b"13", rng.choice([b"8", b"", b"-1"])),
            HANDSHAKE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", rng.choice([b"", b"x", b"\xff" * 30])),
            rng.randbytes(200),
        ]
    )
    return Case(number, kind, "websocket", sent, greeted=False)


_KINDS: dict[str, tuple[Callable[[_Maker, int, str], Case], int]] = {
    "random JSON": (_random_json, 10),
    "random bytes": (_random_bytes, 6),
    "near-valid call": (_near_valid_call, 50),
    "mutated call": (_mutated_call, 14),
    "nested": (_nested, 1),
    "broken HTTP": (_broken_http, 5),
    "subscribing": (_subscribing, 8),
    "broken frames": (_broken_frames, 4),
    "big message": (_big_message, 1),
    "broken handshake": (_broken_handshake, 2),
}
