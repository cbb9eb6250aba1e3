"""The entries of one long JSON array, as its bytes come in: cut between entries, never decoded as a whole.

A cut is guessed and proven: a slice that parses as complete entries ends where one ends, whatever follows it,
since JSON is read from left to right. Where a guess fails, the text is walked through token by token. So the
sender's spaces, order of keys, escapes and packet sizes change how long it takes, not what comes out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec

T = TypeVar("T")
E_co = TypeVar("E_co", covariant=True)

SLICE_BYTES = 768 * 1024
FRAME_BYTES = 8 * 1024  # the most that may stand before the array, and behind it
ENTRY_BYTES = 15 * 1024 * 1024  # an account has at most ten megabytes

_USUAL_CUT = b"},{"
_COMMA, _OPENING, _CLOSING = b",[]"
_MARK = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["{}\[\]]', re.DOTALL)
_TOKEN = re.compile(rb'\s*+("(?:[^"\\]++|\\.)*+"|[{}\[\]:,]|[^\s"{}\[\]:,]++)', re.DOTALL)

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class UnreadableAnswer(Exception):
    """The bytes are no answer with the array; the message says what is wrong with them."""


class _Fault(msgspec.Struct):
    message: str = ""
    code: int = 0


class _Frame(msgspec.Struct):
    """Everything but the array."""

    error: _Fault | None = None


class ListDecoder(Protocol[E_co]):
    """Decodes a whole JSON list; what it makes of the entries is its own. Raises msgspec's errors."""

    def decode(self, buf: bytes | memoryview, /) -> Sequence[E_co]:
        """What was made of the entries; nothing only where there are none."""
        ...


class ArrayReader(Generic[T]):
    """Finds the array of a JSON-RPC answer: its `result`, or the `value` of it. Feed it, then `end` it.

    Both yield what was made of some entries and raise UnreadableAnswer.
    """

    def __init__(self, decoder: ListDecoder[T]) -> None:
        self._decoder = decoder
        self._frame = bytearray()  # what stands before the array, and then what follows it
        self._pending = bytearray()
        self._in_array = False
        self._is_over = False
        self._is_first = True
        self._is_usual = True  # guesses have been right so far
        self._wanted = SLICE_BYTES

    def feed(self, chunk: bytes | memoryview) -> Iterator[Sequence[T]]:
        """Take the next bytes."""
        if not self._in_array:
            self._read_head(chunk)
        elif self._is_over:
            self._follow(chunk)
        else:
            self._pending += chunk
        while not self._is_over and len(self._pending) >= self._wanted:
            entries = self._cut()
            if entries is None:
                # Another look is worth it at twice as much: so even a long entry is walked through rarely.
                self._wanted = 2 * len(self._pending)
                if len(self._pending) > ENTRY_BYTES:
                    raise UnreadableAnswer("an entry has no end")
                return
            self._wanted = SLICE_BYTES
            yield entries

    def end(self) -> Iterator[Sequence[T]]:
        """The answer is over: the last entries, and whether it was whole."""
        if self._in_array and not self._is_over:
            self._is_usual = False
            entries = self._cut()
            if entries is not None:
                yield entries
            if not self._is_over:
                raise UnreadableAnswer("truncated")
        try:
            frame = msgspec.json.decode(bytes(self._frame), type=_Frame)
        except _UNREADABLE:
            raise UnreadableAnswer("not JSON" if self._in_array else "no answer with accounts") from None
        if frame.error is not None:
            raise UnreadableAnswer(f"node error: {frame.error.message}")
        if not self._in_array:
            raise UnreadableAnswer("no accounts in it")

    def _read_head(self, chunk: bytes | memoryview) -> None:
        self._frame += chunk
        start = _array_start(memoryview(self._frame)[:FRAME_BYTES])
        if start is not None:
            self._in_array = True
            self._pending += memoryview(self._frame)[start:]
            del self._frame[start:]
        elif len(self._frame) > FRAME_BYTES:
            raise UnreadableAnswer("no accounts in it")

    def _follow(self, text: bytes | bytearray | memoryview) -> None:
        """What comes behind the array."""
        self._frame += text
        if len(self._frame) > 2 * FRAME_BYTES:
            raise UnreadableAnswer("too much follows the accounts")

    def _cut(self) -> Sequence[T] | None:
        """Decode what is complete, None when nothing is."""
        if self._is_usual:
            cut = self._pending.rfind(_USUAL_CUT) + 1
            if cut:
                entries = self._take_in_place(cut)
                if entries is not None:
                    return entries
                self._is_usual = False
        complete, over = _walk(self._pending)
        if over is not None:
            entries = self._take(over)
            self._is_over = True
            self._follow(self._pending)
            self._pending.clear()
            return entries
        return self._take(complete) if complete else None

    def _take_in_place(self, end: int) -> Sequence[T] | None:
        """Decode up to here without a copy, None when the guess was wrong; the comma at `end` stays."""
        if self._is_first:
            try:
                return self._take(end)
            except UnreadableAnswer:
                return None
        if self._pending[:1] != b"," or end == 1:
            return None
        # The commas before and behind the entries make room for the brackets.
        self._pending[0], self._pending[end] = _OPENING, _CLOSING
        try:
            with memoryview(self._pending) as text:
                entries = self._decoder.decode(text[: end + 1])
        except _UNREADABLE:
            return None
        finally:
            self._pending[0] = self._pending[end] = _COMMA
        del self._pending[:end]
        return entries

    def _take(self, end: int) -> Sequence[T]:
        """Decode the pending bytes up to here, where an entry ends."""
        text = bytes(memoryview(self._pending)[:end]).strip()
        if text and not self._is_first:
            if text[:1] != b"," or not text[1:].strip():
                raise UnreadableAnswer("not JSON")
            text = text[1:]
        try:
            entries = self._decoder.decode(b"[" + text + b"]")
        except _UNREADABLE as error:
            raise UnreadableAnswer(f"an account is not as it should be: {error}") from None
        self._is_first = self._is_first and not entries
        del self._pending[:end]
        return entries


def _walk(text: bytearray) -> tuple[int, int | None]:
    """Where the last complete entry ends, 0 without one; and where the array's bracket is, None before it."""
    depth = complete = 0
    for mark in _MARK.finditer(text):
        kind = text[mark.start()]
        if kind in b"{[":
            depth += 1
        elif kind in b"}]":
            if depth == 0:
                return complete, mark.start()
            depth -= 1
            if depth == 0:
                complete = mark.end()
        elif mark.end() - mark.start() == 1:
            break  # a quote that nothing closes yet
    return complete, None


def _array_start(head: memoryview) -> int | None:
    """The offset behind the bracket that opens the array, None when it has not come yet."""
    inside: list[Any] = []
    text = key = b""
    at = 0
    while (token := _TOKEN.match(head, at)) is not None:
        at, word = token.end(), token[1]
        if word in (b"{", b"["):
            inside.append(_name(key))
            if word == b"[" and inside in (["", "result"], ["", "result", "value"]):
                return at
            key = b""
        elif word in (b"}", b"]"):
            if not inside:
                return None
            inside.pop()
        elif word == b":":
            key = text
        elif word == b",":
            key = b""
        text = word
    return None


def _name(key: bytes) -> str | None:
    try:
        return msgspec.json.decode(key, type=str) if key else ""
    except _UNREADABLE:
        return None
